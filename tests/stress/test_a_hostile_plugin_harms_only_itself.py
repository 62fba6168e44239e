"""A provider that hangs, raises what no program raises, or answers junk: its nodes fail, the others go on.

What ends the whole process (a crash in native code, `os._exit`) is beyond this: plugins run in the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from trueup.app import App, SourceSpec
from trueup.errors import PluginError
from trueup.model.address import Address
from trueup.model.outcome import Result, RunStatus
from trueup.reconcile import observe, walk
from trueup.reconcile.report import RunReport
from trueup.sdk import Absent, Kind, Node, Observation, Session, Target
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider, Thing
from trueup.sdk.testing.memory_world import MemoryWorld

GOOD = ("good1", "good2", "good3")
BAD = ("bad1", "bad2")
HOSTILE = "hostile.trueup.dev/v1"


class HostileThing(Thing):
    api_version = HOSTILE


class Worst(BaseException):
    """Nobody expects this one."""


class Hostile(MemoryProvider):
    """Does what it is told to, in `observe`, in `connect`, or in any call of a kind by its name."""

    name = "hostile"

    def __init__(self, world: MemoryWorld) -> None:
        super().__init__(world)
        self.thing = HostileThing()
        self.on_observe: Callable[[Sequence[Node]], Iterable[Any]] | None = None
        self.on_connect: Callable[[], Any] | None = None
        self.gate = threading.Event()

    def kinds(self) -> Sequence[Kind]:
        return [self.thing]

    def kind(self, api_version: str, name: str) -> Kind | None:
        return self.thing if (api_version, name) == (HOSTILE, "Thing") else None

    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        if self.on_observe is not None:
            return self.on_observe(nodes)
        return super().observe(session, nodes)

    def connect(self, target: Target, owner_key: str) -> Session:
        if self.on_connect is not None:
            return self.on_connect()  # type: ignore[no-any-return]
        return super().connect(target, owner_key)


class Bench:
    """Two targets: one of the memory provider, one of the hostile one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "stack"
        self.good, self.bad = MemoryWorld(), MemoryWorld()
        self.hostile = Hostile(self.bad)
        stack = self.folder
        stack.mkdir()
        targets = [{"name": "good", "provider": "memory"}, {"name": "bad", "provider": "hostile"}]
        documents: list[dict[str, Any]] = [
            {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}}
        ]
        documents[0]["spec"] = {"targets": targets}
        for name in (*GOOD, *BAD):
            documents.append(
                {
                    "apiVersion": HOSTILE if name in BAD else "memory.trueup.dev/v1",
                    "kind": "Thing",
                    "metadata": {"name": name},
                    "targets": {"names": [name.rstrip("0123456789")]},
                    "spec": {"size": 1},
                }
            )
        (stack / "stack.yaml").write_text(yaml.safe_dump(documents[0]))
        (stack / "things.yaml").write_text(yaml.safe_dump_all(documents[1:]))
        catalog = MemoryCatalog(MemoryProvider(self.good), self.hostile)
        # Two workers: those that hang would be all that there are.
        self.app = App(str(folder / "store.db"), catalog=catalog, parallelism=2)
        self.source = SourceSpec(str(stack))

    def run(self, timeout: float = 60.0) -> RunReport:
        """A run in a thread, as the daemon has it: it comes to an end."""
        answers: list[RunReport] = []
        thread = threading.Thread(target=lambda: answers.append(self.app.reconcile(self.source)), daemon=True)
        thread.start()
        thread.join(timeout)
        assert not thread.is_alive(), "the run hangs"
        assert answers, "the run ended with an exception"
        return answers[0]

    def results(self, report: RunReport) -> dict[str, Result]:
        return {outcome.address.name: outcome.result for outcome in report.outcomes}

    def check_harmed(self, report: RunReport) -> None:
        """The nodes of the hostile provider failed, and nothing was done to them; the others are made."""
        assert report.status is RunStatus.FAILED
        results = self.results(report)
        assert {results[name] for name in BAD} <= {Result.FAILED}
        assert {results[name] for name in GOOD} <= {Result.CREATED, Result.UNCHANGED}
        assert self.bad.count_writes() == 0
        assert sorted(self.good.list_keys()) == [f"Thing/{name}" for name in GOOD]

    def check_mended(self) -> None:
        """Once the plugin behaves, everything is made, and a second run writes nothing."""
        self.hostile.on_observe = self.hostile.on_connect = None
        assert self.run().status is RunStatus.CONVERGED
        writes = self.good.count_writes() + self.bad.count_writes()
        report = self.run()
        assert (report.status, report.plan.has_changes) == (RunStatus.CONVERGED, False)
        assert self.good.count_writes() + self.bad.count_writes() == writes
        assert not self.app.store.open_intents("shop")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.hostile.gate.set()
    bench.app.close()


