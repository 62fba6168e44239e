"""Which targets a stack may use: asked when a stack is loaded, and again before each connection.

trueup.toml grants them, so that whoever writes to a repository cannot lead trueup, with all its credentials,
to another place. Called by app and observe.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from trueup.errors import ManifestError, Problem
from trueup.model.resource import Grants, Stack, Target, TargetGrant
from trueup.model.values import Value
from trueup.sdk.contracts import Catalog

_HINT = "trueup.toml lists the targets that it may use: allow_targets"
_ANY = "*"
_KEYWORD = "x-needs-grant"
# Nothing but the plainest form: what one library takes for a user name is the host for another one.
_URL = re.compile(r"https?://(\[[0-9a-f:]+\]|[0-9a-z.]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?", re.ASCII)


def check_targets(stack: Stack, grants: Sequence[Grants], catalog: Catalog) -> None:
    """Raises ManifestError for the targets of a stack that it may not use, each with its place."""
    problems: list[Problem] = []
    for target in stack.targets:
        if message := find_refusal(target, grants):
            problems.append(Problem(message, target.place, _HINT + _name_unknown(grants, catalog)))
            continue
        schema = catalog.provider(target.provider).config_schema
        if reserved := find_reserved(target, grants, schema):
            problems.append(Problem(reserved[0], target.place, reserved[1]))
    if problems:
        raise ManifestError(problems)


def _name_unknown(grants: Sequence[Grants], catalog: Catalog) -> str:
    """That entries are for providers that are not there, for which there may be a slip of the pen."""
    names = {grant.provider for granted in grants for grant in granted} - {*catalog.names()}
    if not names:
        return ""
    return f"; it has entries for providers that are not installed: {', '.join(sorted(names))}"


def find_refusal(target: Target, grants: Sequence[Grants]) -> str:
    """Why a target may not be used, empty if it may: each list of grants has to have one for it."""
    for granted in grants:
        missing = _find_missing(target, granted)
        if missing is not None:
            which = ", ".join(missing) or "no entry of allow_targets is for that provider"
            return f'this stack may not use target "{target.name}" of provider {target.provider}: {which}'
    return ""


def find_reserved(
    target: Target, grants: Sequence[Grants], schema: Mapping[str, object]
) -> tuple[str, str] | None:
    """What a target's config says that the operator has to say first, and a hint; None if there is nothing.

    Such a field (`x-needs-grant`) leads trueup, with the credentials that it has, to a host of anybody's
    choice. It may lead to this machine, to where the operator's own environment leads, and to what an entry
    of trueup.toml that covers the target names.
    """
    properties = schema.get("properties")
    for key, rule in properties.items() if isinstance(properties, Mapping) else ():
        if key not in target.config or not isinstance(rule, Mapping) or _KEYWORD not in rule:
            continue
        variables = [str(name) for name in rule[_KEYWORD]]
        value = target.config[key]
        if _is_loopback(value) or (isinstance(value, str) and value in map(os.environ.get, variables)):
            continue
        if any(_names(grant, key) and _covers(target, grant) for granted in grants for grant in granted):
            continue
        instead = "".join(f", or set {name} to it where trueup runs" for name in variables)
        return (
            f'target "{target.name}" may not say config.{key} by itself: '
            "credentials of the machine would be used on the host that it names",
            f"grant config.{key} in trueup.toml: allow_targets{instead}",
        )
    return None


def _names(grant: TargetGrant, key: str) -> bool:
    return grant.config is not None and key in grant.config and not grant.is_own


def _covers(target: Target, grant: TargetGrant) -> bool:
    return grant.provider == target.provider and not any(_compare(target, grant))


def _is_loopback(value: Value) -> bool:
    match = _URL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return False
    if match[1] == "localhost":
        return True
    try:
        return ipaddress.ip_address(match[1].strip("[]")).is_loopback
    except ValueError:
        return False


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
