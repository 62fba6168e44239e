"""What the daemon asks of the engine and of its store, and the stacks that it follows. Used by follow."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trueup.app import Loaded, SourceSpec
from trueup.reconcile.report import Listener, RunReport
from trueup.state.store import Decision, Event, Pin, RunRecord


class EventLog(Protocol):
    """What a follower asks of the store."""

    def add_events(self, stack: str, events: Sequence[Event]) -> None: ...

    def latest_decision(self, stack: str) -> Decision | None: ...

    def pin_of(self, stack: str) -> Pin | None: ...

    def runs(self, stack: str) -> Sequence[RunRecord]: ...


class Engine(Protocol):
    """What a follower asks of `trueup.app.App`."""

    def latest_commit(self, source: SourceSpec) -> str: ...

    @property
    def store(self) -> EventLog: ...

    def follow(self, source: SourceSpec) -> Loaded: ...

    def reconcile(
        self,
        source: SourceSpec,
        *,
        trigger: str = "once",
        listener: Listener | None = None,
        stop: threading.Event | None = None,
    ) -> RunReport: ...


@dataclass(frozen=True)
class Followed:
    """One configured stack. `poll` and `interval` are in seconds; None: what the stack's own file says."""

    name: str
    source: SourceSpec
    poll: float = 60.0
    interval: float | None = None
