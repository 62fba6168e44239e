from __future__ import annotations

import json
from pathlib import Path

from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run

STORE = ["--store", "s.db"]


def test_a_suspended_stack_is_looked_at_and_not_run(stack: Path, capsys) -> None:
    index = stack.parent / "live" / "www" / "index.html"
    assert run(["reconcile", str(stack), "--yes", *STORE]) == 0
    assert run(["suspend", str(stack), "--reason", "the move", "--as", "bo", *STORE]) == 0
    shown = capsys.readouterr().out
    assert "Suspended by bo, " in shown
    assert f"shop is not run until `trueup resume {stack} --store s.db`.\n" in shown
    index.write_text("by hand\n")
    for verb, code in (("plan", 2), ("status", 0), ("drift", 2), ("history", 0)):
        assert run([verb, str(stack), *STORE]) == code
        assert "Suspended by bo, " in capsys.readouterr().out, verb
    assert run(["validate", str(stack)]) == 0
    for verb in ("reconcile", "destroy"):
        assert run([verb, str(stack), "--yes", *STORE]) == 3
        shown = capsys.readouterr().err
        assert "stack 'shop' is suspended by bo: the move" in shown
        assert f"`trueup resume {stack} --store s.db` lets it be run again" in shown
    assert index.read_text() == "by hand\n"
    assert run(["reconcile", str(stack), "--yes", "--force", *STORE]) == 0
    assert index.read_text().startswith("hello")
    assert run(["reconcile", str(stack), "--yes", *STORE]) == 3
    assert run(["destroy", str(stack), "--yes", "--force", *STORE]) == 0
    assert not index.exists()


def test_who_suspended_it_first_and_why_is_kept_unless_that_is_forced(stack: Path, capsys) -> None:
    assert run(["suspend", str(stack), "--reason", "db restore", "--as", "bo@desk", *STORE]) == 0
    capsys.readouterr()
    assert run(["suspend", str(stack), "--reason", "a test", "--as", "eve", *STORE]) == 3
    assert "stack 'shop' is already suspended by bo@desk: db restore" in capsys.readouterr().err
    assert run(["plan", str(stack), *STORE]) == 2
    assert "Suspended by bo@desk, " in capsys.readouterr().out
    assert run(["suspend", str(stack), "--reason", "a test", "--as", "eve", "--force", *STORE]) == 0
    assert "Suspended by eve, " in capsys.readouterr().out


def test_a_refusal_is_json_where_that_is_asked_for(stack: Path, capsys) -> None:
    assert run(["suspend", str(stack), "-o", "json", *STORE]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["stack"], document["pin"]["kind"]) == ("shop", "suspended")
    assert run(["reconcile", str(stack), "--yes", "-o", "json", *STORE]) == 3
    document = json.loads(capsys.readouterr().out)
    check(document, "problems-v1")
    assert "is suspended" in document["problems"][0]["message"]


def test_a_stack_that_never_ran_can_be_suspended_and_resumed(stack: Path, capsys) -> None:
    assert run(["suspend", str(stack), *STORE]) == 0
    assert run(["reconcile", str(stack), "--yes", *STORE]) == 3
    assert run(["resume", str(stack), *STORE]) == 0
    assert run(["reconcile", str(stack), "--yes", *STORE]) == 0


def test_suspending_and_resuming_are_kept_among_the_events(stack: Path, capsys) -> None:
    assert run(["suspend", str(stack), "--as", "bo", *STORE]) == 0
    assert run(["resume", str(stack), "--as", "eve", *STORE]) == 0
    capsys.readouterr()
    assert run(["events", str(stack), "-o", "json", *STORE]) == 0
    events = json.loads(capsys.readouterr().out)["events"]
    assert [event["kind"] for event in events] == ["resumed", "suspended"]
    assert events[0]["message"] == "eve resumed the stack, which was suspended by bo"
