"""The manifest that a person would write for a live object. Pure. Called by `kinds.resource`, for import.

What nobody but the cluster set is left out: fields that no field manager owns, or only the cluster's own
controllers, and what the server fills in. A value that is only set as a whole stays whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trueup.sdk import Document, Value, is_equal
from trueup_kubernetes.kinds.catalog import is_builtin
from trueup_kubernetes.kinds.defaults import Path, defaults_at, generated_at
from trueup_kubernetes.kinds.system import CONTROLLERS
from trueup_kubernetes.ownership import Tree, below_field, below_item, entry_trees, is_leaf, keys_of, merge

_NOT_WRITTEN = ("apiVersion", "kind", "metadata", "status")
# Labels and annotations of tools and controllers; a name that ends with / stands for all below it.
_FOREIGN_MARKS = (
    "autoscaling.alpha.kubernetes.io/",
    "batch.kubernetes.io/job-tracking",
    "control-plane.alpha.kubernetes.io/leader",
    "deployment.kubernetes.io/",
    "deprecated.daemonset.template.generation",
    "endpoints.kubernetes.io/",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubectl.kubernetes.io/restartedAt",
    "kubernetes.io/metadata.name",
    "pv.kubernetes.io/",
    "rbac.authorization.kubernetes.io/autoupdate",
    "trueup.dev/",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/",
)
# Those that stand on objects of some kinds only, and may be anything on others.
_MARKS_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "Job": (
        *("batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"),
        *("controller-uid", "job-name"),
    ),
    "Pod": ("controller-revision-hash", "pod-template-hash"),
    "ReplicaSet": ("pod-template-hash",),
}
# What the cluster adds to the volumes of a pod.
_TOKEN_VOLUME = "kube-api-access-"  # noqa: S105 - the beginning of a volume's name


def export_object(body: Document) -> Document:
    """The manifest, with nothing in it that a plan would change."""
    kind, api_version, metadata = body["kind"], body["apiVersion"], body["metadata"]
    tree = _set_by_people(body)
    writer = _Writer(kind, is_builtin(api_version))
    kept = {key: metadata[key] for key in ("name", "namespace") if metadata.get(key)}
    of_metadata = None if tree is None else below_field(tree, "metadata") or {".": {}}
    for key in ("labels", "annotations"):
        marks = {key: metadata[key]} if metadata.get(key) else {}
        named = writer.write_map(("metadata",), marks, of_metadata).get(key)
        if named:
            kept[key] = named
    rest = {key: value for key, value in body.items() if key not in _NOT_WRITTEN}
    return {"apiVersion": api_version, "kind": kind, "metadata": kept, **writer.write_map((), rest, tree)}


def _set_by_people(body: Document) -> Tree | None:
    """The fields that somebody but the cluster set; None where the object does not tell who set what."""
    trees = [
        tree
        for manager, subresource, tree in entry_trees(body)
        # A person may use `kubectl scale`; what an autoscaler chose is not for Git to say.
        if manager not in CONTROLLERS and subresource in ("", "scale")
    ]
    return merge(trees) if trees else None


@dataclass(frozen=True)
class _Writer:
    """Writes the parts of one object. `tree` is that of the place; None: it is not known who set what."""

    kind: str
    is_builtin: bool

    def write_map(self, path: Path, value: Mapping[str, Value], tree: Tree | None) -> dict[str, Any]:
        """The fields that somebody set, without defaults and foreign marks."""
        kept: dict[str, Any] = {}
        defaults: Mapping[str, Value] = {}
        left_out: tuple[str, ...] = ()
        if self.is_builtin:
            defaults = defaults_at(self.kind, path, value)
            left_out = (*generated_at(self.kind, path, value),)
        is_marks = path[-2:] in (("metadata", "labels"), ("metadata", "annotations"))
        for key, item in value.items():
            below = None if tree is None else below_field(tree, key)
            if item is None or key in left_out or (tree is not None and below is None):
                continue
            if (key in defaults and is_equal(item, defaults[key])) or (is_marks and self._is_foreign(key)):
                continue
            kept[key] = self._write((*path, key), item, below)
        return kept

    def _write(self, path: Path, value: Value, tree: Tree | None) -> Value:
        if tree is not None and is_leaf(tree):
            return _whole(value)
        if isinstance(value, Mapping):
            return self.write_map(path, value, tree)
        if isinstance(value, list):
            return self._write_list(path, value, tree)
        return value

    def _write_list(self, path: Path, value: list[Value], tree: Tree | None) -> list[Value]:
        kept: list[Value] = []
        for item in value:
            if not isinstance(item, Mapping):
                kept.append(item)
                continue
            if self.kind == "Pod" and str(item.get("name", "")).startswith(_TOKEN_VOLUME):
                continue
            below = None if tree is None else below_item(tree, item)
            if tree is not None and below is None:
                continue
            written = self._write(path, item, below)
            identity = {key: item[key] for key in keys_of(tree) if key in item and key != "protocol"}
            # In the item's own order.
            kept.append({key: written.get(key, item[key]) for key in item if key in {*written, *identity}})
        return kept

    def _is_foreign(self, name: str) -> bool:
        marks = (*_FOREIGN_MARKS, *_MARKS_OF_KIND.get(self.kind, ()))
        return any(name.startswith(mark) if mark.endswith("/") else name == mark for mark in marks)


def _whole(value: Value) -> Value:
    """A value that is only set as a whole; null says nothing to the server."""
    if isinstance(value, Mapping):
        return {key: _whole(item) for key, item in value.items() if item is not None}
    return [_whole(item) for item in value] if isinstance(value, list) else value
