"""Tells what is wrong with a target once, not under each of its resources. Used by plan_text and its like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def fold_repeated(items: Iterable[T], key: Callable[[T], Hashable | None]) -> Iterator[tuple[T, int]]:
    """The items without those whose key an earlier one has, each with how many were left out for it.

    An item with the key None stays as it is.
    """
    items = list(items)
    counts = Counter(key(item) for item in items)
    seen: set[Hashable] = set()
    for item in items:
        it = key(item)
        if it is None:
            yield item, 0
        elif it not in seen:
            seen.add(it)
            yield item, counts[it] - 1


def describe_rest(number: int, target: str) -> str:
    """`the same for 39 more on eu`."""
    return f"the same for {number} more on {target}"
