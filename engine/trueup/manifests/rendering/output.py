"""What a tool printed to documents, each of which knows the resource and the file that it comes from.

The line of a problem is counted in the document that the tool printed. Called by render.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trueup.errors import Place, Problem
from trueup.manifests.document import Path, SourceDocument, SourceText
from trueup.manifests.encrypted import drop_encrypted
from trueup.manifests.parse import unpack_lists
from trueup.manifests.parse_yaml import parse_yaml
from trueup.manifests.rendering.settings import HOOKS_APPLIED, HOOKS_SKIPPED, HelmJob
from trueup.manifests.resource import MODULE
from trueup.manifests.vocabulary import API_VERSION

# No text inside of a document begins a line so: what is nested is indented. The document may begin behind it.
_SEPARATOR = re.compile(r"^---[ \t]*(?:#.*)?\r?$|^---[ \t]+", re.MULTILINE)
# As for a file, and for all that a tool printed: each value costs a line or a comma, and memory.
MAX_SEPARATORS, MAX_ALL_SEPARATORS = 200_000, 1_000_000
_SOURCE = re.compile(r"\A\s*# Source: (\S+)")
_CRD_FILE = re.compile(r"[^/]+(?:/charts/[^/]+)*/crds/")
_HOOK, _POLICY = "helm.sh/hook", "helm.sh/resource-policy"
_LIFECYCLE = "trueup.dev/lifecycle"
_ORPHAN = "{onDelete: orphan}"
# Hooks that run when the chart is installed or upgraded; those of other moments have none in a plan.
_ACTIVE_HOOKS = frozenset({"pre-install", "post-install", "pre-upgrade", "post-upgrade"})
_PLAIN_HOOKS = frozenset({"crd-install"})

# What belongs to no namespace in every cluster, by group and kind.
_CLUSTER_SCOPED = {
    "": ("ComponentStatus", "Namespace", "Node", "PersistentVolume"),
    "admissionregistration.k8s.io": (
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    ),
    "apiextensions.k8s.io": ("CustomResourceDefinition",),
    "apiregistration.k8s.io": ("APIService",),
    "certificates.k8s.io": ("CertificateSigningRequest", "ClusterTrustBundle"),
    "flowcontrol.apiserver.k8s.io": ("FlowSchema", "PriorityLevelConfiguration"),
    "gateway.networking.k8s.io": ("GatewayClass",),
    "networking.k8s.io": ("IPAddress", "IngressClass", "ServiceCIDR"),
    "node.k8s.io": ("RuntimeClass",),
    "policy": ("PodSecurityPolicy",),
    "rbac.authorization.k8s.io": ("ClusterRole", "ClusterRoleBinding"),
    "resource.k8s.io": ("DeviceClass", "ResourceSlice"),
    "scheduling.k8s.io": ("PriorityClass",),
    "storage.k8s.io": ("CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"),
}


def read_kustomize(
    file: str, text: str, problems: list[Problem], *, is_foreign: bool = False
) -> list[SourceDocument]:
    """The documents that kustomize printed; `file` is the kustomization. Their expressions are evaluated.

    `is_foreign`: some of it may come from the network. Then they are refused: nobody knows whose they are.
    """
    found: list[SourceDocument] = []
    if _is_too_much(text, file, "kustomize", MAX_ALL_SEPARATORS, problems):
        return found
    for chunk in _split(text):
        documents = _parse(file, "kustomize", chunk, problems, is_literal=is_foreign)
        if is_foreign:
            _refuse_expressions(documents, problems)
        found += documents
    return found


def _refuse_expressions(documents: Sequence[SourceDocument], problems: list[Problem]) -> None:
    for document in documents:
        _refuse_own(document, problems)
        for path in _expressions(document.value, ()):
            message = "an expression in what may come from the network"
            hint = "make two renderings, of which only the one without expressions has network: true"
            problems.append(document.problem(message, path, hint))


def _refuse_own(document: SourceDocument, problems: list[Problem]) -> None:
    """What is fetched may fill a cluster. It reaches no host and no account, and calls no module."""
    group = _group_of(document)
    if f".{group}".endswith(".trueup.dev"):
        message = f"a resource of {group} in what may come from the network"
        hint = "objects of Kubernetes alone may: write this one into a file of the stack"
        problems.append(document.problem(message, ("apiVersion",), hint))


def _expressions(value: object, path: Path) -> Iterator[Path]:
    if isinstance(value, str) and "${{" in value:
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _expressions(key, (*path, key))
            yield from _expressions(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _expressions(item, (*path, index))


def read_helm(
    job: HelmJob, file: str, text: str, path_of: Callable[[str], str], problems: list[Problem]
) -> list[SourceDocument]:
    """The documents that helm printed, as far as they are to be applied; `${{` in them is text."""
    found: list[SourceDocument] = []
    if _is_too_much(text, file, "helm", MAX_ALL_SEPARATORS, problems):
        return found
    name = ""
    for chunk in _split(text):
        # helm names the file of each document, but one of `crds/` only before the first in it.
        source = _SOURCE.match(chunk)
        name = source[1] if source else name
        is_crd_file = _CRD_FILE.match(name) is not None
        for document in _parse(path_of(name) if name else file, "helm", chunk, problems, is_literal=True):
            if _is_module(document, problems):
                continue
            if job.network:
                _refuse_own(document, problems)
            if _is_wanted(job, document, problems):
                _keep(document, is_crd_file)
                found.append(document)
    if job.namespace:
        scoped = _cluster_scoped(found)
        for document in found:
            _set_namespace(document, job.namespace, scoped, job.cluster_scoped)
    return found


def _split(text: str) -> Iterator[str]:
    for chunk in _SEPARATOR.split(text):
        # A comment alone is what a template gives that is switched off.
        if any(line.strip() and not line.lstrip().startswith("#") for line in chunk.split("\n")):
            yield chunk.lstrip("\n")


def _parse(
    file: str, tool: str, text: str, problems: list[Problem], *, is_literal: bool
) -> list[SourceDocument]:
    if _is_too_much(text, file, tool, MAX_SEPARATORS, problems):
        return []
    source = SourceText(f"{file} ({tool})", text, is_literal=is_literal)
    documents = parse_yaml(source, problems, as_kubernetes=True)
    for document in documents:
        kind, name = document.value.get("kind"), _metadata(document).get("name")
        if isinstance(kind, str) and isinstance(name, str) and "/" not in kind + name:
            source.file = f"{file} ({tool}: {kind} {name})"
    items = [item for document in documents for item in unpack_lists(document, problems)]
    return drop_encrypted(items, problems)


def _is_too_much(text: str, file: str, tool: str, limit: int, problems: list[Problem]) -> bool:
    """Whether a text would take too much memory to read; that is a problem then."""
    if text.count("\n") + text.count(",") <= limit:
        return False
    what = "one resource" if limit == MAX_SEPARATORS else "this"
    message = f"{tool} made more than {limit} lines and commas of {what}"
    problems.append(Problem(message, Place(file), "render less at once, in several stacks"))
    return True


def _is_module(document: SourceDocument, problems: list[Problem]) -> bool:
    """Whether a chart calls a module, which is refused: the module's expressions would be evaluated."""
    if not _is_call(document):
        return False
    hint = "call the module in a file of the stack: expressions do not count in what a chart gives"
    problems.append(document.problem("a chart cannot call a module", ("kind",), hint))
    return True


