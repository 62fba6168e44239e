"""What a stack gives to others at the end of a run, however the run ended."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.reconcile.conftest import Loop, results

from trueup.app import Question
from trueup.errors import ManifestError
from trueup.model.outcome import RunStatus
from trueup.model.values import UNKNOWN
from trueup.reconcile.report import Selection
from trueup.sdk.testing.memory_world import Fault

SIZE = '${{ ref("Thing/a").spec.size }}'
ID = '${{ ref("Thing/a").status.id }}'


def outputs(loop: Loop) -> Any:
    return loop.app.store.outputs("shop")


def test_outputs_are_what_the_systems_and_the_files_say(loop: Loop) -> None:
    loop.write_stack(outputs={"size": SIZE, "id": ID, "fixed": 1})
    loop.declare("a", {"size": 3})
    loop.run()
    entry = loop.world.peek("Thing/a")
    assert entry is not None
    assert outputs(loop) == {"size": 3, "id": entry["id"], "fixed": 1}


def test_a_value_that_was_not_applied_is_not_given_to_others(loop: Loop) -> None:
    loop.write_stack(outputs={"size": SIZE})
    loop.declare("a", {"size": 1})
    loop.run()
    loop.declare("a", {"size": 2})
    loop.world.inject(Fault("update", "Invalid"))
    assert results(loop.run()) == {"a": "failed"}
    assert outputs(loop) == {"size": 1}
    assert results(loop.run()) == {"a": "updated"}
    assert outputs(loop) == {"size": 2}


def test_an_output_of_a_resource_that_is_blocked_keeps_its_value(loop: Loop) -> None:
    loop.write_stack(outputs={"size": '${{ ref("Thing/b").spec.size }}'})
    loop.declare("a", {"size": 1})
    loop.declare("b", {"size": 1}, dependsOn=["Thing/a"])
    loop.run()
    loop.declare("a", {"size": 2})
    loop.declare("b", {"size": 2}, dependsOn=["Thing/a"])
    loop.world.inject(Fault("update", "Invalid"))
    assert results(loop.run()) == {"a": "failed", "b": "blocked"}
    assert outputs(loop) == {"size": 1}


def test_an_output_that_a_run_does_not_look_at_keeps_its_value(loop: Loop) -> None:
    loop.write_stack(outputs={"size": SIZE, "other": '${{ ref("Thing/b").status.id }}'})
    loop.declare("a", {"size": 1})
    loop.declare("b")
    loop.run()
    before = outputs(loop)
    loop.world.inject(Fault("observe", "Denied"))
    assert loop.run().status is RunStatus.FAILED
    assert outputs(loop) == before
    loop.declare("a", {"size": 2})
    assert results(loop.run(Selection(only=("Thing/b",)))) == {"b": "unchanged"}
    assert outputs(loop) == before


def test_an_output_that_leaves_the_stack_file_is_gone(loop: Loop) -> None:
    loop.write_stack(outputs={"size": SIZE, "fixed": 1})
    loop.declare("a", {"size": 1})
    loop.run()
    loop.write_stack(outputs={"size": SIZE})
    loop.run()
    assert outputs(loop) == {"size": 1}
    loop.destroy()
    assert outputs(loop) == {}


def ask(loop: Loop, expression: str) -> Any:
    return loop.app.evaluate(loop.source, Question(expression))


def test_a_question_that_needs_what_cannot_be_looked_at_is_an_error_and_not_unknown(loop: Loop) -> None:
    loop.declare("a", {"size": 1})
    assert ask(loop, 'ref("Thing/a").status.id') is UNKNOWN
    loop.run()
    assert isinstance(ask(loop, 'ref("Thing/a").status.id'), str)
    loop.world.inject(Fault("observe", "Denied", times=2))
    with pytest.raises(ManifestError, match="shop/Thing/a@here could not be looked at: "):
        ask(loop, 'ref("Thing/a").status.id')
    assert ask(loop, 'ref("Thing/a").spec.size') == 1


def test_outputs_are_gone_with_the_last_object_and_not_before(loop: Loop) -> None:
    loop.write_stack(outputs={"size": SIZE, "fixed": 1})
    loop.declare("a", {"size": 1})
    loop.declare("b")
    loop.run()
    assert results(loop.destroy(Selection(only=("Thing/b",)))) == {"b": "deleted"}
    assert outputs(loop) == {"size": 1, "fixed": 1}
    loop.world.inject(Fault("delete", "Invalid"))
    assert results(loop.destroy()) == {"a": "failed"}
    assert outputs(loop) == {"size": 1, "fixed": 1}
    assert results(loop.destroy()) == {"a": "deleted"}
    assert outputs(loop) == {}
