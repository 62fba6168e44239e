from __future__ import annotations

from dataclasses import replace

from tests.unit.cli import samples

from trueup.cli.plan_text import WaysOut, render_change, render_holds, render_plan, summary_line
from trueup.model.plan import Hold

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


def test_each_change_against_a_policy_is_shown_with_the_reason() -> None:
    plan = replace(samples.plan_of(samples.created()), breaches=samples.breaches())
    shown = samples.render(render_plan(plan))
    assert (
        "\ndenied shop/File/site@web-1  policy private of the installation\n"
        "      nobody else's business\n"
        "      not fulfilled: change.after.spec.mode == '0600'\n"
        "      change.after.spec.mode is sensitive\n"
        "warning shop/File/site@web-1  policy named of the stack\n"
        "      not fulfilled: change.name != 'site'\n"
        "\nPlan: 1 to create"
    ) in shown


def test_a_final_hold_offers_no_way_out() -> None:
    plan = samples.plan_of(
        samples.created(), holds=[Hold("stateful", "m"), Hold("policy", "no\x1b[2J", is_final=True)]
    )
    shown = samples.render(render_holds(plan, WAYS))
    assert shown == ("\nHeld back. No approval lifts this:\n  stateful: m\n  policy (final): no\\x1b[2J\n")


def test_a_plan_whose_history_was_rewritten_says_so() -> None:
    plan = replace(samples.converged_plan(), rewritten_from="a" * 40)
    shown = samples.render(render_plan(plan))
    assert f"History was rewritten: the commit of the last run, {'a' * 12}, is no ancestor" in shown


def test_what_is_wrong_with_a_target_is_told_once_with_the_count() -> None:
    changes = [
        replace(samples.unseen(), address=samples.address(name, target=target))
        for target in ("web-2", "web-3")
        for name in ("a", "b", "c")
    ]
    text = samples.render(render_plan(samples.plan_of(*changes, samples.refused())))
    assert text.count("timed out") == 2
    assert "the same for 2 more on web-2\n" in text
    assert "the same for 2 more on web-3\n" in text


def test_what_is_in_quarantine_is_shown_with_who_fights_for_it() -> None:
    text = samples.render(render_plan(samples.plan_of(samples.quarantined(), samples.unchanged("a"))))
    told = r"quarantined until 2026-11-25 18:10:00Z: cron\x1b[2J changes /spec/content again and again"
    assert f"  ! shop/File/motd@web-1  {told}\n" in text
    assert "Plan: 1 in quarantine, 1 unchanged." in text
