"""The shape of a resource document, and trueup's own keys in it. Called by `expand`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueup.errors import Problem
from trueup.manifests.document import Path, SourceDocument, SourceText, kind_of_value
from trueup.manifests.fields import Fields, name_fault
from trueup.manifests.parse_yaml import parse_yaml
from trueup.manifests.suggestions import suggest
from trueup.manifests.templates import Template
from trueup.manifests.vocabulary import API_VERSION
from trueup.model.resource import DEFAULT_LIFECYCLE, Drift, Lifecycle, OnDelete, Replace, Rollout
from trueup.model.values import UNKNOWN, Value

KUBERNETES = "kubernetes"
MODULE = "Module"
OWN_KEYS = ("targets", "dependsOn", "forEach", "when", "lifecycle", "rollout")
_ANNOTATION = "trueup.dev/"
_DATA_HINT = "name data, such as other values files, in spec.exclude of the stack: exclude: [envs/**]"
_COUNT = re.compile(r"([1-9]\d{0,8})(%?)", re.ASCII)
_PROVIDER = re.compile(r"([a-z0-9-]+)\.trueup\.dev/v\d+[a-z0-9]*")


@dataclass(frozen=True)
class Own:
    """One of trueup's own keys: its template, and the value and path it was read from."""

    template: Template
    value: Value
    path: Path


@dataclass(frozen=True)
class Declaration:
    """A resource document taken apart. `body` is what the provider gets, still with its expressions.

    The call of a module is one as well, with no provider: its body is for `modules`.
    """

    document: SourceDocument
    provider: str
    api_version: str
    kind: str
    name: str
    body: Template
    own: Mapping[str, Own]

    @property
    def is_kubernetes(self) -> bool:
        return self.provider == KUBERNETES

    @property
    def is_module(self) -> bool:
        """Whether it is the call of a module."""
        return not self.provider


def read_declaration(
    document: SourceDocument, providers: Sequence[str], problems: list[Problem]
) -> Declaration | None:
    """The document as a declaration, None where it is too broken to go on with."""
    value = document.value
    if "apiVersion" not in value and "kind" not in value:
        problems.append(document.problem("not a resource: apiVersion and kind are missing", (), _DATA_HINT))
        return None
    api_version = _read_type(document, "apiVersion", "apps/v1 or ssh.trueup.dev/v1", problems)
    kind = _read_type(document, "kind", "Deployment or File", problems)
    if api_version is None or kind is None:
        return None
    if (api_version, kind) == (API_VERSION, MODULE):
        return _read_call(document, problems)
    if api_version.split("/")[0] == API_VERSION.split("/")[0]:
        problems.append(_trueup_kind(document, api_version, kind))
        return None
    match = _PROVIDER.fullmatch(api_version)
    provider = match[1] if match else KUBERNETES
    if provider not in providers:
        message = f'there is no provider "{provider}" for {api_version}'
        if not match:
            message = f"{api_version} {kind} needs the provider kubernetes, which is not installed"
        hint = suggest(provider, providers, "installed providers")
        problems.append(document.problem(message, ("apiVersion",), hint))
        return None
    name = _read_name(document, problems)
    if name is None:
        return None
    return _take_apart(document, provider, api_version, kind, name, problems)


def _take_apart(
    document: SourceDocument, provider: str, api_version: str, kind: str, name: str, problems: list[Problem]
) -> Declaration:
    value = document.value
    own_values, annotations = _take_annotations(document, problems)
    for key in OWN_KEYS:
        if key in value:
            own_values[key] = (value[key], (key,))
    body = {key: item for key, item in value.items() if key not in OWN_KEYS}
    if annotations is not None:
        body["metadata"] = {**body["metadata"], "annotations": annotations}
        if not annotations:
            del body["metadata"]["annotations"]
    own = {
        key: Own(Template(document, item, path, problems), item, path)
        for key, (item, path) in own_values.items()
    }
    template = Template(document, body, (), problems)
    return Declaration(document, provider, api_version, kind, name, template, own)


def _read_call(document: SourceDocument, problems: list[Problem]) -> Declaration | None:
    """The call of a module: a document whose `spec` says where the module is and what goes into it."""
    before = len(problems)
    name = _read_name(document, problems)
    known = ("apiVersion", "kind", "metadata", "spec", *OWN_KEYS)
    Fields(document, document.value, (), problems, known=known, where="the call of a module")
    metadata = document.value.get("metadata")
    if isinstance(metadata, dict):
        Fields(document, metadata, ("metadata",), problems, known=_CALL_METADATA, where="metadata")
    spec = Fields(
        document,
        document.value.get("spec"),
        ("spec",),
        problems,
        known=("source", "inputs"),
        where="spec",
        example=_CALL_EXAMPLE,
    )
    if "source" not in spec.values and len(problems) == before:
        message = "spec.source is missing: it says where the module is"
        spec.note(message, hint=_CALL_EXAMPLE)
    if name is None or len(problems) > before:
        return None
    call = _take_apart(document, "", API_VERSION, MODULE, name, problems)
    foreign: list[tuple[str, Path]] = []
    lifecycle = call.own.get("lifecycle")
    if lifecycle is not None and isinstance(lifecycle.value, dict):
        foreign += [
            (f"lifecycle.{key}", (*lifecycle.path, key)) for key in lifecycle.value if key != "movedFrom"
        ]
    if "rollout" in call.own:
        foreign.append(("rollout", call.own["rollout"].path))
    for what, path in foreign:
        message = f"{what} has no meaning for the call of a module"
        hint = "write it to the resources of the module, with inputs where it differs"
        problems.append(document.problem(message, path, hint, at_key=True))
    return None if foreign else call


