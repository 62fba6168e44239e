"""What expressions give is checked as what files say is: by the schema, by the kind, telling no secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from trueup.errors import ManifestError, Place, Problem
from trueup.manifests.expressions import Expression, NothingKnown
from trueup.manifests.program import compile_expression
from trueup.manifests.text_places import ProgramPart
from trueup.model.address import Address
from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.model.resource import Node, Target
from trueup.model.values import UNKNOWN, Sensitive, Value
from trueup.reconcile.recheck import resolve_checked
from trueup.sdk.testing.memory import Thing

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop


def problems(loop: Loop) -> dict[str, str]:
    return {change.address.name: change.problem for change in loop.plan().changes if change.problem}


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("${{ ref('Thing/a') }}", "a map"),
        ("${{ ref('Thing/a').spec.value }}", "a string"),
        ("${{ [ref('Thing/a').spec.value] }}", "a list"),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_at_its_place(loop: Loop, given: str, what: str) -> None:
    loop.declare("a", {"value": "text"})
    loop.run()
    loop.declare("b", {"size": given})
    place = "Thing-b.yaml:6:13"
    assert problems(loop)["b"].startswith(f"{place}: spec.size must be an integer, not {what}")
    assert "quotes" not in problems(loop)["b"]
    assert loop.run().status is RunStatus.FAILED
    assert loop.world.list_keys() == ["Thing/a"]


def test_a_value_that_a_run_learns_is_refused_before_the_call(loop: Loop) -> None:
    loop.declare("a")
    loop.declare("b", {"size": "${{ ref('Thing/a').status.id }}"})
    assert problems(loop) == {}
    report = loop.run()
    (message,) = [outcome.message for outcome in report.outcomes if outcome.message]
    assert message.startswith("Thing-b.yaml:6:13: spec.size must be an integer, not a string")
    assert [call.key for call in loop.world.calls() if call.verb == "create"] == ["Thing/a"]


def test_a_good_value_is_no_problem_and_neither_is_one_that_is_not_known(loop: Loop) -> None:
    loop.declare("a", {"size": 3})
    loop.declare("b", {"size": "${{ ref('Thing/a').spec.size }}", "value": "${{ ref('Thing/a').status.id }}"})
    assert problems(loop) == {}
    assert loop.run().status is RunStatus.CONVERGED
    assert loop.spec("Thing/b")["size"] == 3
    assert not loop.plan().has_changes


@pytest.mark.parametrize("given", ["${{ secret('env:SIZE') }}", "${{ [secret('env:SIZE')] }}"])
def test_a_secret_is_not_told(loop: Loop, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE", "hunter2")
    loop.declare("b", {"size": given})
    (problem,) = problems(loop).values()
    assert problem.startswith("Thing-b.yaml:6:13: spec.size must be an integer, not a ")
    assert "hunter2" not in problem


def test_the_wrong_value_of_one_resource_holds_up_no_other(loop: Loop) -> None:
    loop.declare("a", {"value": "text"})
    loop.declare("b", {"size": "${{ ref('Thing/a').spec.value }}"})
    loop.declare("c")
    assert [change.action for change in loop.plan().changes if change.address.name != "b"] == [
        Action.CREATE,
        Action.CREATE,
    ]
    loop.run()
    assert loop.world.list_keys() == ["Thing/a", "Thing/c"]


class Picky(Thing):
    """Refuses a value by quoting it, and knows few sizes."""

    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "size": {"enum": ["small", "large"]},
            "value": {"type": ["string", "object"], "additionalProperties": False},
            "other": {},
        },
    }

    def validate(self, node: Node) -> Iterable[Problem]:
        value = node.spec.get("value")
        if value is not UNKNOWN and value != "good":
            yield Problem(f"spec.value: {value!r} is not good", node.place)


def check(**values: Value) -> list[str]:
    """What is wrong with a body whose expressions, in lines 1, 2 and so on, give these values."""
    spec = {key: given(key, line) for line, key in enumerate(values, 1)}
    address = Address("shop", "Picky", "a", "here")
    node = Node(
        address, "memory.trueup.dev/v1", Target("here", "memory"), {"spec": spec}, place=Place("a", 9, 9)
    )
    try:
        resolve_checked(node, Given({f"env:{key}": value for key, value in values.items()}), Picky(), None)
    except ManifestError as error:
        return [str(problem).partition("\n")[0] for problem in error.problems]
    return []


def given(key: str, line: int) -> Expression:
    text = f'secret("env:{key}")'
    stands = SimpleNamespace(place=Place("a", line, 1))
    return Expression([ProgramPart(compile_expression(text), lambda: [stands], 0)], {}, {})


@dataclass
class Given(NothingKnown):
    """The look-up of values that need not be secret."""

    values: Mapping[str, Value]

    def secret(self, text: str) -> Value:
        return self.values[text]


def test_a_kind_says_what_the_schema_cannot() -> None:
    assert check(size="small", value="good") == []
    assert check(size="small", value="bad") == ["a:2:1: spec.value: 'bad' is not good"]
    assert check(size="huge", value="good") == ['a:1:1: spec.size cannot be "huge"']


def test_what_is_not_known_is_not_judged() -> None:
    assert check(size=UNKNOWN, value=UNKNOWN) == []


@pytest.mark.parametrize(
    ("name", "secret"), [("size", "hunter2"), ("value", {"hunter2": 1}), ("value", "hunter2"), ("other", "x")]
)
def test_a_sensitive_value_is_told_by_no_check(name: str, secret: Value) -> None:
    found = check(**{name: Sensitive(secret), **({} if name == "value" else {"value": "good"})})
    assert "hunter2" not in str(found)
    is_wrong = name == "size" or isinstance(secret, dict)
    assert found == ([f"a:1:1: spec.{name} has a value that is not allowed"] if is_wrong else [])
