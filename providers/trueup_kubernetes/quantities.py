"""Resource quantities (`500m`, `1Gi`): the same amount in other words. Called by `comparison`. Pure."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from trueup.sdk import Value

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?")
_FACTOR = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}

# Where quantities stand in the built-in APIs: as the values of these maps, or as these fields.
_MAPS = frozenset({"limits", "requests", "hard", "capacity", "default", "defaultRequest", "max", "min"})
_MAPS |= {"maxLimitRequestRatio", "overhead", "podFixed", "allocatedResources"}
_FIELDS = frozenset({"sizeLimit", "divisor", "averageValue", "value", "storage", "maximumVolumeSize"})
_TARGETS = frozenset({"target", "current", "resource", "targetAverageValue"})


def is_quantity(path: tuple[str, ...]) -> bool:
    """Whether a quantity stands at that place of an object of a built-in API."""
    if len(path) < 2:
        return False
    parent, last = path[-2], path[-1]
    if parent in _MAPS:
        return True
    if last == "value":  # also the name of many ordinary fields, such as an environment variable's
        return parent in _TARGETS
    return last in _FIELDS and path[0] == "spec"


def parse_quantity(value: Value) -> Decimal | None:
    """The amount, rounded up to what the server keeps; None for what is no quantity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _FORM.fullmatch(str(value).strip())
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    try:
        amount = Decimal(number + (exponent or ""))
    except InvalidOperation:
        return None
    return amount * _FACTOR.get(suffix or "", Decimal(1))


def is_same_quantity(desired: Value, live: Value) -> bool:
    wanted, found = parse_quantity(desired), parse_quantity(live)
    return wanted is not None and wanted == found
