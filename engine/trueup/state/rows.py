"""The rows of the store as the contract's data classes, and back. Used by sql."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from trueup.model.address import Address
from trueup.model.outcome import Result, RunStatus
from trueup.model.values import Value, to_record
from trueup.redaction import redact
from trueup.state.schema import inventory
from trueup.state.store import (
    Correction,
    Decision,
    Event,
    OpenIntent,
    Pin,
    PinKind,
    Quarantine,
    Record,
    RunRecord,
    Step,
    Verdict,
)

Values = dict[str, Any]


def encode(value: object) -> str:
    """The value as JSON. A sensitive value that got here in spite of all is stored as its hash."""
    return json.dumps(value, separators=(",", ":"), default=_encode_leaf)


def _encode_leaf(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return to_record(value)


def encode_text(value: str) -> str:
    """Text that every database takes: no NUL, no half of a surrogate pair."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def checksum(*texts: str, start: int = 0) -> str:
    """Tells a row that was damaged from one that was written, where it reads as well as before."""
    return f"{zlib.crc32(chr(0).join(texts).encode('utf-8', 'backslashreplace'), start):08x}"


class DamagedRow(ValueError):
    """A row is not as it was written."""


def encode_record(record: Record) -> Values:
    address = record.address
    row: Values = {
        "stack": address.stack,
        "address": address.text,
        "api_version": record.api_version,
        "target": encode(record.target),
        "fingerprint": record.fingerprint,
        "external_id": record.external_id,
        "body": encode(record.body),
        "created": record.created,
        "protect": record.protect,
        "on_delete": record.on_delete,
        "depends_on": encode([dependency.text for dependency in record.depends_on]),
        "commit_id": record.commit,
        "applied_at": record.applied_at,
        "triggers": encode(record.triggers),
        "replacing": encode(record.replacing),
        "place": encode_text(record.place),
        "run": record.run,
    }
    texts = (row[column.name] for column in RECORD[:_TEXTS])
    row["checksum"] = checksum(row["stack"], *texts, start=2 * record.created + record.protect)
    return row


# What `record_reader` reads.
RECORD = (
    *(inventory.c.address, inventory.c.api_version, inventory.c.target, inventory.c.fingerprint),
    *(inventory.c.external_id, inventory.c.body, inventory.c.on_delete, inventory.c.depends_on),
    *(inventory.c.triggers, inventory.c.replacing, inventory.c.created, inventory.c.protect),
    *(inventory.c.checksum, inventory.c.commit_id, inventory.c.applied_at),
    *(inventory.c.place, inventory.c.run),
)
# How many of these, all of them text, a checksum is over. What only the history needs is not.
_TEXTS = 10


def record_reader(stack: str) -> Callable[[Sequence[Any]], Record]:
    """Reads the rows of one inventory, each with the columns of RECORD. Raises ValueError for a damaged one.

    What rows have in common (targets, addresses) is parsed once.
    """
    addresses: dict[str, Address] = {}
    targets: dict[str, Any] = {}

    def address_of(text: str) -> Address:
        address = addresses.get(text)
        if address is None:
            address = addresses[text] = Address.parse(text)
        return address

    def read(row: Sequence[Any]) -> Record:
        # By their order, which is that of RECORD: by name each of them takes as long as all together.
        address, api_version, target, fingerprint, external_id, body, on_delete, depends_on, *more = row
        triggers, replacing, created, protect, written, commit, applied_at, place, run = more
        if written and written != checksum(stack, *row[:_TEXTS], start=2 * created + protect):
            raise DamagedRow(address)
        if target not in targets:
            targets[target] = json.loads(target)
        return Record(
            address=address_of(address),
            api_version=api_version,
            target=targets[target],
            fingerprint=fingerprint,
            external_id=external_id,
            body=json.loads(body),
            created=created,
            protect=protect,
            on_delete=on_delete,
            depends_on=tuple(map(address_of, json.loads(depends_on))) if depends_on != "[]" else (),
            commit=commit,
            applied_at=applied_at,
            triggers=json.loads(triggers) if triggers != "{}" else {},
            replacing=json.loads(replacing) if replacing != "{}" else {},
            place=place,
            run=run,
        )

    return read


