"""Where a stack is read from, and plans that were saved with that. Used by app, which hands both on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from trueup.errors import UsageError
from trueup.model.plan import Plan
from trueup.model.resource import Grants, TargetGrant
from trueup.reconcile.report import Selection

SAVED_PLAN_FORMAT = "trueup-plan/1"
# It holds where the plan comes from, not what it changes.
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class SourceSpec:
    """Where a stack is read from: a directory or a Git URL, with a ref (branch, tag, commit) and a path.

    `is_offline_allowed`: where the repository cannot be reached, the last commit that was fetched will do.
    `values` are values files of the same content, named relative to the stack's directory, later over
    earlier; over them `sets`, each the text of a `--set` such as `replicas=3`. `secrets` are patterns of the
    secrets that the stack may read, `targets` those that it may use; None for no limit of its own. `commit`
    is read instead of what `ref` stands for. `is_ref_meant`: somebody named the ref, so a pin of the stack
    does not replace it.
    """

    location: str
    ref: str = ""
    path: str = ""
    is_offline_allowed: bool = False
    values: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    secrets: tuple[str, ...] | None = None
    targets: Grants | None = None
    commit: str = ""
    is_ref_meant: bool = False


@dataclass(frozen=True)
class SavedPlan:
    """What `save_plan` wrote: where the plan comes from, exactly, and its digest."""

    source: SourceSpec
    commit: str
    selection: Selection
    digest: str


def read_saved_plan(file: str) -> SavedPlan:
    """The plan that `save_plan` wrote. Raises UsageError for anything else."""
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(
                f"{file}: this is not a saved plan: it is larger than {MAX_BYTES // 1024**2} MiB"
            )
        document = json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file}: this is not a saved plan: {error}") from error
    if not isinstance(document, dict) or document.get("format") != SAVED_PLAN_FORMAT:
        raise UsageError(f"{file}: this is not a saved plan of a format that this version reads")
    try:
        place, selected = document["source"], document["selection"]
        texts = [place["location"], document["ref"], place["path"], place["commit"], document["digest"]]
        selection = Selection(tuple(map(str, selected["targets"])), tuple(map(str, selected["only"])))
        values = document.get("values", {"files": [], "sets": []})
        files, sets = (tuple(map(str, values[key])) for key in ("files", "sets"))
        secrets = document.get("secrets")
        granted = None if secrets is None else tuple(map(str, secrets))
        targets = document.get("targets")
        usable = None if targets is None else tuple(TargetGrant(**each) for each in targets)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{file}: the saved plan is not complete", hint="make a new plan") from error
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{file}: the saved plan is not complete", hint="make a new plan")
    location, ref, path, commit, digest = texts
    source = SourceSpec(location, ref, path, values=files, sets=sets, secrets=granted, targets=usable)
    return SavedPlan(source, commit, selection, digest)


def write_saved_plan(plan: Plan, source: SourceSpec, selection: Selection, file: str) -> None:
    """Writes the commit, the digest, and what `source` says; of what the plan changes, nothing."""
    location = source.location
    if Path(location).exists():
        location = str(Path(location).resolve())
    document = {
        "format": SAVED_PLAN_FORMAT,
        "stack": plan.stack,
        "source": {"location": location, "path": source.path, "commit": plan.revision.commit},
        "ref": source.ref,
        "values": {"files": list(source.values), "sets": list(source.sets)},
        "secrets": None if source.secrets is None else list(source.secrets),
        "targets": None if source.targets is None else [asdict(each) for each in source.targets],
        "selection": {"targets": list(selection.targets), "only": list(selection.only)},
        "digest": plan.digest,
    }
    Path(file).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
