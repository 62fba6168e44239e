"""One example resource of a kind, the input of the contract suite. Written by a provider's tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from trueup.sdk import Document, Value


@dataclass(frozen=True)
class Case:
    """A resource that the suite creates, changes and deletes; the bodies hold what stands beside metadata.

    `body` is the document's keys such as `spec`. `changed` is a body in which at least one field differs
    that can be changed in place, `replaced` one in which an immutable field differs.
    `sensitive` are the canaries: texts inside `body` or `changed` that must show up nowhere. Take texts that
    occur nowhere else, for they are searched for. `sibling_body` is needed where the identity of an object
    lies in its body (a file's path): the body of a second, different object. `is_markable` is false where
    the system offers no place for an ownership marker; the promises about ownership are then not tested.
    `is_drift_visible` is false where `changed` differs in write-only fields alone. `is_refreshable`: the kind
    can be refreshed, so that the promises of `Kind.refresh` are tested.
    """

    api_version: str
    kind: str
    name: str
    body: Document
    changed: Document | None = None
    replaced: Document | None = None
    namespace: str = ""
    sensitive: tuple[str, ...] = ()
    metadata: Mapping[str, Value] = field(default_factory=dict)
    sibling_name: str = ""
    sibling_body: Document | None = None
    is_markable: bool = True
    is_drift_visible: bool = True
    is_refreshable: bool = False

    @property
    def id(self) -> str:
        """How test reports name the case."""
        return f"{self.kind}-{self.name}"

    @property
    def sibling(self) -> Case:
        """A second, different object of the kind."""
        return replace(
            self,
            name=self.sibling_name or f"{self.name}-2",
            body=self.body if self.sibling_body is None else self.sibling_body,
            changed=None,
            replaced=None,
        )
