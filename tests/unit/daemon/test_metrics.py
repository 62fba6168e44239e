from __future__ import annotations

from dataclasses import replace

from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.outcome import Outcome, Result, RunStatus
from trueup.model.plan import Plan
from trueup.model.quarantine import Quarantine
from trueup.model.resource import Revision
from trueup.reconcile.report import RunReport


def outcome(name, result, *, drift=False):
    address = Address("shop", "File", name, "web-1")
    return Outcome(address, result, Change(address, Action.UPDATE, is_drift=drift))


def report(*outcomes, commit="a"):
    return RunReport(Plan("shop", Revision("", "", commit), ()), RunStatus.CONVERGED, tuple(outcomes))


def test_nodes_are_those_of_the_last_run_zeros_included(metrics, sample):
    metrics.note_report("shop", report(outcome("a", Result.CREATED), outcome("b", Result.CREATED)))
    assert sample("trueup_nodes", stack="shop", result="created") == 2
    metrics.note_report("shop", report(outcome("a", Result.UNCHANGED), outcome("b", Result.UNCHANGED)))
    assert sample("trueup_nodes", stack="shop", result="created") == 0
    assert sample("trueup_nodes", stack="shop", result="unchanged") == 2


def test_only_drift_that_was_corrected_counts_as_corrected(metrics, sample):
    metrics.note_report(
        "shop",
        report(
            outcome("back", Result.UPDATED, drift=True),
            outcome("again", Result.CREATED, drift=True),
            outcome("failed", Result.FAILED, drift=True),
            outcome("wanted", Result.UPDATED),
        ),
    )
    assert sample("trueup_drift_corrected_total", stack="shop") == 2


def test_the_commit_is_told_once_as_the_newest(metrics, sample):
    metrics.note_report("shop", report(commit="a"))
    metrics.note_report("shop", report(commit="b"))
    assert sample("trueup_stack_commit_info", stack="shop", commit="b") == 1
    assert sample("trueup_stack_commit_info", stack="shop", commit="a") is None


def test_an_interrupted_run_says_nothing_about_the_stack(metrics, sample):
    metrics.count_run("shop", RunStatus.CONVERGED, 1.5)
    metrics.count_run("shop", RunStatus.INTERRUPTED, 1.5)
    assert sample("trueup_stack_converged", stack="shop") == 1
    assert sample("trueup_run_duration_seconds_count", stack="shop") == 2


def test_a_hold_is_shown_until_a_run_is_not_held(metrics, sample):
    metrics.count_run("shop", RunStatus.HELD, 0.1)
    assert sample("trueup_held", stack="shop") == 1
    metrics.count_run("shop", RunStatus.CONVERGED, 0.1)
    assert sample("trueup_held", stack="shop") == 0


def test_a_stack_is_visible_before_its_first_run(metrics):
    metrics.watch_source("shop", lambda: 12.0)
    text = metrics.text().decode()
    assert 'trueup_source_age_seconds{stack="shop"} 12.0' in text
    assert 'trueup_stack_converged{stack="shop"} 0.0' in text


def test_nodes_in_quarantine_are_counted(metrics, sample):
    metrics.watch_source("shop", lambda: 0.0)
    assert sample("trueup_quarantined", stack="shop") == 0
    address = Address("shop", "File", "site", "web-1")
    fought = (Quarantine(address, ("/spec/mode",), "cron", 1, 0.0, 600.0),)
    metrics.note_report("shop", replace(report(), quarantines=fought))
    assert sample("trueup_quarantined", stack="shop") == 1
    metrics.note_report("shop", report())
    assert sample("trueup_quarantined", stack="shop") == 0
