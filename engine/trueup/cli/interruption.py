"""What Ctrl-C and the other signals do to a run. Used by the reconcile and destroy commands.

Before the run has begun a signal ends the program at once: nothing was done. From then on the first signal
only sets `stop`, so that the calls in flight are finished and recorded; the second ends the process on the
spot, and the intents in the store tell the next run what was under way.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType

from trueup.cli.exit_codes import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_SHOW_CURSOR = "\x1b[?25h"
_FINISHING = "finishing the calls in flight; again to stop at once"
_NOTHING_DONE = "stopped at once: nothing was done"
_ABORTED = "stopped at once: the next run looks up what became of the calls in flight"


class Interruption:
    """A context manager that takes the signals. Not reentrant; only for the main thread."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._is_running = False
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Interruption:
        for number in SIGNALS:
            before = signal.getsignal(number)
            # Whoever started us with a signal ignored (nohup) wants it ignored.
            if before is not signal.SIG_IGN and before is not None:
                self._before[number] = before
                signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def begin(self) -> None:
        """From here on something may be under way."""
        self._is_running = True

    def pause(self) -> None:
        """Nothing is under way while a person is asked."""
        self._is_running = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self._is_running and not self.stop.is_set():
            self.stop.set()
            raise KeyboardInterrupt
        if self.stop.is_set():
            _tell(_ABORTED if self._is_running else _NOTHING_DONE)
            os._exit(INTERRUPTED)
        self.stop.set()
        _tell(_FINISHING)


def _tell(message: str) -> None:
    """Writes past every buffer and lock: the signal may have interrupted their holder."""
    cursor = _SHOW_CURSOR if sys.stderr is not None and sys.stderr.isatty() else ""
    try:
        os.write(2, f"{cursor}\ntrueup: {message}\n".encode())
    except OSError:
        return  # The terminal is gone, which is why the signal came.
