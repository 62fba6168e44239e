"""Which of the daemon's stacks waits for which: by `dependsOn`, and by the outputs that a stack reads.

A stack waits for another one until that has converged once, now or by the store's history, and while a run of
that is under way; never for one that this daemon does not follow, or that is suspended. Afterwards each goes
its own way: a dependency that fails later holds nobody back. Called by `follow`; one `Order` serves all
followers of a `Service`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trueup.errors import UsageError


@dataclass
class _Standing:
    """What is known of one followed stack. `stack` is its own name, None until its files were read."""

    wake: Callable[[], None]
    stack: str | None = None
    needs: frozenset[str] = frozenset()
    is_running: bool = False
    is_tried: bool = False
    has_converged: bool = False
    is_suspended: bool = False
    waits: bool = field(default=False)


class Order:
    """Thread safe. `wake` of a follower is called without a lock held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._standings: dict[str, _Standing] = {}

    def join(self, follower: str, wake: Callable[[], None]) -> None:
        """A follower is there; before any of them starts."""
        self._standings[follower] = _Standing(wake)

    def declare(
        self, follower: str, stack: str, needs: Sequence[str], *, has_converged: bool = False
    ) -> None:
        """What a follower's stack calls itself, the names of the stacks that it needs, and its history."""
        with self._lock:
            standing = self._standings[follower]
            if standing.stack != stack:
                standing.has_converged = has_converged
            standing.stack, standing.needs = stack, frozenset(needs)

    def begin(self, follower: str) -> str:
        """Begins a run, unless the follower has to wait; then it says for what, and wakes it in time.

        Raises UsageError where another follower's stack has the same name: the two would undo each other's
        work for ever.
        """
        with self._lock:
            standing = self._standings[follower]
            self._refuse_double(follower, standing)
            blocker = self._find_blocker(standing)
            standing.is_suspended = False
            standing.waits = bool(blocker)
            standing.is_running = not blocker
            return blocker

    def suspend(self, follower: str) -> None:
        """Somebody suspended a follower's stack. For how long nobody knows, so others do not wait for it."""
        with self._lock:
            standing = self._standings[follower]
            is_news = not standing.is_suspended
            standing.is_suspended, standing.is_tried, standing.waits = True, True, False
            woken = [each.wake for each in self._standings.values() if each.waits and is_news]
        for wake in woken:
            wake()

    def end(self, follower: str, *, has_converged: bool, has_changed: bool) -> None:
        """Ends a run: wakes those that wait, and those that may see other outputs now."""
        with self._lock:
            standing = self._standings[follower]
            is_first = has_converged and not standing.has_converged
            standing.is_running, standing.is_tried = False, True
            standing.has_converged = standing.has_converged or has_converged
            woken = [
                each.wake
                for each in self._standings.values()
                if each.waits or (standing.stack in each.needs and (has_changed or is_first))
            ]
        for wake in woken:
            wake()

    def _refuse_double(self, follower: str, standing: _Standing) -> None:
        for name, each in self._standings.items():
            if each is not standing and each.stack is not None and each.stack == standing.stack:
                first, second = sorted((follower, name))
                raise UsageError(
                    f'"{first}" and "{second}" of the settings are one stack: both call themselves '
                    f'"{standing.stack}" in their own files',
                    hint="give each environment a name of its own: metadata: {name: shop-${{ vars.env }}}",
                )

    def _find_blocker(self, standing: _Standing) -> str:
        by_stack = {each.stack: each for each in self._standings.values() if each.stack}
        for name in sorted(standing.needs):
            needed = by_stack.get(name)
            if needed is None:
                unread = [
                    each for each in self._standings.values() if each.stack is None and not each.is_tried
                ]
                if unread:
                    return f"stack {name} may be one that was not read yet"
            elif needed is not standing and not self._leads_to(needed, standing, by_stack):
                if needed.is_running:
                    return f"stack {name} is being reconciled"
                if not needed.has_converged and not needed.is_suspended:
                    return f"stack {name} has not converged yet"
        return ""

    @staticmethod
    def _leads_to(start: _Standing, goal: _Standing, by_stack: Mapping[str, _Standing]) -> bool:
        """Whether one stack needs another in any number of steps: then they cannot wait for each other."""
        seen, waiting = set[str | None](), [start]
        while waiting:
            current = waiting.pop()
            if current is goal:
                return True
            if current.stack not in seen:
                seen.add(current.stack)
                waiting.extend(by_stack[name] for name in current.needs if name in by_stack)
        return False