def raising(error: BaseException) -> Callable[[Sequence[Node]], Iterable[Any]]:
    def observe(_nodes: Sequence[Node]) -> Iterable[Any]:
        raise error

    return observe


def late(error: BaseException) -> Callable[[Sequence[Node]], Iterable[Any]]:
    def observe(nodes: Sequence[Node]) -> Iterable[Any]:
        yield Absent(nodes[0].address)
        raise error

    return observe


def endless(nodes: Sequence[Node]) -> Iterable[Any]:
    while True:
        yield Absent(nodes[0].address)


def contradict(nodes: Sequence[Node]) -> Iterable[Any]:
    for node in nodes:
        yield Absent(node.address)
    for node in nodes:
        yield replace(Absent(node.address))


def misaddress(nodes: Sequence[Node]) -> Iterable[Any]:
    return [Absent(Address("shop", "Thing", "good1", "good")) for _ in nodes]


OBSERVATIONS: dict[str, Callable[[Sequence[Node]], Any]] = {
    "raises": raising(RuntimeError("canary")),
    "ends the process": raising(SystemExit(0)),
    "interrupts": raising(KeyboardInterrupt()),
    "raises what nobody expects": raising(Worst()),
    "stops iterating": raising(StopIteration()),
    "out of memory": raising(MemoryError()),
    "recursion": raising(RecursionError()),
    "ends the process late": late(SystemExit(0)),
    "raises late": late(Worst()),
    "none": lambda _nodes: None,
    "number": lambda _nodes: 7,
    "no observations": lambda nodes: [object() for _ in nodes],
    "dictionaries": lambda nodes: [{"address": node.address} for node in nodes],
    "nothing": lambda _nodes: [],
    "another's": misaddress,
    "two for one": contradict,
    "without an end": endless,
}


@pytest.mark.parametrize("how", OBSERVATIONS)
def test_what_it_answers_when_it_is_asked(how: str, bench: Bench) -> None:
    bench.hostile.on_observe = OBSERVATIONS[how]
    bench.check_harmed(bench.run())
    # And once there is something to lose.
    bench.check_mended()
    bench.hostile.on_observe = OBSERVATIONS[how]
    writes = bench.bad.count_writes()
    report = bench.run()
    assert {bench.results(report)[name] for name in BAD} == {Result.FAILED}
    assert {bench.results(report)[name] for name in GOOD} == {Result.UNCHANGED}
    assert bench.bad.count_writes() == writes
    assert len(bench.app.store.inventory("shop")) == len(GOOD) + len(BAD)


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), Worst(), RuntimeError("canary")])
def test_what_it_raises_when_it_connects(error: BaseException, bench: Bench) -> None:
    def connect() -> None:
        raise error

    bench.hostile.on_connect = connect
    bench.check_harmed(bench.run())
    bench.check_mended()


@pytest.mark.parametrize("junk", [None, 7, object()])
def test_a_connection_that_is_none(junk: object, bench: Bench) -> None:
    bench.hostile.on_connect = lambda: junk
    bench.check_harmed(bench.run())
    bench.check_mended()


@pytest.mark.parametrize("where", ["connect", "observe"])
def test_a_read_that_hangs_has_a_deadline(where: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "BATCH_DEADLINE", 0.5)

    def hang(*_: object) -> Any:
        bench.hostile.gate.wait(120)
        return []

    setattr(bench.hostile, f"on_{where}", hang)
    before = time.monotonic()
    for _ in range(3):
        report = bench.run()
        bench.check_harmed(report)
    assert time.monotonic() - before < 30
    bench.check_mended()
    assert not bench.hostile.gate.is_set()


