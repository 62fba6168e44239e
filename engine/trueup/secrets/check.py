"""Whether a stack may and can ask for its secrets: everything that is known without reading any.

Called by app when a stack is loaded, also without credentials and offline.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trueup.errors import Denied, Invalid, ManifestError, Problem, ProviderError, TrueupError
from trueup.model.resource import SecretReference, Stack, Target
from trueup.model.values import Value
from trueup.sdk.secrets import SecretSource, SecretSources


@dataclass(frozen=True)
class CheckedSecret:
    """One secret to read. `target` is the one to read it through, None where it needs none."""

    reference: SecretReference
    source: SecretSource
    target: Target | None = None


@dataclass(frozen=True)
class CheckedSecrets:
    """All secrets of a stack, and the files of its source that they are read from."""

    stack: str = ""
    secrets: tuple[CheckedSecret, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


NO_SECRETS = CheckedSecrets()


def check_secrets(
    references: Iterable[SecretReference],
    stack: Stack,
    sources: SecretSources,
    settings: Mapping[str, Value],
    grants: Sequence[Sequence[str]],
    read_file: Callable[[str], bytes],
) -> CheckedSecrets:
    """The secrets with their sources and files. Raises ManifestError with all problems, each in its place.

    `grants` are lists of patterns: the text of each `secret()` has to fit one of each list. `read_file` reads
    a file of the stack's source, relative to the stack's directory; what it raises is a TrueupError.
    """
    problems: list[Problem] = []
    found: list[CheckedSecret] = []
    files: dict[str, bytes] = {}
    for reference in dict.fromkeys(references):
        try:
            secret = _check(reference, stack, sources, settings, grants)
            for path in _files_of(secret.source, reference.key):
                if path not in files:
                    files[path] = read_file(path)
            found.append(secret)
        except TrueupError as error:
            problems.append(problem_of(reference, error))
    if problems:
        raise ManifestError(problems)
    return CheckedSecrets(stack.name, tuple(found), files)


def problem_of(reference: SecretReference, error: TrueupError) -> Problem:
    """Why a secret cannot be had, at the place of its expression."""
    return Problem(f'secret("{reference.text}"): {error.message}', reference.place, error.hint)


def broken_source(source: SecretSource, call: str, error: Exception) -> ProviderError:
    """What a bug of a source becomes. The exception's text is not repeated: it may hold a secret."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return ProviderError(
        f"a bug in secret source {source.name!r}: {call} raised {type(error).__name__}{where}",
        hint="please report it to its authors",
    )


def _files_of(source: SecretSource, key: str) -> Sequence[str]:
    try:
        return list(source.files(key))
    except TrueupError:
        raise
    except Exception as error:
        raise broken_source(source, "files", error) from error


def _check(
    reference: SecretReference,
    stack: Stack,
    sources: SecretSources,
    settings: Mapping[str, Value],
    grants: Sequence[Sequence[str]],
) -> CheckedSecret:
    name = reference.source
    if not name or not reference.key:
        raise Invalid("it names no source or no key", hint='write secret("source:key")')
    if name not in sources.names():
        near = difflib.get_close_matches(name, sources.names(), 1)
        hint = f'did you mean "{near[0]}"?' if near else f"installed: {', '.join(sources.names())}"
        raise Invalid(f'there is no secret source "{name}"', hint=hint)
    for patterns in grants:
        if not any(fnmatch.fnmatchcase(reference.text, pattern) for pattern in patterns):
            raise Denied(
                "this stack may not read this secret",
                hint="trueup.toml lists those that it may: `allow` of [secrets] and `secrets` of [[stacks]]",
            )
    source = sources.source(name)
    target = _find_target(reference, source, stack)
    try:
        source.check(reference.key, settings)
    except TrueupError:
        raise
    except Exception as error:
        raise broken_source(source, "check", error) from error
    return CheckedSecret(reference, source, target)


def _find_target(reference: SecretReference, source: SecretSource, stack: Stack) -> Target | None:
    provider = source.provider
    if "@" in reference.text.partition(":")[0] and not provider:
        hint = f'write secret("{source.name}:{reference.key}")'
        raise Invalid(f"source {source.name} is read through no target", hint=hint)
    fitting = {target.name: target for target in stack.targets if target.provider == provider and provider}
    choice = " or ".join(f'secret("{source.name}@{name}:...")' for name in fitting)
    choice = choice or f"the stack has no target of provider {provider}"
    if reference.target:
        if reference.target not in fitting:
            raise Invalid(f'there is no target "{reference.target}" of provider {provider}', hint=choice)
        return fitting[reference.target]
    if len(fitting) > 1:
        raise Invalid(f"the stack has several targets of provider {provider}", hint=choice)
    if not fitting and source.needs_target:
        raise Invalid(f"source {source.name} is read through a target of provider {provider}", hint=choice)
    return next(iter(fitting.values()), None)
