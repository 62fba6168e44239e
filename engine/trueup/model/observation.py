"""What a provider saw of a node in the live system."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from trueup.errors import ProviderError
from trueup.model.address import Address, Owner
from trueup.model.values import Document
from trueup.redaction import redact


@dataclass(frozen=True)
class Observed:
    """The node exists.

    `body` has the document's shape: `spec` as it lives, `status` with what only the system knows.
    `external_id` is the id that tells this object from a later one of the same name (a uid, an ARN, an
    inode-independent path). `owner` is the marker found on it; None: no marker. `version` changes
    whenever the owned fields change (an etag, a generation, a content hash); empty where there is none.
    """

    address: Address
    body: Document
    external_id: str
    owner: Owner | None = None
    version: str = ""


@dataclass(frozen=True)
class Absent:
    """The right target said, with valid credentials and a complete answer, that there is no such object."""

    address: Address


@dataclass(frozen=True)
class Failed:
    """Nothing is known about the node: it is neither created, pruned nor repaired."""

    address: Address
    error: ProviderError


Observation = Observed | Absent | Failed


@dataclass(frozen=True)
class Owned:
    """An object that carries a marker of ours, found by the marker alone.

    `is_created` is false where the marker says that the object was there before trueup, None where it says
    nothing of that: then a `shared` kind's object passes for one that was there.
    """

    owner: Owner
    external_id: str
    body: Document
    is_created: bool | None = None


@dataclass(frozen=True)
class Discovered:
    """An object that lives on a target, found without a manifest, for `trueup import`.

    `id` is how a user names it, `external_id` and `body` are those of an `Observed`. `is_system`: the system
    itself or one of its controllers made it, so that it is imported only when it is named.
    """

    id: str
    external_id: str
    body: Document
    owner: Owner | None = None
    version: str = ""
    is_system: bool = False


@dataclass(frozen=True)
class Missing:
    """What `Kind.discover` cannot give: an id that names no object, or an object that cannot be read."""

    id: str
    error: ProviderError


class Readiness(StrEnum):
    READY = "ready"
    PROGRESSING = "progressing"
    DEGRADED = "degraded"


@dataclass(frozen=True)
class Health:
    """Whether the object does its work. `why` is empty for a ready one."""

    readiness: Readiness
    why: str = ""


READY = Health(Readiness.READY)


def progressing(why: str) -> Health:
    """Not ready yet, and nothing says that it will not be: the engine looks again until the deadline."""
    return Health(Readiness.PROGRESSING, redact(why))


def degraded(why: str) -> Health:
    """Not ready, and waiting alone will not mend it: the step fails at once."""
    return Health(Readiness.DEGRADED, redact(why))


@dataclass(frozen=True)
class Done:
    """The call has taken effect. `external_id` of the object, where the call told it."""

    external_id: str = ""


@dataclass(frozen=True)
class Pending:
    """The call was accepted and goes on at the system: the engine polls with `operation`, holding no thread.

    `operation` is JSON and survives a restart. `after` is the pause before the next poll, in seconds.
    """

    operation: Document = field(default_factory=dict)
    why: str = ""
    after: float = 2.0
