"""How a run ended, as JSON: docs/plan-format.md. Called by the reconcile and destroy commands."""

from __future__ import annotations

from typing import Any

from trueup.cli.plan_json import FORMAT_VERSION, plan_document
from trueup.model.outcome import Outcome
from trueup.reconcile.report import RunReport


def run_document(report: RunReport) -> dict[str, Any]:
    """The plan, what became of each node, and the end."""
    return {
        "formatVersion": FORMAT_VERSION,
        "run": report.run or None,
        "status": report.status.value,
        "seconds": round(report.seconds, 3),
        "counts": {result.value: number for result, number in report.counts.items()},
        "plan": plan_document(report.plan),
        "outcomes": [_outcome_document(outcome) for outcome in report.outcomes],
        "left": [address.text for address in report.left],
    }


def _outcome_document(outcome: Outcome) -> dict[str, Any]:
    document: dict[str, Any] = {
        "address": outcome.address.text,
        "result": outcome.result.value,
        "message": outcome.message,
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.hint:
        document["hint"] = outcome.hint
    return document
