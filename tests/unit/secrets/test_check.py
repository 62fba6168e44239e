"""What is known of a stack's secrets without reading any: source, target, grant, key, file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from trueup.errors import ManifestError, Place, SourceError
from trueup.model.resource import SecretReference, Stack, Target
from trueup.model.values import Sensitive, Value
from trueup.plugins.load import InstalledSecretSources
from trueup.sdk.secrets import SecretAnswer, SecretContext, SecretSource, SecretSources
from trueup.secrets.check import CheckedSecrets, check_secrets


class Cloud(SecretSource):
    """A source that is read through targets, if there are any."""

    name = "cloud"
    provider = "acme"

    def read(self, keys: Sequence[str], context: SecretContext) -> Mapping[str, SecretAnswer]:
        return dict.fromkeys(keys, Sensitive("x"))


class Vessel(Cloud):
    """One that cannot do without."""

    name = "vessel"
    needs_target = True


class Wicked(Cloud):
    """One whose bugs quote what they see."""

    name = "wicked"
    provider = ""

    def check(self, key: str, settings: Mapping[str, Value]) -> None:
        if key == "check":
            raise KeyError("kanarienvogel")

    def files(self, key: str) -> Sequence[str]:
        raise ValueError("kanarienvogel")


class Sources(SecretSources):
    """Those above, and the installed ones."""

    def __init__(self) -> None:
        self._installed = InstalledSecretSources()
        self._own: dict[str, SecretSource] = {"cloud": Cloud(), "vessel": Vessel(), "wicked": Wicked()}

    def names(self) -> Sequence[str]:
        return [*self._own, "env", "file", "sops"]

    def source(self, name: str) -> SecretSource:
        return self._own.get(name) or self._installed.source(name)


FILES = {"secrets.yaml": b"content", "../shared.yaml": b"shared"}


def read_file(path: str) -> bytes:
    if path not in FILES:
        raise SourceError(f"there is no file {path}")
    return FILES[path]


def check(
    *texts: str,
    targets: Sequence[Target] = (),
    settings: Mapping[str, Value] | None = None,
    grants: Sequence[Sequence[str]] = (),
) -> CheckedSecrets:
    references = [SecretReference(text, Place("a.yaml", n, 5)) for n, text in enumerate(texts, 1)]
    stack = Stack("shop", targets=tuple(targets))
    return check_secrets(references, stack, Sources(), settings or {}, grants, read_file)


def targets_of(text: str, *targets: Target) -> str:
    (secret,) = check(text, targets=targets).secrets
    return secret.target.name if secret.target else ""


ACME_1, ACME_2, OTHER = Target("one", "acme"), Target("two", "acme"), Target("three", "other")


def test_a_secret_is_read_through_the_target_that_it_names_or_the_only_one() -> None:
    assert targets_of("env:A", ACME_1) == ""
    assert targets_of("cloud:a", OTHER) == ""
    assert targets_of("cloud:a", ACME_1, OTHER) == "one"
    assert targets_of("cloud@two:a", ACME_1, ACME_2) == "two"
    assert targets_of("vessel:a", ACME_1) == "one"


def test_each_secret_is_checked_once_and_each_file_is_read_once() -> None:
    checked = check(
        "sops:secrets.yaml#/a", "sops:secrets.yaml#/b", "sops:secrets.yaml#/a", "sops:../shared.yaml"
    )
    assert [secret.reference.key for secret in checked.secrets] == [
        "secrets.yaml#/a",
        "secrets.yaml#/b",
        "../shared.yaml",
    ]
    assert checked.files == FILES


def test_all_problems_are_told_at_once_each_in_its_place() -> None:
    texts = [
        "evn:A",
        "nothing:like-it",
        "env:",
        ":A",
        "env",
        "env@one:A",
        "env:A B",
        "env:VAULT_TOKEN",
        "file:/etc/shadow",
        "sops:missing.yaml#/a",
        "sops:secrets.yaml#a",
        "cloud@three:a",
        "cloud@nowhere:a",
        "cloud:a",
        "vessel@:a",
    ]
    with pytest.raises(ManifestError) as caught:
        check(*texts, targets=[ACME_1, ACME_2, OTHER])
    told = [(problem.place.line, problem.message, problem.hint) for problem in caught.value.problems]
    choice = " or ".join(f'secret("cloud@{name}:...")' for name in ("one", "two"))
    assert told == [
        (1, 'secret("evn:A"): there is no secret source "evn"', 'did you mean "env"?'),
        (
            2,
            'secret("nothing:like-it"): there is no secret source "nothing"',
            "installed: cloud, vessel, wicked, env, file, sops",
        ),
        (3, 'secret("env:"): it names no source or no key', 'write secret("source:key")'),
        (4, 'secret(":A"): it names no source or no key', 'write secret("source:key")'),
        (5, 'secret("env"): it names no source or no key', 'write secret("source:key")'),
        (6, 'secret("env@one:A"): source env is read through no target', 'write secret("env:A")'),
        (
            7,
            'secret("env:A B"): "A B" is no name of an environment variable',
            'write secret("env:DB_PASSWORD")',
        ),
        (
            8,
            'secret("env:VAULT_TOKEN"): VAULT_TOKEN is a credential of trueup itself,'
            " which a stack may not read",
            'if it is meant, grant it in trueup.toml: [secrets] env = ["VAULT_TOKEN"]',
        ),
        (
            9,
            'secret("file:/etc/shadow"): stacks may not read /etc/shadow',
            "secrets are read below /run/secrets; add a directory in trueup.toml: [secrets] files",
        ),
        (10, 'secret("sops:missing.yaml#/a"): there is no file missing.yaml', ""),
        (
            11,
            'secret("sops:secrets.yaml#a"): what follows "#" has to be a JSON pointer, not "a"',
            'write "secrets.yaml#/a"',
        ),
        (12, 'secret("cloud@three:a"): there is no target "three" of provider acme', choice),
        (13, 'secret("cloud@nowhere:a"): there is no target "nowhere" of provider acme', choice),
        (14, 'secret("cloud:a"): the stack has several targets of provider acme', choice),
        (
            15,
            'secret("vessel@:a"): the stack has several targets of provider acme',
            choice.replace("cloud", "vessel"),
        ),
    ]


@pytest.mark.parametrize(("call", "error"), [("check", "KeyError"), ("files", "ValueError")])
def test_a_bug_of_a_source_is_a_problem_of_its_secret(call: str, error: str) -> None:
    with pytest.raises(ManifestError) as caught:
        check(f"wicked:{call}")
    (problem,) = caught.value.problems
    assert f"a bug in secret source 'wicked': {call} raised {error} at " in problem.message
    assert "kanarienvogel" not in problem.message


def test_a_source_that_needs_a_target_is_refused_where_there_is_none() -> None:
    with pytest.raises(ManifestError) as caught:
        check("vessel:a", targets=[OTHER])
    (problem,) = caught.value.problems
    assert problem.message == 'secret("vessel:a"): source vessel is read through a target of provider acme'
    assert problem.hint == "the stack has no target of provider acme"


@pytest.mark.parametrize(
    ("grants", "text", "is_granted"),
    [
        ([], "env:A", True),
        ([["env:*"]], "env:A", True),
        ([["env:*"]], "sops:secrets.yaml#/a", False),
        ([["sops:secrets.yaml#/shop/*"]], "sops:secrets.yaml#/a", False),
        ([["*"], ["env:B"]], "env:A", False),
        ([["env:A"], ["*"]], "env:A", True),
        ([[]], "env:A", False),
    ],
)
def test_a_secret_has_to_fit_each_list_of_grants(
    grants: list[list[str]], text: str, is_granted: bool
) -> None:
    if is_granted:
        assert check(text, grants=grants).secrets
        return
    with pytest.raises(ManifestError, match="this stack may not read this secret"):
        check(text, grants=grants)
