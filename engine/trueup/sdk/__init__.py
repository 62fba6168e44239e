"""All that a provider may import. The contract stands in the docstrings of `contracts`."""

from trueup.errors import (
    Blocked,
    Conflict,
    Denied,
    Invalid,
    Place,
    Problem,
    ProviderError,
    Throttled,
    Transient,
)
from trueup.model.address import Address, Owner
from trueup.model.change import MISSING, Action, Change, FieldChange
from trueup.model.observation import (
    READY,
    Absent,
    Done,
    Failed,
    Health,
    Observation,
    Observed,
    Owned,
    Pending,
    Readiness,
    degraded,
    progressing,
)
from trueup.model.resource import Lifecycle, Node, Target
from trueup.model.values import UNKNOWN, Document, Sensitive, Value, has_unknown, reveal
from trueup.sdk.compare import compare
from trueup.sdk.contracts import Intent, Kind, Limits, Provider, Session, Traits
from trueup.sdk.hookspecs import hookimpl

__all__ = [
    "MISSING",
    "READY",
    "UNKNOWN",
    "Absent",
    "Action",
    "Address",
    "Blocked",
    "Change",
    "Conflict",
    "Denied",
    "Document",
    "Done",
    "Failed",
    "FieldChange",
    "Health",
    "Intent",
    "Invalid",
    "Kind",
    "Lifecycle",
    "Limits",
    "Node",
    "Observation",
    "Observed",
    "Owned",
    "Owner",
    "Pending",
    "Place",
    "Problem",
    "Provider",
    "ProviderError",
    "Readiness",
    "Sensitive",
    "Session",
    "Target",
    "Throttled",
    "Traits",
    "Transient",
    "Value",
    "compare",
    "degraded",
    "has_unknown",
    "hookimpl",
    "progressing",
    "reveal",
]