_CALL_METADATA = ("name", "labels", "annotations")
_CALL_EXAMPLE = "spec: {source: ../modules/site, inputs: {...}}"


def _read_type(document: SourceDocument, key: str, example: str, problems: list[Problem]) -> str | None:
    value = document.value.get(key)
    hint = f"such as {example}"
    if key not in document.value:
        near = [name for name in document.value if name.lower().replace("_", "") == key.lower()]
        hint = f'did you mean "{key}" instead of "{near[0]}"?' if near else f"{key}: {example}"
        problems.append(document.problem(f"not a resource: {key} is missing", (), hint))
        return None
    if not isinstance(value, str) or not value:
        what = "is empty" if value == "" else f"must be a string, not {kind_of_value(value)}"
        problems.append(document.problem(f"{key} {what}", (key,), hint))
        return None
    if "${{" in value:
        problems.append(document.problem(f"{key} cannot hold an expression", (key,), "write it out"))
        return None
    if key == "kind" and (fault := name_fault(value)):
        problems.append(document.problem(f'the kind {fault}: "{value[:80]}"', (key,), hint))
        return None
    return value


def _trueup_kind(document: SourceDocument, api_version: str, kind: str) -> Problem:
    if kind == "Stack":
        hint = "a stack is declared in stack.yaml, stack.toml or stack.json of its directory"
        return document.problem("a Stack in a resource file", ("kind",), hint)
    hint = "resources have the apiVersion of their provider, such as ssh.trueup.dev/v1"
    return document.problem(f'there is no kind "{kind}" in {api_version}', ("kind",), hint)


def _read_name(document: SourceDocument, problems: list[Problem]) -> str | None:
    """The name as it is written; None where the metadata is too broken to go on with."""
    metadata = document.value.get("metadata")
    if not isinstance(metadata, dict):
        what = "is missing" if metadata is None else f"must be a map, not {kind_of_value(metadata)}"
        problems.append(document.problem(f"metadata {what}", ("metadata",), "metadata: {name: ...}"))
        return None
    name = metadata.get("name")
    if not isinstance(name, str):
        what = "is missing" if name is None else f"must be a string, not {kind_of_value(name)}"
        hint = "metadata: {name: ...}" if name is None else f'quote it: "{name}"'
        if "generateName" in metadata:
            hint = "a declared resource needs a name of its own instead of generateName"
        problems.append(document.problem(f"metadata.name {what}", ("metadata", "name"), hint))
        return None
    if "${{" not in name:
        problems.extend(check_name(document, name, "name"))
    for key in ("labels", "annotations"):
        fields = metadata.get(key)
        if fields is not None and not isinstance(fields, dict):
            message = f"metadata.{key} must be a map, not {kind_of_value(fields)}"
            problems.append(document.problem(message, ("metadata", key), "key: value"))
            return None
    return name


def check_name(document: SourceDocument, name: str, key: str) -> list[Problem]:
    """What is wrong with a name or a namespace, as it is written or as an expression gave it."""
    fault = name_fault(name)
    if not fault:
        return []
    hint = 'names hold no "/", "@" or white space, and at most 253 characters'
    return [document.problem(f'metadata.{key} {fault}: "{name[:80]}"', ("metadata", key), hint)]


def _take_annotations(
    document: SourceDocument, problems: list[Problem]
) -> tuple[dict[str, tuple[Value, Path]], dict[str, Any] | None]:
    """trueup's own keys that stand as annotations, and the rest of these (None: nothing to take)."""
    metadata = document.value.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(annotations, dict) or not any(key.startswith(_ANNOTATION) for key in annotations):
        return {}, None
    taken: dict[str, tuple[Value, Path]] = {}
    for name, value in annotations.items():
        if not name.startswith(_ANNOTATION):
            continue
        path: Path = ("metadata", "annotations", name)
        key = name.removeprefix(_ANNOTATION)
        if key not in OWN_KEYS:
            hint = suggest(key, OWN_KEYS, "trueup.dev/ is reserved for")
            problems.append(document.problem(f'unknown annotation "{name}"', path, hint, at_key=True))
        elif key in document.value:
            message = f"{key} stands in the document and as an annotation"
            problems.append(document.problem(message, path, "keep one of the two", at_key=True))
        elif not isinstance(value, str):
            message = f"the annotation {name} must be a string, not {kind_of_value(value)}"
            problems.append(document.problem(message, path, "put it into quotes"))
        else:
            taken[key] = (_read_annotation(document, value, path, problems), path)
    return taken, {key: value for key, value in annotations.items() if not key.startswith(_ANNOTATION)}


