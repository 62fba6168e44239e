"""Every error that trueup raises on purpose; the bottom of the import graph.

A `TrueupError` is a message to the user: what happened, where, what to do. Any other exception that
reaches the command line is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trueup.redaction import redact


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file of the source: a path relative to the tree's root, 1-based line and column.

    Line 0 means the whole file.
    """

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the input: what, where, and what to do about it."""

    message: str
    place: Place = NOWHERE
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place.file else ""
        hint = f"\n  {self.hint}" if self.hint else ""
        return f"{where}{self.message}{hint}"


class TrueupError(Exception):
    """The base of every error that is a message to the user rather than a bug.

    Its words may come from elsewhere, so the secrets that were read are masked in them.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        message = redact(message)
        super().__init__(message)
        self.message = message
        self.hint = redact(hint)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The error as problems, the form in which every output shows errors."""
        return (Problem(self.message, NOWHERE, self.hint),)


# More than anybody reads at once, of problems and of the words of each.
_SHOWN = 1000
_LONGEST = 4000


def _shorten(text: str) -> str:
    text = redact(text)  # first: half of a secret is not known as one
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


class ManifestError(TrueupError):
    """The resource files are wrong. Carries all problems at once, each with its place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = sorted(problems, key=lambda problem: problem.place)
        shown = [Problem(_shorten(each.message), each.place, _shorten(each.hint)) for each in found[:_SHOWN]]
        if len(found) > _SHOWN:
            shown.append(Problem(f"and {len(found) - _SHOWN} more problems", hint="mend these first"))
        self._problems = tuple(shown)
        super().__init__("\n".join(str(problem) for problem in self._problems))

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self._problems


class UsageError(TrueupError):
    """The command line or trueup.toml asks for something that makes no sense."""


class SourceError(TrueupError):
    """The source cannot be read: no such repository, ref or path, or it is refused as unsafe."""


class UnfitFile(SourceError):
    """One file of a source is none that a stack can be read from: it is too large, or a Git LFS pointer."""


class StoreError(TrueupError):
    """The state store cannot be opened, read or written."""


class StackBusy(StoreError):
    """Another process is reconciling the stack: this one begins nothing."""


class LeaseLost(StoreError):
    """Another process holds the stack's lease: this one must write nothing more for that stack."""


class PluginError(TrueupError):
    """A provider is unknown, cannot be loaded, or lacks the libraries of its extra."""


class StalePlan(TrueupError):
    """A saved or approved plan no longer matches Git or the live world, so it is not carried out."""


class PinnedStack(TrueupError):
    """The stack is suspended, or pinned to another commit than was asked for: it is not run like that."""


class Interrupted(TrueupError):
    """The user or the system asked the run to stop: calls in flight were finished and recorded."""


class ProviderError(TrueupError):
    """What a provider raises about its system. The exception of the system's SDK never leaves the provider.

    Each subclass says what the engine does next. The message holds no sensitive value.
    """


class Transient(ProviderError):
    """The call may work when it is tried again: a timeout, a reset connection, a 5xx, a host that is down.

    The outcome of a mutation that raised this is unknown. It is repeated a few times with the same intent,
    which a provider makes harmless; after that the next run observes before it acts again.
    `retry_after` is in seconds; None leaves the pause to the engine.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Throttled(Transient):
    """The system refused the call because of its rate; nothing was changed by it."""


class Conflict(ProviderError):
    """Something in the way has another owner, or changed since it was observed. Never retried blindly."""


class Denied(ProviderError):
    """The credentials are missing, wrong, or lack the permission. Whether the object exists is not known."""


class Invalid(ProviderError):
    """The system refuses what was asked; it will refuse again until the manifest changes."""


class Blocked(ProviderError):
    """The call cannot work until something else is done first; `by` names it."""

    def __init__(self, message: str, *, by: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.by = by
