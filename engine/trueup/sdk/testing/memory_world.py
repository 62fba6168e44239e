"""The live system of the memory provider: objects that outlive sessions, a log of calls, faults on demand.

`MemoryWorld` lives in this process, `FileWorld` in a directory, so that it outlives a process that is killed.
Both behave alike and are safe for many threads; `FileWorld` for many processes too.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

from trueup.sdk import Blocked, Conflict, Denied, Invalid, Throttled, Transient

Entry = Mapping[str, Any]
Moment = Literal["before", "after"]

KILL = "kill"
BUG = "bug"
ERRORS: Mapping[str, Callable[[str], Exception]] = {
    "Transient": Transient,
    "Throttled": lambda message: Throttled(message, retry_after=0.01),
    "Conflict": Conflict,
    "Denied": Denied,
    "Invalid": Invalid,
    "Blocked": lambda message: Blocked(message, by="something else"),
    BUG: RuntimeError,
}
READING_VERBS = frozenset({"connect", "discover", "observe", "find_owned", "poll"})


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the next calls of a verb.

    `error` is the name of an error of the SDK, `bug` for an exception that a provider must not raise, or
    `kill` for the end of this process by SIGKILL. `moment`: before the call takes effect, or after it, which
    is a lost answer. `skip` calls pass first, then it happens `times` times. `key` limits it to one object.
    """

    verb: str
    error: str = "Transient"
    moment: Moment = "before"
    times: int = 1
    skip: int = 0
    key: str = ""


@dataclass(frozen=True)
class Call:
    """One call that the world has seen. `key` is the object, empty for a call about many."""

    verb: str
    key: str = ""
    count: int = 1

    @property
    def is_write(self) -> bool:
        return self.verb not in READING_VERBS


class World(ABC):
    """Objects by key (`Kind/[namespace/]name`), each a JSON document that is replaced and never changed.

    `hide_reads`: how many reads after a create still say that the object is not there. `delay`: seconds that
    each call takes.
    """

    hide_reads: int = 0
    delay: float = 0.0

    @property
    @abstractmethod
    def identity(self) -> str:
        """What tells this world from every other."""

    @abstractmethod
    def calls(self) -> list[Call]:
        """Every call so far, failed ones too."""

    @abstractmethod
    def _open(self) -> AbstractContextManager[MutableMapping[str, Entry]]:
        """The objects, for one thread of one process at a time."""

    @abstractmethod
    def _write_call(self, call: Call) -> None:
        """Adds a call to the log."""

    @abstractmethod
    def removed(self) -> list[tuple[str, Entry]]:
        """Key and last state of every object that a call has removed so far, in order."""

    @abstractmethod
    def _write_removed(self, key: str, entry: Entry) -> None:
        """Notes that a call removes an object."""

    @abstractmethod
    def _load_faults(self) -> list[Fault]:
        """The faults still to come."""

    @abstractmethod
    def _store_faults(self, faults: list[Fault]) -> None:
        """Keeps the faults still to come."""

    # -- for tests

    def inject(self, fault: Fault) -> None:
        """Makes a fault happen to later calls."""
        with self._open():
            self._store_faults([*self._load_faults(), fault])

    def count_writes(self) -> int:
        """How many calls so far could have changed something."""
        return sum(call.is_write for call in self.calls())

    def peek(self, key: str) -> Entry | None:
        """An object as it is, past the log and the faults."""
        with self._open() as objects:
            return objects.get(key)

    def list_keys(self) -> list[str]:
        """The keys of all objects, past the log and the faults."""
        with self._open() as objects:
            return sorted(objects)

    def put(self, key: str, entry: Entry | None) -> None:
        """Replaces an object or removes it, past the log and the faults: the hand of someone else."""
        with self._open() as objects:
            if entry is None:
                objects.pop(key, None)
            else:
                objects[key] = entry

    # -- for the provider

    def read(self, verb: str, keys: Iterable[str]) -> dict[str, Entry | None]:
        """The objects of those keys, None for each that is not there, as one call."""
        wanted = list(keys)
        with (
            self._call(Call(verb, wanted[0] if len(wanted) == 1 else "", len(wanted))),
            self._open() as objects,
        ):
            return {key: self._reveal(objects, key) for key in wanted}

    def scan(self, verb: str, prefix: str) -> dict[str, Entry]:
        """The objects whose keys begin so, as one call."""
        with self._call(Call(verb)), self._open() as objects:
            found = {key: self._reveal(objects, key) for key in objects if key.startswith(prefix)}
            return {key: entry for key, entry in found.items() if entry is not None}

    def change(self, verb: str, key: str, change: Callable[[Entry | None], Entry | None]) -> Entry | None:
        """Replaces an object by what `change` makes of it, None removes it; as one call."""
        with self._call(Call(verb, key)), self._open() as objects:
            old = objects.get(key)
            new = change(old)
            if new is None:
                if old is not None:
                    self._write_removed(key, old)
                objects.pop(key, None)
            elif new is not old:
                hidden = self.hide_reads if old is None else new.get("hidden", 0)
                objects[key] = {**new, "hidden": hidden} if hidden else new
            return new

    def touch(self, verb: str) -> None:
        """A call that is about no object."""
        with self._call(Call(verb)):
            pass

    def _reveal(self, objects: MutableMapping[str, Entry], key: str) -> Entry | None:
        entry = objects.get(key)
        if entry is not None and entry.get("hidden", 0):
            objects[key] = {**entry, "hidden": entry["hidden"] - 1}
            return None
        return entry

    @contextlib.contextmanager
    def _call(self, call: Call) -> Iterator[None]:
        with self._open():
            self._write_call(call)
        if self.delay:
            time.sleep(self.delay)
        self._fail(call, "before")
        yield
        self._fail(call, "after")

    def _fail(self, call: Call, moment: Moment) -> None:
        with self._open():
            fault = self._take_fault(call, moment)
        if fault is None:
            return
        if fault.error == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = "refused" if moment == "before" else "not answered"
        raise ERRORS[fault.error](f"{call.verb} {call.key} was {answer}, as the test asked")

    def _take_fault(self, call: Call, moment: Moment) -> Fault | None:
        faults = self._load_faults()
        for index, fault in enumerate(faults):
            if (fault.verb, fault.moment) != (call.verb, moment) or fault.key not in ("", call.key):
                continue
            if fault.skip:
                faults[index] = replace(fault, skip=fault.skip - 1)
                self._store_faults(faults)
                continue
            faults[index : index + 1] = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
            self._store_faults(faults)
            return fault
        return None


