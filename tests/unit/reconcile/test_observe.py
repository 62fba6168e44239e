"""Observation in bulk: what is slow or broken concerns its own nodes only."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from trueup.errors import Transient
from trueup.model.address import Address
from trueup.model.observation import Absent, Failed, Observation
from trueup.model.resource import Node, Target
from trueup.reconcile.observe import Connections, observe_nodes
from trueup.sdk import Session
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider


class Uneven(MemoryProvider):
    """The target `slow` connects only once a node of another target was observed, then fails."""

    def __init__(self) -> None:
        super().__init__()
        self.has_observed = threading.Event()

    def connect(self, target: Target, owner_key: str) -> Session:
        if target.name == "slow":
            assert self.has_observed.wait(30), "the other target was not observed meanwhile"
            raise Transient("no answer", retry_after=0)
        return super().connect(target, owner_key)

    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        self.has_observed.set()
        return super().observe(session, nodes)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def make_node(name: str, target: str) -> Node:
    address = Address("shop", "Thing", name, target)
    return Node(address, "memory.trueup.dev/v1", Target(target, "memory"), {"spec": {}})


def test_a_target_that_takes_its_time_to_fail_holds_up_no_other(pool: ThreadPoolExecutor) -> None:
    catalog = MemoryCatalog(Uneven())
    slow, quick = make_node("a", "slow"), make_node("b", "quick")
    seen = observe_nodes([slow, quick], Connections(catalog, "i/shop"), catalog, pool)
    assert isinstance(seen[slow.address], Failed)
    assert isinstance(seen[quick.address], Absent)


@pytest.mark.parametrize("junk", [None, "junk", Absent(Address("shop", "Thing", "other", "here"))])
def test_an_answer_that_makes_no_sense_is_failed_and_not_absent(
    pool: ThreadPoolExecutor, junk: object
) -> None:
    class Junk(MemoryProvider):
        def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
            yield junk  # type: ignore[misc]

    catalog = MemoryCatalog(Junk())
    node = make_node("a", "here")
    seen = observe_nodes([node], Connections(catalog, "i/shop"), catalog, pool)
    assert isinstance(seen[node.address], Failed)


def test_a_node_without_an_answer_is_failed(pool: ThreadPoolExecutor) -> None:
    class Silent(MemoryProvider):
        def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
            return [Absent(nodes[0].address)]

    catalog = MemoryCatalog(Silent())
    first = make_node("a", "here")
    second = replace(first, address=Address("shop", "Thing", "b", "here"))
    seen = observe_nodes([first, second], Connections(catalog, "i/shop"), catalog, pool)
    assert isinstance(seen[first.address], Absent)
    failed = seen[second.address]
    assert isinstance(failed, Failed)
    assert "gave no answer" in failed.error.message
