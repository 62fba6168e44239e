"""Which targets a stack may use: asked when a stack is loaded, and again before each connection.

trueup.toml grants them, so that whoever writes to a repository cannot lead trueup, with all its credentials,
to another place. Called by app and observe.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence

from trueup.errors import ManifestError, Problem
from trueup.model.resource import Grants, Stack, Target, TargetGrant
from trueup.model.values import Value

_HINT = "trueup.toml lists the targets that it may use: allow_targets"
_ANY = "*"


def check_targets(stack: Stack, grants: Sequence[Grants]) -> None:
    """Raises ManifestError for the targets of a stack that it may not use, each with its place."""
    problems = [
        Problem(message, target.place, _HINT)
        for target in stack.targets
        if (message := find_refusal(target, grants))
    ]
    if problems:
        raise ManifestError(problems)


def find_refusal(target: Target, grants: Sequence[Grants]) -> str:
    """Why a target may not be used, empty if it may: each list of grants has to have one for it."""
    for granted in grants:
        missing = _find_missing(target, granted)
        if missing is not None:
            which = f": {', '.join(missing)}" if missing else ""
            return f'this stack may not use target "{target.name}" of provider {target.provider}{which}'
    return ""


def _find_missing(target: Target, granted: Grants) -> Sequence[str] | None:
    """What the grant that comes nearest does not cover; None if one covers all."""
    fitting = [grant for grant in granted if grant.provider == target.provider]
    found = [list(_compare(target, grant)) for grant in fitting]
    return min(found, key=len, default=[]) if [] not in found else None


def _compare(target: Target, grant: TargetGrant) -> Iterator[str]:
    if grant.config is not None:
        yield from _compare_maps(target.config, grant.config, "config")


def _compare_maps(value: Mapping[str, Value], pattern: Mapping[str, Value], where: str) -> Iterator[str]:
    """The keys that do not fit. One that the grant does not name may name a credential: it does not fit."""
    for key in sorted({*value, *pattern}):
        at = f"{where}.{key}"
        if pattern.get(key) == _ANY:
            continue
        if key not in value:
            yield f"{at} is missing"
        elif key not in pattern:
            yield f"{at} is not granted"
        elif isinstance(value[key], Mapping) and isinstance(pattern[key], Mapping):
            yield from _compare_maps(value[key], pattern[key], at)
        elif not _fits(value[key], pattern[key]):
            yield f"{at} has another value"


def _fits(value: Value, pattern: Value) -> bool:
    if isinstance(value, list | tuple) and isinstance(pattern, list | tuple):
        return len(value) == len(pattern) and all(map(_fits, value, pattern))
    # A secret, and what the inventory keeps of one, is neither: only * fits it.
    if not isinstance(value, str | int | float) or not isinstance(pattern, str | int | float):
        return False
    return fnmatch.fnmatchcase(_text(value), _text(pattern))


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
