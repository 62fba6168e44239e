from __future__ import annotations

from dataclasses import replace

import structlog

from trueup.daemon.narrate import Narrator, tell_quarantines
from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.outcome import Outcome, Result
from trueup.model.plan import Plan
from trueup.model.quarantine import Quarantine
from trueup.model.resource import Revision

SITE = Address("shop", "File", "site", "web-1")


def narrate(tell):
    """The log lines, and how often progress was noted."""
    progress = []
    with structlog.testing.capture_logs() as logs:
        tell(Narrator(structlog.get_logger().bind(stack="shop", commit="a"), lambda: progress.append(1)))
    return logs, len(progress)


def test_a_step_is_told_with_stack_commit_address_and_outcome():
    change = Change(SITE, Action.UPDATE, is_drift=True)
    logs, progress = narrate(
        lambda narrator: narrator.finished(Outcome(SITE, Result.UPDATED, change, seconds=1.23456))
    )
    assert logs == [
        {
            "event": "step",
            "log_level": "info",
            "stack": "shop",
            "commit": "a",
            "address": "shop/File/site@web-1",
            "outcome": "updated",
            "seconds": 1.235,
            "drift": True,
        }
    ]
    assert progress == 1


def test_a_failed_step_is_an_error_with_what_to_do():
    outcome = Outcome(SITE, Result.FAILED, message="no space left", hint="make room")
    ((line,), _) = narrate(lambda narrator: narrator.finished(outcome))
    assert (line["log_level"], line["error"], line["hint"]) == ("error", "no space left", "make room")


def test_what_did_not_change_is_progress_and_no_line():
    assert narrate(lambda narrator: narrator.finished(Outcome(SITE, Result.UNCHANGED))) == ([], 1)


def test_a_node_that_cannot_be_judged_is_told_with_the_plan():
    plan = Plan("shop", Revision("", "", "a"), (Change(SITE, Action.UNKNOWN, problem="host is down"),))
    ((line,), _) = narrate(lambda narrator: narrator.planned(plan))
    assert (line["address"], line["error"]) == (SITE.text, "host is down")


def test_a_wait_is_told_with_its_reason():
    ((line,), progress) = narrate(lambda narrator: narrator.waiting(SITE, "1 of 3 ready"))
    assert (line["why"], progress) == ("1 of 3 ready", 1)


def test_a_quarantine_is_told_once_with_who_fights_and_so_is_its_end():
    first = Quarantine(SITE, ("/spec/mode",), "cron", 1, 1_795_629_000.0, 1_795_629_600.0)
    again = replace(first, strikes=2, since=first.until, until=first.until + 1200)

    def tell(before, now):
        with structlog.testing.capture_logs() as logs:
            tell_quarantines(structlog.get_logger(), before, now)
        return logs

    (line,) = tell((), (first,))
    assert (line["log_level"], line["address"], line["writer"]) == ("warning", SITE.text, "cron")
    assert line["why"] == "quarantined until 2026-11-25 18:00:00Z: cron changes /spec/mode again and again"
    assert tell((first,), (first,)) == []
    assert [line["strikes"] for line in tell((first,), (again,))] == [2]
    assert tell((first,), ()) == [{"event": "released", "log_level": "info", "address": SITE.text}]
