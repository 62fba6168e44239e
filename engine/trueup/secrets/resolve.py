"""Reads the secrets of a stack, in bulk and before its run. Called by app, once per run.

One secret that cannot be read fails the stack: what would be applied without it is not what Git says.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from trueup.errors import ManifestError, Problem, ProviderError, Transient, TrueupError
from trueup.model.resource import Target
from trueup.model.values import Sensitive, Value, leaves, reveal
from trueup.redaction import hide
from trueup.sdk.contracts import Session
from trueup.sdk.secrets import SecretAnswer, SecretContext, SecretSource
from trueup.secrets.check import CheckedSecret, CheckedSecrets, broken_source, problem_of

DEADLINE = 120.0
_ATTEMPTS = 2
_PAUSE = 0.3
_CALLS_AT_ONCE = 8


@dataclass(frozen=True)
class Access:
    """How secrets are reached. `connect` opens the session of a target; the caller closes it.

    `settle` gives a target with the secrets of its own config in place. Both raise TrueupErrors.
    """

    connect: Callable[[Target], Session]
    settle: Callable[[Target, Mapping[str, Sensitive]], Target]
    settings: Mapping[str, Value] = field(default_factory=dict)


def resolve_secrets(checked: CheckedSecrets, access: Access) -> Mapping[str, Sensitive]:
    """The value of each secret by the text of its `secret()`.

    Raises ManifestError with all that cannot be read, each in the place of its expression.
    """
    answers: dict[str, SecretAnswer] = {}
    # Those without a target first: a target's own config may need them.
    for has_target in (False, True):
        wave = [secret for secret in checked.secrets if (secret.target is not None) is has_target]
        known = {text: answer for text, answer in answers.items() if isinstance(answer, Sensitive)}
        answers.update(_read_all(wave, checked.files, access, known))
        hide(checked.stack, _texts_of(answers.values()))
    problems: list[Problem] = []
    for secret in checked.secrets:
        answer = answers[secret.reference.text]
        if isinstance(answer, ProviderError):
            problems.append(problem_of(secret.reference, answer))
    if problems:
        raise ManifestError(problems)
    return {text: answer for text, answer in answers.items() if isinstance(answer, Sensitive)}


def _texts_of(answers: Iterable[SecretAnswer]) -> Iterator[str]:
    """Every text and number in the secrets, also in those that are JSON documents."""
    for answer in answers:
        if isinstance(answer, Sensitive):
            for text in _scalars(reveal(answer)):
                yield text
                yield from _scalars_in(text)


def _scalars(value: Value) -> Iterator[str]:
    found = (leaf for _, leaf in leaves(value) if isinstance(leaf, str | int | float))
    return (str(leaf) for leaf in found if not isinstance(leaf, bool))


def _scalars_in(text: str) -> list[str]:
    """What is in a secret that is a JSON document, such as the key of a service account."""
    if text.lstrip()[:1] not in ("{", "["):
        return []
    try:
        return list(_scalars(json.loads(text)))
    except (ValueError, RecursionError):
        return []


def _read_all(
    secrets: Sequence[CheckedSecret],
    files: Mapping[str, bytes],
    access: Access,
    known: Mapping[str, Sensitive],
) -> dict[str, SecretAnswer]:
    """An answer for each secret: one call for each source and target, all at once."""
    groups: dict[tuple[str, str], list[CheckedSecret]] = {}
    for secret in secrets:
        groups.setdefault((secret.source.name, secret.target.name if secret.target else ""), []).append(
            secret
        )
    calls: dict[Future[dict[str, SecretAnswer]], list[CheckedSecret]] = {
        Future(): group for group in groups.values()
    }
    left = iter(list(calls.items()))

    def work() -> None:
        # Each thread takes the next call; an iterator over a list may be shared.
        for call, group in left:
            try:
                call.set_result(_read_group(group, files, access, known))
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                call.set_exception(error)

    for number in range(min(len(calls), _CALLS_AT_ONCE)):
        # No pool: the end of the process would wait for a source that never answers.
        threading.Thread(target=work, name=f"secrets-{number}", daemon=True).start()
    done, late = wait(calls, timeout=DEADLINE)
    for _ in left:
        pass  # what was not begun until now is not begun any more
    answers: dict[str, SecretAnswer] = {}
    for call in done:
        answers.update(call.result())
    for call in late:
        silence = Transient(f"no answer within {DEADLINE:.0f} s")
        answers.update((secret.reference.text, silence) for secret in calls[call])
    return answers


def _read_group(
    group: Sequence[CheckedSecret],
    files: Mapping[str, bytes],
    access: Access,
    known: Mapping[str, Sensitive],
) -> dict[str, SecretAnswer]:
    source, target = group[0].source, group[0].target
    session = None
    if target is not None:
        try:
            target = access.settle(target, known)
            session = access.connect(target)
        except TrueupError as error:
            failed = ProviderError(f"target {target.name}: {error.message}", hint=error.hint)
            return {secret.reference.text: failed for secret in group}
    context = SecretContext(files, target, session, access.settings)
    # One key has several texts where the target is named in some places and left out in others.
    keys = list(dict.fromkeys(secret.reference.key for secret in group))
    answers = _read_patiently(source, keys, context)
    return {secret.reference.text: answers[secret.reference.key] for secret in group}


def _read_patiently(
    source: SecretSource, keys: Sequence[str], context: SecretContext
) -> dict[str, SecretAnswer]:
    """An answer for each key; what may work when it is tried again is tried again."""
    answers: dict[str, SecretAnswer] = {}
    left = list(keys)
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE)
        answers.update(_read_once(source, left, context))
        left = [key for key in left if isinstance(answers[key], Transient)]
        if not left:
            break
    return answers


def _read_once(source: SecretSource, keys: Sequence[str], context: SecretContext) -> dict[str, SecretAnswer]:
    answers: Mapping[str, SecretAnswer] = {}
    failure: ProviderError | None = None
    try:
        answers = dict(source.read(keys, context))
    except ProviderError as error:
        failure = error
    except ImportError as error:
        failure = ProviderError(
            f"source {source.name} needs the library {(error.name or str(error)).partition('.')[0]!r},"
            " which is not installed",
            hint=f"pip install '{source.requirement}'"
            if source.requirement
            else "install it where trueup runs",
        )
    except Exception as error:  # noqa: BLE001 - its text may hold a secret
        failure = broken_source(source, "read", error)
    missing = failure or ProviderError(f"source {source.name} gave no answer for it")
    found = {key: answers.get(key) for key in keys}
    return {
        key: answer if isinstance(answer, Sensitive | ProviderError) else missing
        for key, answer in found.items()
    }
