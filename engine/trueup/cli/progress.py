"""Tells of a run while it goes on. Called by the engine as its Listener.

On a terminal the steps under way stand in a live area below the finished ones; on a pipe each event is a
line. It never raises: a terminal that went away must not end a run in the middle of its calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from trueup.cli.output import RESULT_STYLES, STYLES, escape, one_line, plain, seconds
from trueup.model.address import Address
from trueup.model.change import Action, Change
from trueup.model.outcome import Outcome, Result
from trueup.model.plan import Plan

MAX_ROWS = 12

_VERBS = {
    Action.NONE: "checking",
    Action.CREATE: "creating",
    Action.UPDATE: "updating",
    Action.REPLACE: "replacing",
    Action.DELETE: "deleting",
    Action.ADOPT: "adopting",
    Action.FORGET: "forgetting",
    Action.UNKNOWN: "checking",
}


@dataclass
class _Row:
    change: Change
    started_at: float
    why: str = ""


@dataclass
class Progress:
    """The listener of one run. Use it as a context manager around the run.

    `show_plan` is called once with the plan. `is_silent`: nothing of the progress is told.
    """

    console: Console
    show_plan: Callable[[Plan], None]
    is_live: bool
    is_silent: bool = False
    _rows: dict[Address, _Row] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _live: Live | None = None
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots"))
    _is_gone: bool = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._live is not None:
            self._try(self._live.stop)
            self._live = None

    # -- the Listener

    def planned(self, plan: Plan) -> None:
        self._try(lambda: self.show_plan(plan))

    def started(self, change: Change) -> None:
        with self._lock:
            self._rows[change.address] = _Row(change, time.monotonic())
        if self.is_live and not self.is_silent and self._live is None:
            self._try(self._start_live)

    def waiting(self, address: Address, why: str) -> None:
        with self._lock:
            row = self._rows.get(address)
            if row is not None:
                row.why = why
        if not self.is_live and why:
            self._print(plain((f"waiting {escape(address.text)}: {one_line(why)}", "")))

    def finished(self, outcome: Outcome) -> None:
        with self._lock:
            self._rows.pop(outcome.address, None)
        if outcome.result is not Result.UNCHANGED:
            self._print(outcome_line(outcome))

    # -- the live area

    def _start_live(self) -> None:
        self._live = Live(
            console=self.console,
            get_renderable=self._render,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _render(self) -> RenderableType:
        with self._lock:
            rows = list(self._rows.values())
        now = time.monotonic()
        spin = str(self._spinner.render(now))
        limit = max(1, min(MAX_ROWS, self.console.height - 3))
        lines: list[Text] = [_describe_row(row, now, spin) for row in rows[:limit]]
        if len(rows) > limit:
            lines.append(plain((f"    and {len(rows) - limit} more", "dim")))
        for line in lines:
            # A line that the terminal wraps would leave remains behind when the area is drawn again.
            line.truncate(self.console.width, overflow="ellipsis")
        return Group(*lines)

    def _print(self, line: Text) -> None:
        if not self.is_silent:
            self._try(lambda: self.console.print(line))

    def _try(self, write: Callable[[], None]) -> None:
        """Writes as long as there is somebody to write to."""
        if self._is_gone:
            return
        try:
            write()
        except (OSError, ValueError):
            self._is_gone = True


def _describe_row(row: _Row, now: float, spin: str) -> Text:
    style = STYLES[row.change.action] if row.change.action is not Action.NONE else "dim"
    why = f", waiting: {one_line(row.why)}" if row.why else ""
    return plain(
        (f"{spin} {_VERBS[row.change.action]} ", style),
        (escape(row.change.address.text), "bold"),
        (f"  {now - row.started_at:.0f}s{why}", "dim"),
    )


def outcome_line(outcome: Outcome) -> Text:
    """`created shop/File/site@web-1 (0.3s)`, `failed shop/File/site@web-1 (0.3s): message`."""
    took = f" ({seconds(outcome.seconds)})" if outcome.seconds else ""
    message = f": {one_line(outcome.message)}" if outcome.message else ""
    return plain(
        (outcome.result.value, RESULT_STYLES[outcome.result]),
        (f" {escape(outcome.address.text)}", ""),
        (took, "dim"),
        (message, ""),
    )
