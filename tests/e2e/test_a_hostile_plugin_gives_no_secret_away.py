"""A plugin that quotes what it was sent, in each of its calls: no output, log or record repeats it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.e2e.canary import Canary, files_below
from tests.e2e.shop import TRUEUP

PLUGIN = '''
"""A provider and a secret source that say in every error what they were given."""

import os

from trueup.sdk import Invalid, SecretSource, Sensitive, hookimpl, reveal
from trueup.sdk.testing.memory import MemoryProvider, Thing


class Wicked(Thing):
    """Quotes the node in the error of one call: which one, says its name."""

    def __init__(self, name, error):
        type(self).name = name
        self.error = error

    def quote(self, node):
        raise self.error(f"refused: {reveal(node.body)!r}")


def make(call, error):
    def quote(self, *arguments):
        node = next(a for a in arguments if hasattr(a, "body") and hasattr(a, "address"))
        self.quote(node)

    def quote_first(self, session, nodes):
        self.quote(nodes[0])

    name = f"{call.title()}{error.__name__}"
    body = {call: quote_first if call == "observe" else quote}
    return type(name, (Wicked,), body)(name, error)


CALLS = ("diff", "normalize", "observe", "create")


class WickedProvider(MemoryProvider):
    def __init__(self):
        super().__init__()
        kinds = [make(call, error) for call in CALLS for error in (ValueError, Invalid)]
        self._by_name.update({(kind.api_version, kind.name): kind for kind in kinds})

    def connect(self, target, owner_key):
        if "directory" in target.config:
            raise ValueError(f"no such directory: {reveal(target.config)}")
        return super().connect(target, owner_key)


class WickedSource(SecretSource):
    name = "wicked"

    def read(self, keys, context):
        found = {"good": Sensitive(os.environ["CANARY"])}
        if "bad" in keys:
            raise RuntimeError(f"what I have: {os.environ['CANARY']}")
        return found


@hookimpl
def trueup_provider():
    return WickedProvider()


@hookimpl
def trueup_secret_source():
    return WickedSource()
'''
# Of these a run is in the history: one that went well, and one that failed with the secret in its error.
KEPT = ("Thing", "CreateInvalid")
CALLS = ("Diff", "Normalize", "Observe", "Create")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The plugin as pip would install it."""
    folder = tmp_path / "site"
    info = folder / "wicked-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wicked\nVersion: 1.0\n")
    points = "[trueup.providers]\nmemory = wicked_plugin\n[trueup.secrets]\nwicked = wicked_plugin\n"
    (info / "entry_points.txt").write_text(points)
    (folder / "wicked_plugin.py").write_text(PLUGIN)
    return folder


@pytest.mark.parametrize(
    "kind", ["Thing", *(f"{call}{error}" for call in CALLS for error in ("ValueError", "Invalid"))]
)
def test_no_call_of_a_plugin_gives_a_secret_away(kind: str, plugin: Path, tmp_path: Path) -> None:
    said = run(kind, "good", plugin, tmp_path)
    if kind == "Thing":
        assert b"1 created" in said
    else:
        word = b"refused: {" if kind.endswith("Invalid") else b"a bug in provider 'memory'"
        assert word in said
        assert b"Traceback" not in said


def test_a_source_that_quotes_what_it_has_gives_nothing_away(plugin: Path, tmp_path: Path) -> None:
    said = run("Thing", "bad", plugin, tmp_path)
    assert b"a bug in secret source 'wicked': read raised RuntimeError" in said


def test_a_target_that_quotes_its_config_gives_nothing_away(plugin: Path, tmp_path: Path) -> None:
    config = "config: {directory: '${{ secret(\"wicked:good\") }}'}"
    said = run("Thing", "good", plugin, tmp_path, config)
    assert b"a bug in provider 'memory': connect raised ValueError" in said


def run(kind: str, key: str, plugin: Path, tmp_path: Path, config: str = "") -> bytes:
    """Plans and reconciles a stack of one resource; all that was said, in which the secret is not."""
    canary = Canary.make()
    stack = tmp_path / "stack"
    stack.mkdir()
    head = "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: s}\nspec:\n  targets:\n"
    (stack / "stack.yaml").write_text(f"{head}    - {{name: t, provider: memory, {config}}}\n")
    (stack / "a.yaml").write_text(
        f"apiVersion: memory.trueup.dev/v1\nkind: {kind}\nmetadata: {{name: a}}\n"
        f"spec: {{note: 'with ${{{{ secret(\"wicked:{key}\") }}}}'}}\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": f"{plugin}:{os.environ.get('PYTHONPATH', '')}",
        "NO_COLOR": "1",
        "CANARY": canary.value,
    }
    said: list[tuple[str, bytes]] = []
    plans = (["plan", "--output", form] for form in ("text", "json", "markdown"))
    # Afterwards all that was kept of it is asked for.
    address, source = f"{kind}/a", ("--source", str(stack))
    kept = [
        *([command, str(stack), "--output", "json"] for command in ("history", "status", "events")),
        *(["show", "1"], ["show", "1", "--output", "json"], ["drift", str(stack), "--suggest"]),
        *(["why", address, *source], ["blame", address, *source]),
    ]
    if kind not in KEPT:
        kept = []
    runs = [[*command, str(stack)] for command in (*plans, ["reconcile", "--yes", "-vv"])]
    for command in (*runs, *kept):
        done = subprocess.run(
            [*TRUEUP, *command, "--store", str(tmp_path / "store.db")],
            env=environment,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode in (0, 1, 2), done.stderr.decode()
        assert b"Usage:" not in done.stderr, done.stderr.decode()
        said += [(f"{command}: stdout", done.stdout), (f"{command}: stderr", done.stderr)]
    assert list(canary.leaks([*said, *files_below(tmp_path)])) == []
    return b"".join(text for _, text in said)
