"""Any text in any field, from the files of a stack to a real host: it is refused, or arrives as it is.

No character means anything to a shell on the way: what such a text would run never runs.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from tests.hosts.fixtures import Host
from tests.stress.invariants import check_always, check_at_rest, look

from trueup.app import App, SourceSpec
from trueup.cli.problems import problem_lines
from trueup.errors import ManifestError
from trueup.model.outcome import Outcome, Result, RunStatus
from trueup.sdk import Target
from trueup_ssh.kinds.directory import Directory
from trueup_ssh.kinds.file import File
from trueup_ssh.kinds.package import Package
from trueup_ssh.kinds.service import Service
from trueup_ssh.provider import SshProvider

pytestmark = [pytest.mark.hosts, pytest.mark.xdist_group("hosts")]

API = "ssh.trueup.dev/v1"
TRACE = "trueup-was-here"
COMMAND = f"touch /{TRACE}"
ROOT = "/srv/any"
KINDS = (File(), Directory(), Package(), Service())

# What shells, their tools and this provider's own answers could take for more than a text.
PIECES = [
    f"$({COMMAND})", f"`{COMMAND}`", f";{COMMAND};", f"|{COMMAND}|", f"&{COMMAND}&", f"\n{COMMAND}\n",
    f"';{COMMAND};'", f'";{COMMAND};"', f"\\';{COMMAND};\\'", f"${{IFS}}{COMMAND}", f"x[$({COMMAND})]",
    f"\r\n{COMMAND}\r\n", f"' ; }}\n{COMMAND}\nmain() {{ : '", "'", '"', "\\", "$", "$HOME", "~root",
    "*", "?", "[a-z]", "{a,b}", "!", "!!", "#", "-", "--", "-rf", "--help", "%s%n", "\t", " ", "  ", "\n",
    "\0", "\x1b[2J", "\x7f", "end", "\nend\n", "begin ", "error invalid ", "..", "/..", "/", ".", "é",
    "e\u0301", "\u202e", "\U0001f600", "\ud800", "{{ x }}", "{% raw %}", "<<EOF\n", "\\n", "\\0", "=", "a",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=4).map("".join)
# What is an expression to trueup is the author's own wish.
TEXTS = TEXTS.filter(lambda text: "${{" not in text)
SPECS = {
    "File": ("path", "content", "template", "mode", "owner", "group"),
    "Directory": ("path", "mode", "owner", "group"),
    "Package": ("name", "version"),
    "Service": ("name", "onTrigger"),
}
BAD = (Result.FAILED, Result.BLOCKED)
FIELDS = [(kind, field) for kind, fields in SPECS.items() for field in (*fields, "metadata.name")]


@dataclass(frozen=True)
class Estate:
    """A host, and a folder for a stack and its store."""

    folder: Path
    host: Host
    target: Target

    @property
    def source(self) -> SourceSpec:
        return SourceSpec(str(self.folder / "stack"))

    def write(self, resources: Mapping[str, Mapping[str, Any]], **config: object) -> None:
        """The stack with these resources, each in a file of that name."""
        shutil.rmtree(self.folder / "stack", ignore_errors=True)
        (self.folder / "stack").mkdir()
        target = {"name": "h", "provider": "ssh", "config": {**self.target.config, **config}}
        stack = {
            "apiVersion": "trueup.dev/v1",
            "kind": "Stack",
            "metadata": {"name": "any"},
            "spec": {"targets": [target], "guards": {"maxDeletes": "100%"}},
        }
        for name, document in {"stack": stack, **resources}.items():
            (self.folder / "stack" / f"{name}.json").write_text(json.dumps(document))

    def left_traces(self) -> list[str]:
        """What any of the commands would have left, on the host or here."""
        places = [self.host.disk, self.host.disk / "root", self.host.disk / "tmp", Path("/"), Path.cwd()]
        return [str(place) for place in places if (place / TRACE).exists()]


@pytest.fixture(scope="module")
def host(hosts: Sequence[Host]) -> Iterator[Host]:
    host = hosts[0]
    host.fresh()
    yield host
    host.fresh()


def resource(number: int, kind: str, field: str, text: str) -> dict[str, Any]:
    """A resource that is sound but for the text in one field."""
    spec: dict[str, Any] = {
        "File": {"path": f"{ROOT}/f{number}", "content": "x"},
        "Directory": {"path": f"{ROOT}/d{number}"},
        "Package": {"name": f"trueup-no-such-package-{number}"},
        "Service": {"name": f"trueup-no-such-unit-{number}"},
    }[kind]
    document = {"apiVersion": API, "kind": kind, "metadata": {"name": f"n{number}"}, "spec": spec}
    if field == "metadata.name":
        document["metadata"] = {"name": text}
    elif field == "path":
        spec["path"] = f"{ROOT}/{text}"
    elif field == "template":
        del spec["content"]
        spec.update(template="{{ text }}", data={"text": text})
    else:
        spec[field] = text
    return document


def refuse(estate: Estate, resources: dict[str, dict[str, Any]]) -> None:
    """Takes out what is refused before anything is looked at; of each it is said where it stands and why."""
    with App(f"sqlite:///{estate.folder / 'store.db'}") as app:
        while resources:
            estate.write(resources)
            try:
                app.load(estate.source)
            except ManifestError as error:
                names = {problem.place.file.removesuffix(".json") for problem in error.problems}
                assert names and names <= resources.keys(), str(error)
                printed = [line.plain for each in error.problems for line in problem_lines(each)]
                assert all(line.isprintable() for line in printed), printed
                for name in names:
                    del resources[name]
            else:
                return


@given(texts=st.lists(TEXTS, min_size=len(FIELDS), max_size=len(FIELDS)))
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@example(texts=[f"$({COMMAND})"] * len(FIELDS))
@example(texts=[f"a\n{COMMAND}\n"] * len(FIELDS))
@example(texts=[f"';{COMMAND};'"] * len(FIELDS))
@example(texts=["0644\n"] * len(FIELDS))
@example(texts=["a\n"] * len(FIELDS))
def test_it_is_refused_or_arrives_as_it_is(texts: Sequence[str], host: Host) -> None:
    resources = {
        f"r{number}": resource(number, kind, field, text)
        for number, ((kind, field), text) in enumerate(zip(FIELDS, texts, strict=True))
    }
    host.run(f"rm -rf {ROOT} /var/lib/trueup; mkdir -p {ROOT}")
    with tempfile.TemporaryDirectory() as folder:
        estate = Estate(Path(folder), host, host.target())
        refuse(estate, resources)
        if resources:
            with App(f"sqlite:///{estate.folder / 'store.db'}") as app:
                first = app.reconcile(estate.source)
                second = app.reconcile(estate.source)
                _check(estate, resources, first.outcomes)
                made = [outcome.address for outcome in first.outcomes if outcome.result is Result.CREATED]
                again = {outcome.address: outcome.result for outcome in second.outcomes}
                assert {again[address] for address in made} <= {Result.UNCHANGED}
                session = SshProvider().connect(estate.target, "")
                sight = look(KINDS, session, app.store, "any")
                check = check_at_rest if second.status is RunStatus.CONVERGED else check_always
                check(sight)
                session.close()
        assert estate.left_traces() == []


def _check(estate: Estate, resources: Mapping[str, Mapping[str, Any]], outcomes: Sequence[Outcome]) -> None:
    said = {(outcome.address.kind, outcome.address.name): outcome for outcome in outcomes}
    for document in resources.values():
        outcome = said[document["kind"], document["metadata"]["name"]]
        spec = document["spec"]
        if outcome.result is not Result.CREATED:
            assert outcome.result in BAD, outcome
            assert outcome.message and "bug" not in outcome.message, outcome
        if document["kind"] not in ("File", "Directory"):
            continue
        place = Path(f"{estate.host.disk}{spec['path']}")
        is_made = outcome.result is Result.CREATED
        # A directory is made and marked before the host is asked for an account that it does not have.
        assert place.exists() == is_made or (document["kind"] == "Directory" and not is_made), outcome
        if document["kind"] == "File" and place.exists():
            text = spec["data"]["text"] if "template" in spec else spec["content"]
            assert place.read_bytes() == text.encode()
    # Nothing else has come to be beside them: no text was split into two.
    expected = {document["spec"].get("path") for document in resources.values()}
    found = {f"{ROOT}/{path.name}" for path in Path(f"{estate.host.disk}{ROOT}").iterdir()}
    assert found <= expected


@given(text=TEXTS)
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@example(text="\0")
@example(text="~nobody-of-that-name/x")
def test_the_settings_of_a_target_run_nothing(text: str, host: Host) -> None:
    with tempfile.TemporaryDirectory() as folder:
        estate = Estate(Path(folder), host, host.target())
        resources = {"f": resource(0, "File", "content", "x")}
        for key in ("host", "user", "identityFile", "knownHosts", "stateDir"):
            value = f"/var/lib/{text}" if key == "stateDir" else text
            estate.write(resources, connectTimeout=2, **{key: value})
            with App(f"sqlite:///{estate.folder / 'store.db'}") as app:
                try:
                    report = app.reconcile(estate.source)
                except ManifestError as error:
                    assert error.problems
                else:
                    for outcome in report.outcomes:
                        assert outcome.result not in BAD or outcome.message, outcome
                        assert "bug" not in outcome.message, outcome
        assert estate.left_traces() == []