class MemoryWorld(World):
    """A world in this process. `objects` are there from the start."""

    def __init__(self, objects: Mapping[str, Entry] | None = None, identity: str = "") -> None:
        self._identity = identity or f"memory-{uuid.uuid4().hex}"
        self._objects: dict[str, Entry] = dict(objects or {})
        self._log: list[Call] = []
        self._removed: list[tuple[str, Entry]] = []
        self._faults: list[Fault] = []
        self._lock = threading.RLock()

    @property
    def identity(self) -> str:
        return self._identity

    def calls(self) -> list[Call]:
        with self._lock:
            return list(self._log)

    @contextlib.contextmanager
    def _open(self) -> Iterator[MutableMapping[str, Entry]]:
        with self._lock:
            yield self._objects

    def _write_call(self, call: Call) -> None:
        self._log.append(call)

    def removed(self) -> list[tuple[str, Entry]]:
        with self._lock:
            return list(self._removed)

    def _write_removed(self, key: str, entry: Entry) -> None:
        self._removed.append((key, entry))

    def _load_faults(self) -> list[Fault]:
        return list(self._faults)

    def _store_faults(self, faults: list[Fault]) -> None:
        self._faults = faults


class FileWorld(World):
    """A world in a directory: one JSON file an object, a log of calls, the faults still to come."""

    def __init__(self, directory: Path | str) -> None:
        self._directory = Path(directory)
        self._objects = _Files(self._directory / "objects")
        self._thread_lock = threading.RLock()
        self._depth = 0
        with self._open():
            identity = self._directory / "identity"
            if not identity.exists():
                write_file(identity, f"file-{uuid.uuid4().hex}")
            self._identity = identity.read_text()

    @property
    def identity(self) -> str:
        return self._identity

    def calls(self) -> list[Call]:
        with self._open():
            log = self._directory / "calls.jsonl"
            return [Call(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []

    @contextlib.contextmanager
    def _open(self) -> Iterator[MutableMapping[str, Entry]]:
        with self._thread_lock:
            if self._depth:
                yield self._objects
                return
            with (self._directory / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._depth += 1
                try:
                    yield self._objects
                finally:
                    self._depth -= 1

    def _write_call(self, call: Call) -> None:
        with (self._directory / "calls.jsonl").open("a") as log:
            log.write(json.dumps(asdict(call)) + "\n")

    def removed(self) -> list[tuple[str, Entry]]:
        with self._open():
            log = self._directory / "removed.jsonl"
            lines = log.read_text().splitlines() if log.exists() else []
            return [(key, entry) for key, entry in map(json.loads, lines)]

    def _write_removed(self, key: str, entry: Entry) -> None:
        with (self._directory / "removed.jsonl").open("a") as log:
            log.write(json.dumps([key, entry]) + "\n")

    def _load_faults(self) -> list[Fault]:
        file = self._directory / "faults.json"
        return [Fault(**fault) for fault in json.loads(file.read_text())] if file.exists() else []

    def _store_faults(self, faults: list[Fault]) -> None:
        write_file(self._directory / "faults.json", json.dumps([asdict(fault) for fault in faults]))


class _Files(MutableMapping[str, Entry]):
    """A mapping whose values are JSON files, each replaced in one step."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def _file(self, key: str) -> Path:
        return self._directory / f"{quote(key, safe='')}.json"

    def __getitem__(self, key: str) -> Entry:
        try:
            entry: Entry = json.loads(self._file(key).read_text())
        except FileNotFoundError:
            raise KeyError(key) from None
        return entry

    def __setitem__(self, key: str, entry: Entry) -> None:
        write_file(self._file(key), json.dumps(entry))

    def __delitem__(self, key: str) -> None:
        try:
            self._file(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        for file in sorted(self._directory.glob("*.json")):
            yield unquote(file.stem)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def write_file(file: Path, text: str) -> None:
    """Replaces a file in one step: a process that is killed leaves the old one or the new one."""
    part = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}.part")
    part.write_text(text)
    part.replace(file)
