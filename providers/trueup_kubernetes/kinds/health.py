"""Whether an object does its work, from its status. Called by `kinds.resource`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trueup.sdk import READY, Document, Health, degraded, progressing
from trueup_kubernetes.discovery import group_of
from trueup_kubernetes.kinds.catalog import is_builtin


def health_of(body: Document) -> Health:
    """The health of any object: by its kind's rule, else by its conditions, else ready."""
    metadata = body.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        return progressing(describe_deletion(body))
    rule = _RULES.get((group_of(str(body.get("apiVersion", ""))), str(body.get("kind", ""))))
    if rule is not None:
        return rule(body)
    return READY if is_builtin(str(body.get("apiVersion", ""))) else _custom(body)


def describe_deletion(body: Document) -> str:
    """What a deletion waits for, by the names of the finalizers that hold it."""
    finalizers = [*((body.get("metadata") or {}).get("finalizers") or ())]
    conditions = [*((body.get("status") or {}).get("conditions") or ())]
    if body.get("kind") == "Namespace":
        told = [
            str(condition.get("message"))
            for condition in conditions
            if condition.get("status") == "True" and str(condition.get("type", "")).startswith("Namespace")
        ]
        if told:
            return f"it is being deleted: {'; '.join(told)}"
    if finalizers == ["foregroundDeletion"]:
        return "it is being deleted: waits for its dependents"
    if finalizers:
        return f"it is being deleted: waits for finalizer {', '.join(map(str, finalizers))}"
    return "it is being deleted"


def _condition(body: Document, name: str) -> Mapping[str, Any]:
    for condition in (body.get("status") or {}).get("conditions") or ():
        if condition.get("type") == name:
            found: Mapping[str, Any] = condition
            return found
    return {}


def _says(condition: Mapping[str, Any]) -> str:
    return str(condition.get("message") or condition.get("reason") or condition.get("type") or "")


def _is_behind(body: Document) -> bool:
    """Whether the controller has not yet looked at the newest spec."""
    observed = (body.get("status") or {}).get("observedGeneration")
    generation = (body.get("metadata") or {}).get("generation")
    return observed is not None and generation is not None and int(observed) < int(generation)


_UNSEEN = "its controller has not seen the change yet"


def _deployment(body: Document) -> Health:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    if "observedGeneration" not in status or _is_behind(body):
        return progressing(_UNSEEN)
    if spec.get("paused"):
        return progressing("it is paused")
    rollout = _condition(body, "Progressing")
    if rollout.get("reason") == "ProgressDeadlineExceeded":
        return degraded(_says(rollout))
    wanted = spec.get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    if updated < wanted:
        failure = _condition(body, "ReplicaFailure")
        why = f": {_says(failure)}" if failure.get("status") == "True" else ""
        return progressing(f"{updated} of {wanted} replicas updated{why}")
    if total > updated:
        return progressing(f"{total - updated} old replicas still run")
    available = status.get("availableReplicas", 0)
    return READY if available >= wanted else progressing(f"{available} of {wanted} replicas available")


def _stateful_set(body: Document) -> Health:
    spec, status = body.get("spec") or {}, body.get("status") or {}
    if "observedGeneration" not in status or _is_behind(body):
        return progressing(_UNSEEN)
    wanted = spec.get("replicas", 1)
    strategy = spec.get("updateStrategy") or {}
    ready = status.get("readyReplicas", 0)
    if ready < wanted:
        return progressing(f"{ready} of {wanted} replicas ready")
    if strategy.get("type") == "OnDelete":
        return READY
    partition = (strategy.get("rollingUpdate") or {}).get("partition", 0) or 0
    updated = status.get("updatedReplicas", 0)
    if updated < wanted - partition:
        return progressing(f"{updated} of {wanted - partition} replicas updated")
    if not partition and status.get("currentRevision") != status.get("updateRevision"):
        return progressing("its rollout is not finished")
    return READY


def _daemon_set(body: Document) -> Health:
    status = body.get("status") or {}
    if "observedGeneration" not in status or _is_behind(body):
        return progressing(_UNSEEN)
    wanted = status.get("desiredNumberScheduled", 0)
    updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    strategy = ((body.get("spec") or {}).get("updateStrategy") or {}).get("type")
    if strategy != "OnDelete" and updated < wanted:
        return progressing(f"{updated} of {wanted} pods updated")
    return READY if available >= wanted else progressing(f"{available} of {wanted} pods available")


def _replica_set(body: Document) -> Health:
    status, wanted = body.get("status") or {}, (body.get("spec") or {}).get("replicas", 1)
    if _is_behind(body):
        return progressing(_UNSEEN)
    available = status.get("availableReplicas", 0)
    return READY if available >= wanted else progressing(f"{available} of {wanted} replicas available")


def _definition(body: Document) -> Health:
    refused = _condition(body, "NamesAccepted")
    if refused.get("status") == "False":
        return degraded(f"its names are not accepted: {_says(refused)}")
    if _condition(body, "Established").get("status") == "True":
        return READY
    return progressing("it is not established yet")


def _namespace(body: Document) -> Health:
    phase = (body.get("status") or {}).get("phase")
    return READY if phase == "Active" else progressing(f"its phase is {phase or 'not set yet'}")


def _job(body: Document) -> Health:
    failed = _condition(body, "Failed")
    if failed.get("status") == "True":
        return degraded(f"it failed: {_says(failed)}")
    if _condition(body, "Complete").get("status") == "True":
        return READY
    if (body.get("spec") or {}).get("suspend"):
        return READY
    status = body.get("status") or {}
    done, wanted = status.get("succeeded", 0), (body.get("spec") or {}).get("completions", 1)
    return progressing(f"{done} of {wanted} completions")


def _claim(body: Document) -> Health:
    phase = (body.get("status") or {}).get("phase")
    if phase == "Lost":
        return degraded("its volume is lost")
    # Pending is its resting state until a pod uses it, where the storage class waits for the first consumer.
    return READY


def _pod(body: Document) -> Health:
    status = body.get("status") or {}
    phase = status.get("phase")
    if phase == "Succeeded":
        return READY
    if phase == "Failed":
        return degraded(f"it failed: {status.get('message') or status.get('reason') or 'see its containers'}")
    ready = _condition(body, "Ready")
    return (
        READY
        if ready.get("status") == "True"
        else progressing(f"not ready: {_says(ready) or phase or 'pending'}")
    )


def _service(body: Document) -> Health:
    if (body.get("spec") or {}).get("type") != "LoadBalancer":
        return READY
    ingress = ((body.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    return READY if ingress else progressing("its load balancer has no address yet")


def _api_service(body: Document) -> Health:
    available = _condition(body, "Available")
    return READY if available.get("status") == "True" else progressing(f"not available: {_says(available)}")


def _custom(body: Document) -> Health:
    """By the convention of controllers: conditions, and the generation that they speak of."""
    if _is_behind(body):
        return progressing(_UNSEEN)
    stalled = _condition(body, "Stalled")
    if stalled.get("status") == "True":
        return degraded(_says(stalled))
    ready = _condition(body, "Ready")
    generation = (body.get("metadata") or {}).get("generation")
    if ready and ready.get("observedGeneration", generation) != generation:
        return progressing(_UNSEEN)
    return progressing(f"not ready: {_says(ready)}") if ready.get("status") in ("False", "Unknown") else READY


_RULES: Mapping[tuple[str, str], Callable[[Document], Health]] = {
    ("", "Namespace"): _namespace,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "Job"): _job,
}
