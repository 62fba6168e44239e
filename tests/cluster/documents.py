"""Manifests of the tests in this folder as nodes, and the cluster looked at as a plan would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from trueup.sdk import Change, Document, Lifecycle, Node
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.rig import Rig

FOLDER = Path(__file__).parent / "manifests"


def load_documents(name: str, **words: str) -> list[Document]:
    """The documents of a file of this folder, with the words that stand for something replaced."""
    text = (FOLDER / name).read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    return [document for document in yaml.safe_load_all(text) if document]


def case_of(document: Document) -> Case:
    """The document as an example of its kind."""
    metadata = dict(document["metadata"])
    body = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "metadata")}
    name, namespace = metadata.pop("name"), metadata.pop("namespace", "")
    return Case(document["apiVersion"], document["kind"], name, body, namespace=namespace, metadata=metadata)


def node_of(rig: Rig, document: Document, **lifecycle: Any) -> Node:
    """The document as a node of the rig's target."""
    return replace(rig.node(case_of(document)), lifecycle=Lifecycle(**lifecycle))


def config_map(name: str, data: Mapping[str, str] | None = None, **metadata: Any) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": data or {},
    }


def paths(change: Change) -> list[str]:
    return [field.path for field in change.fields]
