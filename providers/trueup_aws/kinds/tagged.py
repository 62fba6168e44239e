"""What all kinds share: an object with a name and tags, found by its name, marked by its tags.

A kind says how one object is listed, read, made, changed and removed; the order of these calls, and every
check before a mutation, stand here once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from trueup.sdk import (
    Absent,
    Blocked,
    Change,
    Conflict,
    Document,
    Done,
    Failed,
    Intent,
    Invalid,
    Kind,
    Node,
    Observation,
    Observed,
    Pending,
    Problem,
    ProviderError,
    Session,
)
from trueup_aws.errors import NotFound
from trueup_aws.kinds.live import (
    Live,
    Reading,
    find_secrets,
    find_tag_problems,
    is_dropped_tag,
    is_of_another,
    is_spec_known,
    property_of,
    tag_of,
    tags_of_spec,
    version_of,
    whose,
    with_resets,
)
from trueup_aws.markers import is_marker, owner_of, tags_of
from trueup_aws.names import generated_name

if TYPE_CHECKING:
    from trueup_aws.client import Connection

API_VERSION = "aws.trueup.dev/v1"

# Up to this many nodes are looked up by name; more are first looked for in the complete list of names.
FEW = 4


class TaggedKind(Kind):
    """A kind whose objects have a name that exists once, and tags."""

    api_version: ClassVar[str] = API_VERSION
    service: ClassVar[str] = ""
    name_property: ClassVar[str] = ""
    name_limit: ClassVar[int] = 64
    noun: ClassVar[str] = ""

    # -- what each kind says

    @abstractmethod
    def arn(self, connection: Connection, name: str) -> str:
        """The ARN of the object of that name."""

    @abstractmethod
    def name_of(self, arn: str) -> str:
        """The name in an ARN of this kind."""

    @abstractmethod
    def list_names(self, connection: Connection) -> Mapping[str, str]:
        """The name of every object on the target with its handle, or an empty one. All pages, or an error."""

    @abstractmethod
    def read(self, connection: Connection, name: str, handle: str) -> Live:
        """One object with its tags. Raises NotFound where there is none."""

    @abstractmethod
    def read_tags(self, connection: Connection, name: str, handle: str) -> Mapping[str, str]:
        """The tags of one object. Raises NotFound where it is gone."""

    @abstractmethod
    def make(self, connection: Connection, name: str, spec: Document, tags: Mapping[str, str]) -> str:
        """Creates the object as the spec says, with its tags from the start where the service can.

        Gives its external id, or nothing where the service does not tell it at once.
        """

    @abstractmethod
    def change(self, connection: Connection, live: Live, spec: Document, names: Collection[str]) -> None:
        """Sets the named properties as the spec says; one that it does not hold, to the service's default."""

    @abstractmethod
    def write_tags(
        self, connection: Connection, live: Live, tags: Mapping[str, str], removed: Collection[str]
    ) -> None:
        """Sets some tags and removes others, and touches no third."""

    @abstractmethod
    def remove(self, connection: Connection, live: Live) -> None:
        """Deletes the object."""

    def suffix(self, spec: Document) -> str | None:
        """What a generated name has to end with; None where that is not known yet."""
        return ""

    def may_be_secret(self, key: str, spec: Document) -> bool:
        """Whether AWS keeps that property secret."""
        return False

    # -- pure

    def validate(self, node: Node) -> Iterable[Problem]:
        yield from find_secrets(node, self.may_be_secret)
        yield from find_tag_problems(node)

    def identity(self, node: Node) -> str:
        given = node.spec.get(self.name_property)
        if not is_spec_known(node):
            return ""
        if given is None:
            return f"{self.service}/generated:{node.address.text}"
        return f"{self.service}/{given}" if isinstance(given, str) else ""

    def provides(self, node: Node) -> Iterable[str]:
        given = node.spec.get(self.name_property)
        if isinstance(given, str):
            yield f"aws:{self.name}/{given}"

    def normalize(self, node: Node, observed: Observed | None) -> Document:
        if not is_spec_known(node):
            return node.body
        # Here and not by AWS: a value of secret() is known from the plan on.
        self._refuse_secrets(node)
        spec = self.normal_spec(node.spec, observed.body["spec"] if observed else None)
        if observed is not None and spec.get("Tags") is None:
            # So that tags of the last manifest are seen to be dropped where this one has none at all.
            spec = {**spec, "Tags": []}
        return {**node.body, "spec": spec}

    def normal_spec(self, spec: Document, live: Document | None) -> Document:
        """The spec in the form of `Live.spec`."""
        return spec

    def effective_name(self, owner_key: str, node: Node) -> str | None:
        """The name of the object; None while it depends on something that is not known yet."""
        given = node.spec.get(self.name_property)
        if not is_spec_known(node):
            return None
        if given is not None:
            return given if isinstance(given, str) else None
        suffix = self.suffix(node.spec)
        if suffix is None:
            return None
        stack, text = node.address.stack, node.address.text
        # As the text has it: in an address that comes from the store, a module passes for a namespace.
        name = node.address.reference.partition("/")[2]
        return generated_name(owner_key, stack, name, text, limit=self.name_limit, suffix=suffix)

    # -- I/O

    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        connection = cast("Connection", session)
        candidates = {node.address: self._candidates(connection, node) for node in nodes}
        names = list(dict.fromkeys(name for found in candidates.values() for name in found))
        recorded = {name for node in nodes if node.external_id for name in candidates[node.address]}
        readings = self.read_many(connection, names, recorded)
        for node in nodes:
            yield self._observation(node, [readings[name] for name in candidates[node.address]])

    def create(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        connection = cast("Connection", session)
        self._refuse_secrets(node)
        name = self._known_name(connection, node)
        live = self.find(connection, name)
        if live is None:
            try:
                tags = {**tags_of_spec(node.spec), **tags_of(intent.owner)}
                return Done(self.make(connection, name, node.spec, tags))
            except NotFound as error:
                raise Blocked(
                    error.message, by="what it refers to", hint="create that first; dependsOn draws the order"
                ) from error
            except Conflict:
                # The answer to an earlier try was lost, or somebody else was faster: whose is it now?
                live = self.find(connection, name)
                if live is None or owner_of(live.tags) != intent.owner:
                    raise
        elif owner_of(live.tags) != intent.owner and not node.lifecycle.adopt:
            raise Conflict(
                f"{self.noun} {name!r} exists already and {whose(live)}",
                hint="set lifecycle.adopt: true to take it over, or choose another name",
            )
        self._conform(connection, live, node, intent)
        return Done(live.external_id)

    def update(self, session: Session, node: Node, change: Change, intent: Intent) -> Done | Pending:
        connection = cast("Connection", session)
        self._refuse_secrets(node)
        live = self._find_recorded(connection, node, change.observed)
        if live is None:
            raise Conflict(f"{self.noun} of {node.address} is gone since it was looked at", hint="run again")
        seen = change.observed
        if seen is not None and seen.external_id != live.external_id:
            raise Conflict(
                f"{self.noun} {live.name!r} was replaced by another one since it was looked at",
                hint="run again",
            )
        owner = owner_of(live.tags)
        if owner not in (intent.owner, seen.owner if seen else None):
            raise Conflict(
                f"{self.noun} {live.name!r} {whose(live)} since it was looked at", hint="run again"
            )
        self._apply(connection, live, node, change, intent)
        return Done(live.external_id)

    def delete(self, session: Session, node: Node, intent: Intent) -> Done | Pending:
        connection = cast("Connection", session)
        live = self._find_recorded(connection, node, None)
        if live is None:
            return Done()
        self._check_before_removal(live, node, intent)
        with suppress(NotFound):
            self.remove(connection, live)
        return Done()

    def release(self, session: Session, node: Node, intent: Intent) -> Done:
        connection = cast("Connection", session)
        live = self._find_recorded(connection, node, None)
        if live is None or owner_of(live.tags) != intent.owner:
            return Done()
        with suppress(NotFound):
            self.write_tags(connection, live, {}, [key for key in live.tags if is_marker(key)])
        return Done()

    # -- reading

    def find(self, connection: Connection, name: str) -> Live | None:
        """The object of that name, None where the service says that there is none."""
        try:
            return self.read(connection, name, "")
        except NotFound:
            return None

    def read_many(
        self, connection: Connection, names: Sequence[str], recorded: Collection[str]
    ) -> Mapping[str, Reading]:
        """Each name with its object, None for none, or what went wrong when this one was read."""
        handles: Mapping[str, str] = dict.fromkeys(names, "")
        if len(names) > FEW:
            listed = self.list_names(connection)
            # Lists lag behind: what was there before is asked for by name until it is said to be gone.
            handles = {name: listed.get(name, "") for name in names if name in listed or name in recorded}

        def look(item: tuple[str, str]) -> Reading:
            try:
                return self.read(connection, *item)
            except NotFound:
                return None
            except ProviderError as error:
                return error

        found = dict(zip(handles, connection.run_all(look, handles.items()), strict=True))
        return {name: found.get(name) for name in names}

    def _candidates(self, connection: Connection, node: Node) -> list[str]:
        """The names to look under: the one last seen, then the one that the manifest gives.

        They differ where the manifest changes the name, which replaces the object.
        """
        wanted = self.effective_name(connection.owner_key, node)
        recorded = self._recorded_name(connection, node.external_id, wanted)
        return [name for name in dict.fromkeys((recorded, wanted)) if name]

    def _recorded_name(self, connection: Connection, external_id: str, wanted: str | None) -> str | None:
        arn = external_id.partition("#")[0]
        if not arn.startswith(self.arn(connection, "")) or (wanted and arn == self.arn(connection, wanted)):
            return wanted
        return self.name_of(arn)

    def _observation(self, node: Node, readings: Sequence[Reading]) -> Observation:
        for reading in readings:
            if isinstance(reading, ProviderError):
                return Failed(node.address, reading)
            if reading is not None and (reading is readings[-1] or not is_of_another(reading, node)):
                return Observed(
                    node.address,
                    self._body(reading, node.address.text),
                    reading.external_id,
                    owner_of(reading.tags),
                    version_of(reading),
                )
        # No candidate at all: the name depends on what is yet to be made, so nothing can bear it. `create`
        # looks again, under the name that is known by then.
        return Absent(node.address)

    def _body(self, live: Live, address: str) -> Document:
        tags = [
            {"Key": key, "Value": value} for key, value in sorted(live.tags.items()) if not is_marker(key)
        ]
        name = address.rpartition("@")[0].rpartition("/")[2]
        return {
            "apiVersion": self.api_version,
            "kind": self.name,
            "metadata": {"name": name},
            "spec": {**live.spec, "Tags": tags},
            "status": {**live.status, self.name_property: live.name},
        }

    def _known_name(self, connection: Connection, node: Node) -> str:
        name = self.effective_name(connection.owner_key, node)
        if name is None:
            raise ProviderError(f"{self.name_property} of {node.address} is not known yet")
        return name

    def _find_recorded(self, connection: Connection, node: Node, seen: Observed | None) -> Live | None:
        """The object that was seen or recorded; for one that never was, the one of the manifest's name."""
        wanted = self.effective_name(connection.owner_key, node)
        external_id = seen.external_id if seen else node.external_id
        name = self._recorded_name(connection, external_id, wanted) or wanted
        return self.find(connection, name) if name else None

    # -- writing

    def _check_before_removal(self, live: Live, node: Node, intent: Intent) -> None:
        if node.external_id and live.external_id != node.external_id:
            raise Conflict(
                f"{self.noun} {live.name!r} is not the one that was recorded: it was made anew since",
                hint="delete it by hand, or declare it again",
            )
        if owner_of(live.tags) != intent.owner:
            raise Conflict(
                f"{self.noun} {live.name!r} {whose(live)}, so it is not deleted", hint="delete it by hand"
            )

    def _conform(self, connection: Connection, live: Live, node: Node, intent: Intent) -> None:
        """Brings an object that was found to be ours, or is to be adopted, to what the node says."""
        owner = owner_of(live.tags)
        seen = Observed(node.address, self._body(live, node.address.text), live.external_id, owner)
        sealed = replace(node, body=self.seal(node.body))
        change = self.diff(sealed, replace(seen, body=self.seal(seen.body)), None)
        fixed = sorted({property_of(item.path) for item in change.fields if item.immutable})
        if fixed:
            raise Conflict(
                f"{self.noun} {live.name!r} exists already with another {', '.join(fixed)}",
                hint="delete it, or choose another name",
            )
        self._apply(connection, live, node, change, intent)

    def _refuse_secrets(self, node: Node) -> None:
        for problem in find_secrets(node, self.may_be_secret):
            raise Invalid(problem.message, hint=problem.hint)

    def _apply(self, connection: Connection, live: Live, node: Node, change: Change, intent: Intent) -> None:
        names = {property_of(item.path) for item in change.fields if item.path.startswith("/spec/")}
        removed = [tag_of(item.path) for item in change.fields if is_dropped_tag(item.path, item.after)]
        tags: Mapping[str, str] = {}
        if "Tags" in names:
            wanted = tags_of_spec(node.spec)
            tags = {key: value for key, value in wanted.items() if live.tags.get(key) != value}
        try:
            if owner_of(live.tags) != intent.owner:
                # The marker comes first: from here on it is ours, whatever happens to the rest.
                marker = tags_of(intent.owner)
                stale = [key for key in live.tags if is_marker(key) and key not in marker]
                self.write_tags(connection, live, marker, stale)
                live = replace(live, tags={**live.tags, **marker})
            if names - {"Tags"}:
                self.change(connection, live, with_resets(node.spec, change.fields), names - {"Tags"})
            if tags or removed:
                self.write_tags(connection, live, tags, removed)
        except NotFound as error:
            raise Conflict(error.message, hint="it, or what it refers to, is gone: run again") from error
