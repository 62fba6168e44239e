"""Promises of failure: what cannot be read is never absent, errors are ours, and secrets stay secret.

Part of `contract.ProviderContract`.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from dataclasses import replace

import pytest

from trueup.model.values import to_record
from trueup.sdk import (
    Change,
    Denied,
    Failed,
    Observation,
    Observed,
    Pending,
    Provider,
    ProviderError,
    Target,
    Transient,
)
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.hooks import ContractHooks
from trueup.sdk.testing.promises_pure import expect_no_canary
from trueup.sdk.testing.rig import Rig, copy_operation, describe, expect, fail

# A call ends in bounded time; a provider's own deadlines are well below this.
CALL_DEADLINE = 120.0


class FailurePromises(ContractHooks):
    """Promises 1, 4, 5 and 6 of a kind where the system does not cooperate."""

    # -- sessions

    def test_the_fingerprint_is_the_same_for_each_connection(
        self, provider: Provider, target: Target
    ) -> None:
        """`Session.fingerprint` tells this place from every other, and is known once `connect` returns."""
        fingerprints = []
        for _ in range(2):
            session = provider.connect(target, "contract-suite/contract")
            fingerprints.append(session.fingerprint)
            session.close()
        expect(bool(fingerprints[0]), "the fingerprint is empty")
        expect(fingerprints[0] == fingerprints[1], "two connections to one place have two fingerprints")

    def test_a_session_can_be_closed_twice(self, provider: Provider, target: Target) -> None:
        """`Session.close` may be called twice; it never raises."""
        session = provider.connect(target, "contract-suite/contract")
        session.close()
        session.close()

    # -- what cannot be read

    def test_an_unreachable_system_is_transient_and_never_absent(
        self, provider: Provider, unreachable_target: Target | None, bare: Case
    ) -> None:
        """A place that does not answer: Transient by `connect` or Failed by `observe`, in bounded time."""
        if unreachable_target is None:
            pytest.skip("the provider's tests have no unreachable target")
        started = time.monotonic()
        error = failure_of(provider, unreachable_target, bare)
        expect(isinstance(error, Transient), f"an unreachable system is {type(error).__name__}: {error}")
        expect(time.monotonic() - started < CALL_DEADLINE, "an unreachable system took unbounded time")

    def test_a_refusal_is_denied_and_never_absent(
        self, provider: Provider, denied_target: Target | None, bare: Case
    ) -> None:
        """Credentials that do not do: Denied from `connect`, or Failed with it from `observe`."""
        if denied_target is None:
            pytest.skip("the provider's tests have no target that denies")
        error = failure_of(provider, denied_target, bare)
        expect(isinstance(error, Denied), f"a refusal is {type(error).__name__}: {error}")

    # -- secrets

    def test_secrets_show_in_no_observation_diff_record_or_operation(
        self, rig: Rig, secretive: Case, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Sensitive values appear in no log, diff, plan or record, from create to delete (promise 5)."""
        shown: list[tuple[str, str]] = []
        with caplog.at_level(logging.INFO):
            node = rig.node(secretive)
            answer = rig.kind(node).create(rig.session(node), node, rig.intent(node))
            shown.append(("the answer of create", repr(answer)))
            if isinstance(answer, Pending):
                shown.append(("the pending operation", json.dumps(copy_operation(answer))))
            rig.finish(node, answer)
            seen = rig.expect_true(node)
            shown += shown_by_observation(seen)
            shown += shown_by_change(rig.diff(node, seen, to_record(node.body)))
            shown += shown_by_change(rig.diff(node, seen, None))
            if secretive.changed is not None:
                changed = rig.node(secretive, secretive.changed)
                change = rig.diff(changed, rig.observed(changed), to_record(node.body))
                shown += shown_by_change(change)
                shown.append(("the answer of update", repr(rig.update(changed, change))))
                shown += shown_by_observation(rig.expect_true(changed))
            for owned in rig.owned(node):
                shown.append(
                    ("what find_owned gives", json.dumps(to_record(rig.kind(node).seal(owned.body))))
                )
            shown.append(("the answer of delete", repr(rig.delete(rig.recorded(node, seen.external_id)))))
        shown.append(("the log", "\n".join(record.getMessage() for record in caplog.records)))
        for what, text in shown:
            expect_no_canary(secretive, what, text)

    def test_secrets_show_in_no_error(self, rig: Rig, secretive: Case) -> None:
        """Sensitive values appear in no error, its causes included (promises 5 and 6)."""
        if not secretive.is_markable:
            pytest.skip("objects of this kind carry no marker")
        node = rig.node(secretive)
        node = replace(node, external_id=self.plant(rig, node, secretive))
        errors = []
        if rig.is_named(node) and not rig.kind(node).traits.shared:
            errors.append(self.expect_conflict("a create over a foreign object", lambda: rig.create(node)))
        recorded = rig.recorded(node, rig.observed(node).external_id)
        errors.append(self.expect_conflict("a delete of a foreign object", lambda: rig.delete(recorded)))
        for error in errors:
            expect_no_canary(secretive, "an error", text_of(error))


def failure_of(provider: Provider, target: Target, case: Case) -> ProviderError:
    """How connecting and observing fails; an AssertionError where it does not."""
    rig = Rig(provider, target)
    try:
        node = rig.node(case)
        try:
            seen: Observation = rig.observe(node)
        except ProviderError as error:
            return error
        if not isinstance(seen, Failed):
            fail(f"a system that cannot be read should give Failed, not {describe(seen)}")
        return seen.error
    finally:
        rig.close()


def shown_by_observation(seen: Observed) -> list[tuple[str, str]]:
    """Every text that logs, the store and the pages may make of a sealed observation."""
    return [
        ("an observation", repr(seen)),
        ("the record of an observation", json.dumps(to_record(seen.body))),
    ]


def shown_by_change(change: Change) -> list[tuple[str, str]]:
    """Every text that a plan may make of a change."""
    fields = [[field.path, str(field.before), str(field.after)] for field in change.fields]
    return [
        ("a change", repr(change)),
        ("a plan", json.dumps(fields)),
        ("a reason", " ".join(change.reasons)),
    ]


def text_of(error: BaseException) -> str:
    """All that an error may show: its text, its hint, and the traceback with its causes."""
    hint = str(getattr(error, "hint", ""))
    return "\n".join([str(error), repr(error), hint, *traceback.format_exception(error)])
