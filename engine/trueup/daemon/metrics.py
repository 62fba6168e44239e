"""The daemon's Prometheus metrics, in a registry of their own. Filled by `follow`, read by `serve`."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from trueup.model.outcome import Result, RunStatus
from trueup.model.plan import Pin
from trueup.reconcile.report import RunReport

CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
CORRECTED = frozenset({Result.CREATED, Result.UPDATED, Result.REPLACED})


class Metrics:
    """Each metric's name and help is what docs/daemon.md lists."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        stack = ("stack",)
        self.runs = Counter("trueup_runs", "Runs by how they ended", ("stack", "status"), registry=registry)
        self.run_duration = Histogram(
            "trueup_run_duration_seconds", "How long runs took", stack, buckets=BUCKETS, registry=registry
        )
        self.nodes = Gauge(
            "trueup_nodes", "Nodes of the last run by what happened", ("stack", "result"), registry=registry
        )
        self.converged = Gauge(
            "trueup_stack_converged", "1 if the last run converged", stack, registry=registry
        )
        self.held = Gauge(
            "trueup_held", "1 if a guard holds the stack until its plan is approved", stack, registry=registry
        )
        self.suspended = Gauge(
            "trueup_suspended", "1 if the stack is suspended until it is resumed", stack, registry=registry
        )
        self.pinned = Gauge(
            "trueup_pinned", "1 if the stack stays at a commit until it is resumed", stack, registry=registry
        )
        self.last_success = Gauge(
            "trueup_last_success_timestamp_seconds", "When a run converged last", stack, registry=registry
        )
        self.store_usable = Gauge(
            "trueup_store_usable", "0 if the last run could not use the store", stack, registry=registry
        )
        self.source_age = Gauge(
            "trueup_source_age_seconds", "How long ago the source answered last", stack, registry=registry
        )
        self.source_errors = Counter(
            "trueup_source_errors", "Looks at the source that got no answer", stack, registry=registry
        )
        self.drift_corrected = Counter(
            "trueup_drift_corrected", "Nodes whose drift was corrected", stack, registry=registry
        )
        self.quarantined = Gauge(
            "trueup_quarantined", "Nodes left alone since somebody fights for them", stack, registry=registry
        )
        self.commit = Info(
            "trueup_stack_commit", "The commit that the stack was read from last", stack, registry=registry
        )

    def watch_source(self, stack: str, age: Callable[[], float]) -> None:
        """Makes the stack visible from the start, and its source's age true at each reading."""
        self.source_age.labels(stack).set_function(age)
        for gauge in (self.converged, self.held, self.suspended, self.pinned, self.quarantined):
            gauge.labels(stack).set(0)
        self.store_usable.labels(stack).set(1)
        for counter in (self.drift_corrected, self.source_errors):
            counter.labels(stack)

    def count_run(self, stack: str, status: str, seconds: float) -> None:
        """Counts a run that ended, crashed ones included."""
        self.runs.labels(stack, str(status)).inc()
        self.run_duration.labels(stack).observe(seconds)
        # An interrupted run says nothing about the stack.
        if status != RunStatus.INTERRUPTED:
            self.converged.labels(stack).set(status == RunStatus.CONVERGED)
            self.held.labels(stack).set(status == RunStatus.HELD)
        if status == RunStatus.CONVERGED:
            self.last_success.labels(stack).set(time.time())

    def note_pin(self, stack: str, pin: Pin | None) -> None:
        """Takes over whether the stack follows its source."""
        self.suspended.labels(stack).set(pin is not None and pin.is_suspended)
        self.pinned.labels(stack).set(pin is not None and bool(pin.commit))

    def note_report(self, stack: str, report: RunReport) -> None:
        """Takes over what a run that came to an end tells of the stack."""
        self.commit.labels(stack).info({"commit": report.plan.revision.commit})
        for result, count in report.counts.items():
            self.nodes.labels(stack, result.value).set(count)
        corrected = sum(
            outcome.result in CORRECTED and outcome.change is not None and outcome.change.is_drift
            for outcome in report.outcomes
        )
        self.drift_corrected.labels(stack).inc(corrected)
        self.quarantined.labels(stack).set(len(report.quarantines))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
