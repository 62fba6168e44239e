"""How a run ended, as JSON: docs/plan-format.md. Called by the reconcile and destroy commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueup.cli.problems import problem_document
from trueup.model.outcome import Outcome
from trueup.model.values import Sensitive, Unknown, Value
from trueup.reconcile.plan_document import FORMAT_VERSION, plan_document, quarantine_document
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
        "outputs": shown_outputs(report.outputs),
        "problems": [problem_document(problem) for problem in report.problems],
        "quarantines": [
            {"address": each.address.text, **quarantine_document(each)} for each in report.quarantines
        ],
    }


def shown_outputs(outputs: Value) -> Value:
    """The outputs as everyone may see them: a sensitive one by its mask."""
    if isinstance(outputs, Mapping):
        # What the store gives back of a sensitive value is its hash.
        is_hash = outputs.keys() == {"$sensitive"}
        return "(sensitive)" if is_hash else {key: shown_outputs(item) for key, item in outputs.items()}
    if isinstance(outputs, list):
        return [shown_outputs(item) for item in outputs]
    return str(outputs) if isinstance(outputs, Sensitive | Unknown) else outputs


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
