"""What is found without a manifest: by its marker, or for import, and what a person would write for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from trueup.sdk import (
    Discovered,
    Document,
    Invalid,
    Missing,
    Owned,
    ProviderError,
    Session,
    Value,
    choose,
    has_pattern,
    is_equal,
)
from trueup_aws.errors import NotFound
from trueup_aws.kinds.live import Reading, version_of
from trueup_aws.kinds.tagged import TaggedKind
from trueup_aws.markers import owner_of

if TYPE_CHECKING:
    from trueup_aws.client import Connection

# The longest name of a resource, with room for a number behind it.
LONGEST_NAME = 240


class ImportableKind(TaggedKind):
    """A kind whose objects can be found without a manifest: by their markers, and for import."""

    # -- what a kind may say

    def is_system(self, name: str) -> bool:
        """Whether AWS itself made the object of that name."""
        return False

    def read_found(self, connection: Connection, names: Sequence[str]) -> Mapping[str, Reading]:
        """Each object, None where it is gone, or why it cannot be read."""
        return self.read_many(connection, names, names)

    def written_spec(self, spec: Document) -> Document:
        """The spec of a live object, without what need not or cannot be written."""
        return spec

    # -- the contract

    def discover(self, session: Session, ids: Sequence[str]) -> Iterable[Discovered | Missing]:
        connection = cast("Connection", session)
        names = [self._name_in(each) for each in ids]
        if names and not any(map(has_pattern, names)):
            chosen = list(dict.fromkeys(names))
        else:
            listed = dict.fromkeys(self.list_names(connection))
            found, missing = choose(names, listed, self.noun)
            yield from missing
            chosen = list(found)
        for name, reading in self.read_found(connection, chosen).items():
            if isinstance(reading, ProviderError):
                yield Missing(name, reading)
            elif reading is not None:
                body = self._body(reading, "")
                yield Discovered(
                    name,
                    reading.external_id,
                    body,
                    owner_of(reading.tags),
                    version_of(reading),
                    self.is_system(name),
                )
            elif name in names:
                yield Missing(name, Invalid(f"there is no {self.noun} {name!r}"))

    def find_owned(self, session: Session, owner_key: str) -> Iterable[Owned]:
        # Asked of each object itself: the tagging API lags, and what it has not seen yet would be lost.
        connection = cast("Connection", session)

        def look(item: tuple[str, str]) -> Owned | None:
            try:
                owner = owner_of(self.read_tags(connection, *item))
                if owner is None or not owner.has_key(owner_key):
                    return None
                live = self.read(connection, *item)
            except NotFound:
                return None
            return Owned(owner, live.external_id, self._body(live, owner.address))

        yield from filter(None, connection.run_all(look, self.list_names(connection).items()))

    def export(self, body: Document) -> Document:
        live = self.written_spec(body["spec"])
        schema: Mapping[str, Any] = self.schema or {}
        properties: Mapping[str, Any] = schema["properties"]
        spec = {
            key: _plain(value)
            for key, value in live.items()
            if key in properties and value is not None and not _is_default(value, properties[key])
        }
        tags = [tag for tag in spec.pop("Tags", ()) if not tag["Key"].lower().startswith("aws:")]
        if tags:
            spec["Tags"] = tags
        name = str(live[self.name_property]).strip("/").replace("/", "-")[:LONGEST_NAME]
        return {
            "apiVersion": self.api_version,
            "kind": self.name,
            "metadata": {"name": name},
            "spec": spec,
        }

    def _name_in(self, text: str) -> str:
        """The name in what people call an object by: a name, an ARN, a URL."""
        if text.startswith("arn:"):
            return self.name_of(text)
        return text.rpartition("/")[2] if "://" in text else text


def _is_default(value: Value, schema: Mapping[str, Any]) -> bool:
    return "x-reset-to" in schema and is_equal(_plain(value), _plain(schema["x-reset-to"]))


def _plain(value: Value) -> Value:
    """The value without what is not set in it."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