def encode_step(run: int, step: Step) -> Values:
    return {
        "run": run,
        "address": step.address.text,
        "result": step.result.value,
        "message": encode_text(redact(step.message)),
        "seconds": step.seconds,
        "fields": encode(list(step.fields)),
    }


def read_step(row: Row[Any]) -> Step:
    return Step(
        Address.parse(row.address),
        Result(row.result),
        row.message,
        row.seconds,
        tuple(json.loads(row.fields)),
    )


def encode_intent(place: Mapping[str, str], token: str, external_id: str) -> Values:
    """An intent but for its run and its time. `place` is its stack, address, action and fingerprint."""
    checked = checksum(token, external_id, *place.values())
    return {**place, "token": token, "external_id": external_id, "checksum": checked}


def read_intent(row: Row[Any]) -> OpenIntent:
    place = (row.stack, row.address, row.action, row.fingerprint)
    if row.checksum and row.checksum != checksum(row.token, row.external_id, *place):
        raise DamagedRow(row.address)
    return OpenIntent(
        row.token, Address.parse(row.address), row.action, row.fingerprint, row.run, row.external_id
    )


def read_run(row: Row[Any]) -> RunRecord:
    return RunRecord(
        id=row.id,
        stack=row.stack,
        url=row.url,
        commit=row.commit_id,
        digest=row.digest,
        status=RunStatus(row.status) if row.status else None,
        started_at=row.started_at,
        finished_at=row.finished_at,
        counts=json.loads(row.counts),
        author=row.author,
        trigger=row.trigger,
        approved_by=row.approved_by,
    )


def read_outputs(text: str) -> Mapping[str, Value]:
    values = json.loads(text)
    if not isinstance(values, dict):
        raise TypeError("the outputs of a stack are no map")
    return values


def encode_decision(stack: str, decision: Decision) -> Values:
    return {
        "stack": stack,
        "digest": decision.digest,
        "verdict": decision.verdict.value,
        "who": decision.who,
        "note": decision.note,
        "at": decision.at,
    }


def read_decision(row: Row[Any]) -> Decision:
    return Decision(row.digest, Verdict(row.verdict), row.who, row.note, row.at)


def encode_pin(pin: Pin) -> Values:
    return {
        "stack": pin.stack,
        "kind": pin.kind.value,
        "commit_id": pin.commit,
        "who": pin.who,
        "reason": pin.reason,
        "at": pin.at,
    }


def read_pin(row: Row[Any]) -> Pin:
    return Pin(row.stack, PinKind(row.kind), row.commit_id, row.who, row.reason, row.at)


def encode_event(stack: str, event: Event, now: float) -> Values:
    return {
        "stack": stack,
        "address": event.address.text if event.address else "",
        "at": event.at or now,
        "kind": encode_text(event.kind),
        "message": encode_text(redact(event.message)),
        "run": event.run,
    }


def read_event(row: Row[Any]) -> Event:
    address = Address.parse(row.address) if row.address else None
    return Event(row.kind, row.message, address, row.run, row.at, row.id)


def encode_quarantine(quarantine: Quarantine) -> Values:
    return {
        "stack": quarantine.address.stack,
        "address": quarantine.address.text,
        "paths": encode(list(quarantine.paths)),
        "writer": encode_text(quarantine.writer),
        "strikes": quarantine.strikes,
        "since": quarantine.since,
        "until": quarantine.until,
    }


def read_quarantine(row: Row[Any]) -> Quarantine:
    paths = tuple(json.loads(row.paths))
    return Quarantine(Address.parse(row.address), paths, row.writer, row.strikes, row.since, row.until)


def encode_correction(correction: Correction, now: float) -> Values:
    return {
        "stack": correction.address.stack,
        "address": correction.address.text,
        "path": encode_text(correction.path),
        "at": correction.at or now,
        "writer": encode_text(correction.writer),
    }


def read_correction(row: Row[Any]) -> Correction:
    return Correction(Address.parse(row.address), row.path, row.writer, row.at)