@pytest.mark.parametrize("verb", ["create", "update", "delete"])
@pytest.mark.parametrize(
    "error", [SystemExit(0), KeyboardInterrupt(), Worst(), RuntimeError("canary"), None, 7]
)
def test_what_it_does_when_it_is_to_change_something(
    verb: str, error: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The effect of such a call is not known, so its intent stays open, and the next run looks."""
    _make_due(bench, verb)
    thing = bench.hostile.thing

    def misbehave(*_: object) -> Any:
        if isinstance(error, BaseException):
            raise error
        return error

    with monkeypatch.context() as patch:
        patch.setattr(thing, verb, misbehave)
        report = bench.run()
    results = bench.results(report)
    assert results["bad1"] is Result.FAILED
    assert {results[name] for name in GOOD} <= {Result.CREATED, Result.UNCHANGED}
    assert {intent.address.name for intent in bench.app.store.open_intents("shop")} >= {"bad1"}
    bench.check_mended()


@pytest.mark.parametrize("verb", ["create", "update", "delete"])
def test_a_change_that_hangs_is_given_up_and_its_late_answer_changes_nothing(
    verb: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "HUNG", 0.5)
    _make_due(bench, verb, timeout="1s")
    thing = bench.hostile.thing
    real, is_back = getattr(thing, verb), threading.Event()

    def hang(*arguments: object) -> Any:
        bench.hostile.gate.wait(120)
        try:
            return real(*arguments)
        finally:
            is_back.set()

    with monkeypatch.context() as patch:
        patch.setattr(thing, verb, hang)
        report = bench.run()
    results = bench.results(report)
    assert results["bad1"] is Result.FAILED
    assert {results[name] for name in GOOD} <= {Result.CREATED, Result.UNCHANGED}
    (message,) = {outcome.message for outcome in report.outcomes if outcome.address.name == "bad1"}
    assert "gave no answer for" in message
    assert {intent.address.name for intent in bench.app.store.open_intents("shop")} >= {"bad1"}
    runs = list(bench.app.store.runs("shop"))
    bench.hostile.gate.set()
    assert is_back.wait(30)
    time.sleep(0.2)
    assert {intent.address.name for intent in bench.app.store.open_intents("shop")} >= {"bad1"}
    assert list(bench.app.store.runs("shop")) == runs
    bench.check_mended()


def _make_due(bench: Bench, verb: str, timeout: str = "") -> None:
    """Lets the next run call a verb for the nodes of the hostile provider."""
    file = bench.folder / "things.yaml"
    documents = list(yaml.safe_load_all(file.read_text()))
    if verb != "create":
        assert bench.run().status is RunStatus.CONVERGED
    for document in documents:
        if document["metadata"]["name"] in BAD:
            if verb == "update":
                document["spec"]["size"] = 2
            if verb == "delete":
                document["spec"]["zone"] = "y"
            if timeout:
                document["lifecycle"] = {"timeout": timeout}
    file.write_text(yaml.safe_dump_all(documents))


@pytest.mark.parametrize("method", ["validate", "identity"])
@pytest.mark.parametrize("error", [RuntimeError("canary"), SystemExit(0), RecursionError(), None, 7])
def test_what_it_does_when_its_resources_are_read(
    method: str, error: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack is not carried out, since nobody can say whether it is sound; whose bug it is, is said."""

    def misbehave(*_: object) -> Any:
        if isinstance(error, BaseException):
            raise error
        return error

    with monkeypatch.context() as patch:
        patch.setattr(bench.hostile.thing, method, misbehave)
        with pytest.raises(PluginError) as raised:
            bench.app.reconcile(bench.source)
    message = raised.value.message
    assert message.startswith(f"a bug in provider 'hostile': {method} of {HOSTILE} Thing raised ")
    assert "for Thing/bad1 at things.yaml" in message
    assert "canary" not in message
    assert isinstance(raised.value.__cause__, BaseException)
    assert bench.good.count_writes() + bench.bad.count_writes() == 0
    bench.check_mended()


@pytest.mark.parametrize(
    ("owner", "name", "junk"),
    [
        ("provider", "kind", RuntimeError("canary")),
        ("provider", "kind", 7),
        ("kind", "schema", 7),
        ("kind", "traits", None),
    ],
)
def test_a_kind_that_is_none(
    owner: str, name: str, junk: Any, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def misbehave(*_: object) -> Any:
        if isinstance(junk, BaseException):
            raise junk
        return junk

    with monkeypatch.context() as patch:
        if owner == "provider":
            patch.setattr(bench.hostile, name, misbehave)
        else:
            patch.setattr(bench.hostile.thing, name, junk)
        with pytest.raises(
            PluginError, match=f"a bug in provider 'hostile': kind of {HOSTILE} Thing"
        ) as raised:
            bench.app.reconcile(bench.source)
    assert "canary" not in raised.value.message
    assert bench.good.count_writes() + bench.bad.count_writes() == 0
    bench.check_mended()


def endless_batches(nodes: Sequence[Node]) -> Iterable[Any]:
    while True:
        yield nodes[:1]


BATCHES: dict[str, Callable[[Sequence[Node]], Any]] = {
    "raises": raising(RuntimeError("canary")),
    "none": lambda _nodes: None,
    "nothing": lambda _nodes: [],
    "half": lambda nodes: [nodes[:1]],
    "twice": lambda nodes: [nodes, nodes],
    "junk": lambda _nodes: [[7]],
    "without an end": endless_batches,
}


@pytest.mark.parametrize("how", BATCHES)
def test_how_it_divides_what_it_is_asked(how: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that stands in no batch was not looked at: it is not absent."""
    with monkeypatch.context() as patch:
        patch.setattr(bench.hostile, "batches", BATCHES[how])
        bench.check_harmed(bench.run())
    bench.check_mended()
    with monkeypatch.context() as patch:
        patch.setattr(bench.hostile, "batches", BATCHES[how])
        writes = bench.bad.count_writes()
        report = bench.run()
        assert {bench.results(report)[name] for name in BAD} == {Result.FAILED}
        assert bench.bad.count_writes() == writes
