"""Asks the targets what lives there, whoever made it. Called by import_objects. Never modifies."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import stamina

from trueup.errors import PluginError, ProviderError, Throttled, Transient, UsageError
from trueup.model.observation import Discovered, Missing
from trueup.model.resource import Target
from trueup.reconcile.boundary import broken_plugin
from trueup.reconcile.imports import Fate, ImportOutcome, Wanted
from trueup.reconcile.observe import Connections
from trueup.sdk.contracts import Catalog, Kind, Provider, Session


@dataclass(frozen=True)
class Found:
    """One object, with its kind and where it lives."""

    target: Target
    kind: Kind
    object: Discovered


@dataclass(frozen=True)
class Survey:
    """Everything that was found, and what could not be read."""

    found: Sequence[Found]
    unread: Sequence[ImportOutcome]


def discover_objects(
    wanted: Wanted, targets: Sequence[Target], connections: Connections, catalog: Catalog, pool: Executor
) -> Survey:
    """What lives on the targets, of one kind or of all, target by target.

    One kind that cannot be listed does not hide the others. Raises UsageError for a kind that there is not,
    ProviderError where the only target that is asked for does not answer, PluginError.
    """
    found: list[Found] = []
    unread: list[ImportOutcome] = []
    for target, session in zip(
        targets, pool.map(lambda each: _open(each, connections), targets), strict=True
    ):
        if isinstance(session, ProviderError):
            if len(targets) == 1:
                raise session
            unread.append(
                ImportOutcome(target.name, "", "", Fate.FAILED, why=session.message, hint=session.hint)
            )
            continue
        kinds = _find_kinds(wanted.kind, target, session, catalog)
        answers = pool.map(partial(_list, session, wanted.ids, target), kinds)
        for kind, answer in zip(kinds, answers, strict=True):
            for each in answer:
                if isinstance(each, Discovered):
                    found.append(Found(target, kind, each))
                else:
                    error = each.error
                    unread.append(
                        ImportOutcome(
                            target.name, kind.name, each.id, Fate.FAILED, why=error.message, hint=error.hint
                        )
                    )
    return Survey(found, unread)


def _open(target: Target, connections: Connections) -> Session | ProviderError:
    try:
        return connections.session(target)
    except ProviderError as error:
        return error


def _list(session: Session, ids: Sequence[str], target: Target, kind: Kind) -> Iterable[Discovered | Missing]:
    """The kind's answer; as a whole Missing where it fails."""
    try:
        for attempt in stamina.retry_context(on=_is_worth_retrying, attempts=2, wait_initial=0.2):
            with attempt:
                return _checked(kind.discover(session, ids))
    except ProviderError as error:
        return [Missing("", error)]
    except Exception as error:  # noqa: BLE001 - a hostile plugin must not take the others down
        return [Missing("", broken_plugin(target.provider, "discover", error))]
    raise AssertionError("unreachable: the retry either returns or raises")


def _checked(answers: Iterable[Discovered | Missing]) -> Sequence[Discovered | Missing]:
    """Each object once, though several ids may name it."""
    once: dict[tuple[type, str, str], Discovered | Missing] = {}
    for answer in answers:
        if not isinstance(answer, Discovered | Missing):
            raise TypeError("an answer that is neither an object nor its absence")
        key = answer.external_id if isinstance(answer, Discovered) else ""
        once.setdefault((type(answer), key or answer.id, key), answer)
    return list(once.values())


def _find_kinds(word: str, target: Target, session: Session, catalog: Catalog) -> Sequence[Kind]:
    """The kinds that a word names on a target; all that can be listed where there is none."""
    provider = catalog.provider(target.provider)
    listed = _list_kinds(provider, session)
    if not word:
        if not listed:
            raise PluginError(f"provider {target.provider} does not support import")
        return listed
    kinds = {(kind.api_version, kind.name): kind for kind in (*listed, *provider.kinds())}
    for names in (_exact_names, _loose_names):
        found = [kind for kind in kinds.values() if word in names(kind) or word.lower() in names(kind)]
        preferred = [kind for kind in found if kind in listed] or found
        groups = {kind.api_version.rpartition("/")[0]: kind for kind in reversed(preferred)}
        if len(groups) > 1:
            choices = ", ".join(sorted(f"{kind.api_version}/{kind.name}" for kind in groups.values()))
            raise UsageError(f"the kind {word!r} could be several", hint=f"write one of: {choices}")
        if groups:
            return list(groups.values())
    near = difflib.get_close_matches(word, [kind.name for kind in kinds.values()], 3, 0.5)
    hint = (
        f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "`trueup import --help` has examples"
    )
    raise UsageError(f"target {target.name!r} has no kind {word!r}", hint=hint)


def _list_kinds(provider: Provider, session: Session) -> Sequence[Kind]:
    try:
        return list(provider.discoverable(session))
    except ProviderError:
        raise
    except Exception as error:
        raise broken_plugin(provider.name, "discoverable", error) from error


def _exact_names(kind: Kind) -> set[str]:
    return {kind.name, f"{kind.api_version}/{kind.name}"}


def _loose_names(kind: Kind) -> set[str]:
    """What people type for short: `queue` for `AWS::SQS::Queue`, `deployments` for `Deployment`."""
    short = kind.name.rpartition("::")[2].lower()
    return {kind.name.lower(), short, f"{short}s"}


def _is_worth_retrying(error: Exception) -> bool:
    return isinstance(error, Transient) and not isinstance(error, Throttled)
