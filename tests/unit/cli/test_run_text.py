from __future__ import annotations

from dataclasses import replace

from tests.unit.cli import samples

from trueup.cli.run_text import render_report
from trueup.model.outcome import Result, RunStatus
from trueup.reconcile.report import RunReport

PLAN = samples.full_plan()


def test_a_failed_run_says_what_failed_and_what_that_blocks() -> None:
    outcomes = (
        samples.outcome(samples.created(), Result.CREATED),
        samples.outcome(samples.adopted(), Result.ADOPTED),
        samples.outcome(samples.unchanged("a"), Result.UNCHANGED),
        samples.outcome(
            samples.updated(), Result.FAILED, "not done after 12 s:\n1 of 3 pods\x1b[2J", "look at the pods"
        ),
        samples.outcome(samples.deleted(), Result.BLOCKED, "waits for shop/Deployment/prod/web@k3s"),
    )
    text = samples.render(render_report(RunReport(PLAN, RunStatus.FAILED, outcomes, 3.21, 7)))
    samples.check_snapshot("run-failed.txt", text)


def test_an_interrupted_run_lists_what_is_left() -> None:
    left = tuple(samples.address(f"f{n}") for n in range(60))
    outcomes = (samples.outcome(samples.created(), Result.CREATED),)
    text = samples.render(render_report(RunReport(PLAN, RunStatus.INTERRUPTED, outcomes, 3.2, 7, left)))
    assert "  shop/File/f49@web-1\n  and 10 more\n" in text
    assert text.endswith("shop was interrupted: 1 created, 60 not begun in 3.2 s.\n")


def test_a_run_that_changed_something_counts_it() -> None:
    outcomes = (
        samples.outcome(samples.created(), Result.CREATED),
        samples.outcome(samples.unchanged("a"), Result.UNCHANGED),
    )
    text = samples.render(render_report(RunReport(PLAN, RunStatus.CONVERGED, outcomes, 3.2, 7)))
    assert text == "shop is converged: 1 created, 1 unchanged in 3.2 s.\n"


def test_a_run_that_had_nothing_to_do_says_so() -> None:
    outcomes = tuple(samples.outcome(samples.unchanged(name), Result.UNCHANGED) for name in "abc")
    text = samples.render(render_report(RunReport(PLAN, RunStatus.CONVERGED, outcomes, 0.3, 7)))
    assert text == "shop is converged: 3 resources, nothing to do in 0.3 s.\n"


def test_a_destroy_of_nothing_says_so() -> None:
    text = samples.render(render_report(RunReport(samples.plan_of(), RunStatus.CONVERGED, (), 0.3, 7)))
    assert text == "shop is converged: 0 resources, nothing to do in 0.3 s.\n"


def test_what_is_wrong_with_a_target_is_told_once_with_the_count() -> None:
    changes = [replace(samples.unseen(), address=samples.address(name, target="web-2")) for name in "abc"]
    failed = [samples.outcome(change, Result.FAILED, change.problem) for change in changes]
    refused = [samples.outcome(samples.updated(), Result.FAILED, "no")] * 2
    plan = samples.plan_of(*changes, samples.updated())
    report = RunReport(plan, RunStatus.FAILED, (*failed, *refused), 1.0)
    text = samples.render(render_report(report))
    assert text.count("timed out") == 1
    assert "  the same for 2 more on web-2\n" in text
    assert text.count("  no\n") == 2


def test_a_run_that_leaves_a_node_in_quarantine_warns_of_it() -> None:
    change = samples.quarantined()
    assert change.quarantine is not None
    outcomes = (samples.outcome(change, Result.SKIPPED, change.reasons[0]),)
    report = RunReport(PLAN, RunStatus.CONVERGED, outcomes, 3.2, 7, quarantines=(change.quarantine,))
    warning, way, end = samples.render(render_report(report)).splitlines()
    assert warning == (
        "warning: shop/File/motd@web-1 is quarantined until 2026-11-25 18:10:00Z: "
        r"cron\x1b[2J changes /spec/content again and again"
    )
    assert "`trueup resume SOURCE --only ADDRESS`" in way
    assert end == "shop is converged: 1 skipped in 3.2 s."


def test_a_run_with_many_fights_warns_of_the_first_and_counts_the_others() -> None:
    change = samples.quarantined()
    assert change.quarantine is not None
    outcomes = (samples.outcome(change, Result.SKIPPED, change.reasons[0]),)
    report = RunReport(PLAN, RunStatus.CONVERGED, outcomes, 3.2, 7, quarantines=(change.quarantine,) * 1050)
    warnings = [line.plain for line in render_report(report) if line.plain.startswith("warning: ")]
    assert (len(warnings), warnings[-1]) == (51, "warning: 1000 more are quarantined: see `trueup status`")
