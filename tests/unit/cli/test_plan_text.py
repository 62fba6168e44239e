from __future__ import annotations

from tests.unit.cli import samples

from trueup.cli.plan_text import WaysOut, render_change, render_holds, render_plan, summary_line

WAYS = WaysOut(
    "trueup approve shop sha256:0", "trueup reject shop sha256:0", "trueup reconcile shop --approve sha256:0"
)


def test_a_plan_with_one_of_everything_reads_like_this() -> None:
    plan = samples.full_plan()
    text = samples.render((*render_plan(plan), *render_holds(plan, WAYS)))
    samples.check_snapshot("plan.txt", text)


def test_on_a_terminal_each_action_has_its_colour() -> None:
    plan = samples.full_plan()
    text = samples.render((*render_plan(plan), *render_holds(plan, WAYS)), is_terminal=True)
    samples.check_snapshot("plan-terminal.txt", text)


def test_a_plan_without_changes_is_one_line() -> None:
    text = samples.render(render_plan(samples.converged_plan()))
    assert text == "shop is converged: 3 resources, nothing to do.\n"


def test_a_plan_that_only_reports_drift_is_not_called_converged() -> None:
    text = samples.render(render_plan(samples.plan_of(samples.reported(), samples.unchanged("a"))))
    assert "is converged" not in text
    assert "Plan: 1 with drift that is only reported, 1 unchanged." in text


def test_the_summary_leaves_out_what_does_not_occur() -> None:
    plan = samples.plan_of(samples.created(), samples.unchanged("a"))
    assert summary_line(plan).plain == "Plan: 1 to create, 1 unchanged."


def test_an_address_longer_than_the_terminal_is_neither_cut_nor_wrapped() -> None:
    change = samples.unchanged("x" * 300)
    (line,) = render_change(change)
    assert samples.render([line], is_terminal=False) == f"  ! {change.address}  drift\n"


def test_a_plan_that_nothing_holds_says_nothing_of_approval() -> None:
    assert list(render_holds(samples.converged_plan(), WAYS)) == []


def test_no_sequence_of_a_live_system_reaches_the_terminal() -> None:
    plain = samples.render(render_change(samples.drifted()))
    assert "\x1b" not in plain
    assert "\u202e" not in plain
    assert r"\x1b]0;owned\x07 hello\u202e" in plain