def _read_annotation(document: SourceDocument, text: str, path: Path, problems: list[Problem]) -> Value:
    """The value of an annotation, which is YAML inside a string."""
    if text.lstrip().startswith("${{"):
        return text.strip()
    wrong: list[Problem] = []
    lines = text.replace("\n", "\n  ")
    documents = parse_yaml(SourceText(document.source.file, f"value:\n  {lines}"), wrong)
    if wrong or len(documents) != 1:
        reason = wrong[0].message if wrong else "more than one document"
        message = f"the annotation {path[-1]} is not YAML: {reason.removeprefix('not YAML: ')}"
        problems.append(document.problem(message, path, 'such as "true" or "{names: [prod]}"'))
        return UNKNOWN
    return documents[0].value["value"]


@dataclass(frozen=True)
class LifecycleBlock:
    """A `lifecycle` block as it is written: what `triggers` mean, only the whole stack tells."""

    lifecycle: Lifecycle = DEFAULT_LIFECYCLE
    triggers: tuple[tuple[str, Path], ...] = ()


NO_LIFECYCLE = LifecycleBlock()


def read_lifecycle(
    document: SourceDocument, value: Value, path: Path, problems: list[Problem]
) -> LifecycleBlock:
    """A lifecycle block whose expressions are filled."""
    if value is UNKNOWN:
        return NO_LIFECYCLE
    known = (
        "protect", "ignore", "onDelete", "replace", "adopt", "drift", "timeout", "movedFrom", "triggers",
    )  # fmt: skip
    fields = Fields(document, value, path, problems, known=known, where="lifecycle")
    ignore = fields.strings("ignore", "list JSON pointers: ignore: [/spec/replicas]")
    for index, pointer in enumerate(ignore):
        if not pointer.startswith("/") or re.search(r"~(?![01])", pointer):
            message = f'lifecycle.ignore: "{pointer}" is not a JSON pointer'
            fields.note(message, "ignore", index, hint="write it from the root: /spec/replicas")
        elif pointer.split("/")[1] in ("apiVersion", "kind") or pointer == "/metadata/name":
            fields.note(f'lifecycle.ignore: "{pointer}" identifies the resource', "ignore", index)
    drift = fields.choice("drift", [word.value for word in Drift])
    kind = document.value.get("kind")
    lifecycle = Lifecycle(
        protect=fields.boolean("protect", False),
        ignore=ignore,
        on_delete=OnDelete(fields.choice("onDelete", [word.value for word in OnDelete]) or OnDelete.DELETE),
        replace=Replace(fields.choice("replace", [word.value for word in Replace]) or Replace.ALLOW),
        adopt=fields.boolean("adopt", False),
        drift=Drift(drift) if drift else None,
        timeout=fields.duration("timeout"),
        moved_from=_read_moves(fields, kind if isinstance(kind, str) else ""),
    )
    triggers = fields.strings("triggers", "list resources: triggers: [File/site]")
    places = ((text, (*path, "triggers", index)) for index, text in enumerate(triggers))
    return LifecycleBlock(lifecycle, tuple(places))


def _read_moves(fields: Fields, kind: str) -> tuple[str, ...]:
    """`lifecycle.movedFrom`: addresses of the same kind, each of this stack or with another stack's name."""
    form = f"write {kind}/old-name, or stack/{kind}/old-name for one of another stack"
    texts = fields.strings("movedFrom", form)
    is_sound = True
    for index, text in enumerate(texts):
        path, at, target = text.partition("@")
        parts = path.split("/")
        is_address = len(parts) > 1 and (not at or (target and "@" not in target))
        wrong = ""
        if not is_address or any(name_fault(part) for part in (*parts, *([target] if at else []))):
            wrong = "is not an address"
        elif parts[0] != kind and (len(parts) < 3 or parts[1] != kind):
            wrong = f"is no {kind}, and a move cannot change the kind"
        if wrong:
            is_sound = False
            fields.note(f'lifecycle.movedFrom: "{text}" {wrong}', "movedFrom", index, hint=form)
    return texts if is_sound else ()


def read_rollout(
    document: SourceDocument, value: Value, path: Path, problems: list[Problem]
) -> Rollout | None:
    """A rollout block whose expressions are filled; None where it is wrong."""
    if value is UNKNOWN:
        return None
    example = "rollout: {batch: 25%, maxFailures: 0}"
    known = ("batch", "maxFailures")
    fields = Fields(document, value, path, problems, known=known, where="rollout", example=example)
    if not isinstance(value, dict):
        if value is None:
            fields.note("rollout is empty", hint=example)
        return None
    batch = fields.values.get("batch")
    if "batch" not in fields.values:
        fields.note("rollout.batch is missing", hint=example)
        return None
    text = str(batch) if isinstance(batch, int | str) and not isinstance(batch, bool) else ""
    match = _COUNT.fullmatch(text)
    if batch is not UNKNOWN and (match is None or (match[2] and int(match[1]) > 100)):
        hint = "write a count such as 2, or a share such as 25%"
        fields.note("rollout.batch is neither a count nor a share", "batch", hint=hint)
    return Rollout(text, fields.count("maxFailures"))
