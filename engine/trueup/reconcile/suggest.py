"""Says how Git can come to terms with drift: the ignore rule, or the edit that accepts the live value.

Called by `trueup drift --suggest`. What is suggested was tried: with it, the kind finds no difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from trueup.errors import Place, TrueupError
from trueup.manifests.document import SourceDocument
from trueup.manifests.field_places import find_document
from trueup.manifests.print_yaml import print_documents
from trueup.model.change import MISSING, FieldChange
from trueup.model.observation import Observed
from trueup.model.resource import Node
from trueup.model.tree import Tree
from trueup.model.values import Document, Value, has_sensitive, has_unknown, split_pointer
from trueup.reconcile.drift import DriftedNode
from trueup.reconcile.resolve import keep_ignored
from trueup.sdk.contracts import Kind

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Edit:
    """A change of the file at `place`: `yaml` is what to write there, or to take away (`is_removal`).

    `note` says what to mind.
    """

    place: Place
    yaml: str
    is_removal: bool = False
    note: str = ""


@dataclass(frozen=True)
class Suggestion:
    """The two ways for one drifted field, or for the whole of a node that is gone (`path` empty).

    None where a way does not lead to the end, or would write a secret into Git.
    """

    path: str
    ignore: Edit | None
    accept: Edit | None


def suggest(drifted: DriftedNode, tree: Tree) -> Sequence[Suggestion]:
    """One for each drifted field, in their order."""
    node = drifted.node
    document = find_document(tree, node.place)
    if document is not None and document.value.get("kind") != node.kind:
        # What was rendered has its line in what it was made from, and no field of its own there.
        document = None
    count = _describe_siblings(drifted.siblings)
    if drifted.observed is None:
        note = "; ".join(filter(None, ("the resource as a whole", count)))
        removal = Edit(node.place, "", is_removal=True, note=note)
        return [Suggestion("", None, removal if document is not None else None)]
    found = []
    for field in drifted.fields:
        try:
            ways = _find_ways(field, drifted, drifted.observed, document)
        except Exception:  # noqa: BLE001 - what a kind cannot try out is not suggested
            ways = None, None
        found.append(Suggestion(field.path, *ways))
    return found


def _find_ways(
    field: FieldChange, drifted: DriftedNode, observed: Observed, document: SourceDocument | None
) -> tuple[Edit | None, Edit | None]:
    """The rule and the edit. `document` is the node's own, None where it was rendered."""
    ignore = accept = None
    node, count = drifted.node, _describe_siblings(drifted.siblings)
    if _can_be_ignored(field, drifted, observed):
        rules = {"lifecycle": {"ignore": [*node.lifecycle.ignore, field.path]}}
        place = document.place_of_key(("lifecycle", "ignore")) if document is not None else node.place
        ignore = Edit(place, print_documents([rules]), note=count)
    trial = _accept(field, drifted, observed)
    if trial is not None and document is not None:
        path, snippet = trial
        note = "; ".join(filter(None, (_find_expression(document.value, path), count)))
        place = document.place_of_key(path)
        accept = Edit(place, print_documents([snippet]), field.before is MISSING, note)
    return ignore, accept


def _describe_siblings(siblings: int) -> str:
    if not siblings:
        return ""
    more = "one more resource" if siblings == 1 else f"{siblings} more resources"
    return f"it counts for {more} that the same document makes"


def _can_be_ignored(field: FieldChange, drifted: DriftedNode, observed: Observed) -> bool:
    node = drifted.node
    lifecycle = replace(node.lifecycle, ignore=(*node.lifecycle.ignore, field.path))
    if not field.path or split_pointer(field.path)[0] in ("apiVersion", "kind"):
        return False
    return _settles(field, replace(node, lifecycle=lifecycle), drifted, observed)


def _settles(field: FieldChange, node: Node, drifted: DriftedNode, observed: Observed) -> bool:
    """Whether the field no longer differs with the node like this."""
    kind, recorded = drifted.kind, drifted.record.body
    try:
        kept = keep_ignored(node, observed, kind, recorded)
        left = kind.diff(kept, observed, recorded).fields
    except TrueupError:
        return False  # the live value is none that Git could declare
    return not any(_is_around(field.path, each.path) or _is_around(each.path, field.path) for each in left)


def _is_around(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}/")


def _accept(field: FieldChange, drifted: DriftedNode, observed: Observed) -> tuple[Path, Document] | None:
    """Where the live value belongs in the document, and that part of it; None where that does not help."""
    if field.sensitive or has_sensitive(field.before) or has_sensitive(field.after):
        return None
    if has_unknown(drifted.node.body):
        return None
    tokens = split_pointer(field.path)
    put = _put(drifted.node.body, (), tokens, field.before, observed, drifted.kind)
    if put is None or not tokens:
        return None
    if not _settles(field, drifted.node.with_body(put.whole), drifted, observed):
        return None
    return put.path, put.part


@dataclass(frozen=True)
class _Put:
    """A value with another one put into it, the path to that one, and the value without all else."""

    whole: Value
    path: Path
    part: Value


def _put(
    value: Value, above: tuple[str, ...], below: Sequence[str], new: Value, observed: Observed, kind: Kind
) -> _Put | None:
    if not below:
        return _Put(new, (), new)
    token, rest = below[0], below[1:]
    if isinstance(value, list):
        return _put_item(value, above, below, new, observed, kind)
    if value is not MISSING and not isinstance(value, Mapping):
        return None
    old = value if isinstance(value, Mapping) else {}
    if new is MISSING and not rest:
        if token not in old:
            return None
        whole = {key: item for key, item in old.items() if key != token}
        return _Put(whole, (token,), {token: old[token]})
    inner = _put(old.get(token, MISSING), (*above, token), rest, new, observed, kind)
    if inner is None:
        return None
    return _Put({**old, token: inner.whole}, (token, *inner.path), {token: inner.part})


def _put_item(
    items: list[Value],
    above: tuple[str, ...],
    below: Sequence[str],
    new: Value,
    observed: Observed,
    kind: Kind,
) -> _Put | None:
    token, rest = below[0], below[1:]
    index = kind.find_item(observed, above, items, token)
    if index is None:
        # An item that somebody added.
        if rest or new is MISSING:
            return None
        return _Put([*items, new], (len(items),), [new])
    if new is MISSING and not rest:
        return _Put([*items[:index], *items[index + 1 :]], (index,), [items[index]])
    inner = _put(items[index], (*above, token), rest, new, observed, kind)
    if inner is None:
        return None
    part = inner.part
    if rest and isinstance(part, Mapping):
        part = {**_identity(items[index], token), **part}
    return _Put([*items[:index], inner.whole, *items[index + 1 :]], (index, *inner.path), [part])


def _identity(item: Value, token: str) -> Document:
    """The properties by which a reader finds the item again."""
    named = token.split(",")
    return {key: value for key, value in item.items() if isinstance(value, str | int) and str(value) in named}


def _find_expression(written: Value, path: Path) -> str:
    """What to mind where the file does not say the value itself."""
    for key in path:
        if isinstance(written, str):
            break
        is_map = isinstance(written, Mapping) and key in written
        is_list = isinstance(written, list) and isinstance(key, int) and key < len(written)
        if not (is_map or is_list):
            return ""
        written = written[key]
    if isinstance(written, str) and "${{" in written:
        return "an expression stands there: change what it comes from, or write the value in its place"
    return ""