def _is_call(document: SourceDocument) -> bool:
    return (document.value.get("apiVersion"), document.value.get("kind")) == (API_VERSION, MODULE)


def _metadata(document: SourceDocument) -> dict[str, Any]:
    metadata = document.value.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _annotations(document: SourceDocument) -> dict[str, Any]:
    annotations = _metadata(document).get("annotations")
    return annotations if isinstance(annotations, dict) else {}


def _is_wanted(job: HelmJob, document: SourceDocument, problems: list[Problem]) -> bool:
    """Whether a document is a resource of the stack: a hook is one when the stack says so."""
    value = _annotations(document).get(_HOOK)
    if not isinstance(value, str):
        return True
    moments = {word.strip() for word in value.split(",") if word.strip()}
    if not moments or moments & _PLAIN_HOOKS:
        return True
    if not moments & _ACTIVE_HOOKS or job.hooks == HOOKS_SKIPPED:
        return False
    if job.hooks == HOOKS_APPLIED:
        return True
    message = f"a hook of helm ({value}): a plan has no such moments"
    hint = (
        "write hooks: apply in spec.render.helm to have it like any resource, or hooks: skip to leave it out"
    )
    problems.append(document.problem(message, ("metadata", "annotations", _HOOK), hint))
    return False


def _keep(document: SourceDocument, is_crd_file: bool) -> None:
    """What helm leaves alone when a chart goes is left alone here as well: CRDs, and `resource-policy: keep`.

    The objects of all users would go with a CRD.
    """
    annotations = _annotations(document)
    policy = annotations.get(_POLICY)
    is_kept = isinstance(policy, str) and policy.strip().lower() == "keep"
    own = document.value.get("lifecycle")
    if not (is_kept or is_crd_file) or (own is not None and not isinstance(own, dict)):
        return
    if isinstance(own, dict):
        own.setdefault("onDelete", "orphan")
        return
    metadata = document.value.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("annotations") or {}, dict):
        given = annotations.get(_LIFECYCLE, "")
        if isinstance(given, str):
            metadata["annotations"] = {**annotations, _LIFECYCLE: _with_orphan(given)}


def _with_orphan(text: str) -> str:
    """A lifecycle block as an annotation holds it, with `onDelete: orphan` where it does not say what."""
    bare = text.strip()
    if "onDelete" in bare:
        return text
    if bare.startswith("{"):
        return f"{{onDelete: orphan, {bare[1:]}"
    return f"{bare}\nonDelete: orphan" if bare else _ORPHAN


def _group_of(document: SourceDocument) -> str:
    api_version = document.value.get("apiVersion")
    text = api_version if isinstance(api_version, str) else ""
    return text.rpartition("/")[0]


def _cluster_scoped(documents: list[SourceDocument]) -> set[tuple[str, str]]:
    """The kinds that the chart's own CRDs say to belong to no namespace, with those of every cluster."""
    found = {(group, kind) for group, kinds in _CLUSTER_SCOPED.items() for kind in kinds}
    for document in documents:
        spec = document.value.get("spec")
        if document.value.get("kind") != "CustomResourceDefinition" or not isinstance(spec, dict):
            continue
        names = spec.get("names")
        if spec.get("scope") == "Cluster" and isinstance(names, dict):
            found.add((str(spec.get("group")), str(names.get("kind"))))
    return found


def _set_namespace(
    document: SourceDocument, namespace: str, scoped: set[tuple[str, str]], cluster_kinds: Sequence[str]
) -> None:
    """Puts an object that names no namespace into the release's, as an installation by helm would."""
    group, kind = _group_of(document), document.value.get("kind")
    metadata = document.value.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("namespace") or group.endswith("trueup.dev"):
        return
    if isinstance(kind, str) and (group, kind) not in scoped and kind not in cluster_kinds:
        metadata["namespace"] = namespace


def empty_output(file: str, tool: str) -> Problem:
    """The problem of a rendering that gave nothing."""
    hint = "nothing is deleted for that; if it is meant, say so in the stack file: spec: {allowEmpty: true}"
    return Problem(f"{tool} rendered no resource", Place(file), hint)
