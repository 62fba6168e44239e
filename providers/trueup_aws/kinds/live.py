"""One object as its service describes it, and the small conversions that all kinds need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trueup.sdk import MISSING, Document, FieldChange, Node, Problem, ProviderError, Sensitive
from trueup_aws.markers import OWNER, is_marker, owner_of


@dataclass(frozen=True)
class Live:
    """One object as the service describes it. `handle` is what its calls take: a URL, an ARN or a name.

    `spec` holds every supported property but the tags, in the form of the manifest.
    """

    name: str
    external_id: str
    handle: str
    spec: Document
    status: Document
    tags: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


Reading = Live | None | ProviderError


def split_tags(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The list of keys and values that most APIs use, as a map."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def join_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """The map as the list that most APIs use."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def parse_flag(value: object) -> bool:
    """`"true"` of an API as a boolean."""
    return str(value).lower() == "true"


def batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The items in groups of at most that size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def tags_of_spec(spec: Document) -> dict[str, str]:
    """The tags of a manifest, as a map."""
    return split_tags(spec.get("Tags") or ())


def is_spec_known(node: Node) -> bool:
    """Whether the node's spec is there to be read, rather than unknown as a whole."""
    return isinstance(node.body.get("spec"), Mapping)


def find_tag_problems(node: Node) -> Iterator[Problem]:
    """The tags of a manifest that are there twice, or that only trueup or AWS may set."""
    tags = node.spec.get("Tags")
    seen: set[str] = set()
    for tag in tags if isinstance(tags, list | tuple) else ():
        key = tag.get("Key") if isinstance(tag, Mapping) else None
        if not isinstance(key, str):
            continue
        if is_marker(key) or key.lower().startswith("aws:"):
            yield Problem(f"the tag key {key!r} is reserved", node.place, "use another key")
        if key in seen:
            yield Problem(f"the tag key {key!r} is there twice", node.place, "remove one of them")
        seen.add(key)


def find_secrets(node: Node, may_be_secret: Callable[[str, Document], bool]) -> Iterator[Problem]:
    """The properties that hold a secret, though AWS shows them to everyone who may look at the object."""
    for key, value in node.spec.items():
        if holds_secret(value) and not may_be_secret(key, node.spec):
            yield Problem(f"{key} may not hold a secret", node.place, f"AWS does not keep {key} secret")


def holds_secret(value: object) -> bool:
    """Whether there is a sensitive value anywhere in it."""
    if isinstance(value, Mapping):
        return any(holds_secret(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(holds_secret(item) for item in value)
    return isinstance(value, Sensitive)


def property_of(path: str) -> str:
    """The property of the spec that a field's pointer leads into."""
    return path.split("/")[2]


def with_resets(spec: Document, fields: Iterable[FieldChange]) -> Document:
    """The spec with the defaults that parts of its blocks fall back to, where the manifest dropped them."""
    filled = dict(spec)
    for item in fields:
        tokens = item.path.split("/")
        if len(tokens) != 4 or item.after is MISSING:
            continue
        block = filled.get(tokens[2])
        if isinstance(block, Mapping) and tokens[3] not in block:
            filled[tokens[2]] = {**block, tokens[3]: item.after}
    return filled


def is_dropped_tag(path: str, after: object) -> bool:
    """Whether a changed field is a tag that goes away."""
    return after is MISSING and path.startswith("/spec/Tags/") and path.count("/") == 3


def tag_of(path: str) -> str:
    """The key of the tag that a field's pointer leads to."""
    return path.split("/")[3].replace("~1", "/").replace("~0", "~")


def whose(live: Live) -> str:
    """Who an object belongs to, as the end of a sentence."""
    owner = owner_of(live.tags)
    if owner is not None:
        return f"belongs to {owner.address} of {owner.key}"
    return "has a marker that cannot be read" if OWNER in live.tags else "carries no marker of trueup"


def is_of_another(live: Live, node: Node) -> bool:
    """Whether the object carries the marker of another node, and so is not the one that was recorded.

    What the node was before, by `lifecycle.movedFrom`, is no other one.
    """
    owner = owner_of(live.tags)
    if owner is None or owner.address == node.address.text:
        return False
    before = (*node.former_addresses, *node.former_addresses_outside)
    return all(owner.address != address.text for address in before)


def version_of(live: Live) -> str:
    """A hash of all that a manifest could set; sensitive values count by the service's own version alone."""
    text = json.dumps([live.version, live.spec, dict(live.tags)], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
