"""What every state store keeps, for SQLite and for a real PostgreSQL."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from trueup.errors import LeaseLost, StoreError
from trueup.model.address import Address
from trueup.model.outcome import Result, RunStatus
from trueup.model.values import UNKNOWN, Sensitive
from trueup.state import decisions, journal, retention
from trueup.state.open import open_store
from trueup.state.process import Clock
from trueup.state.store import (
    KEPT_RUNS,
    Correction,
    Event,
    Lease,
    OpenIntent,
    PinKind,
    Quarantine,
    Record,
    Step,
    Store,
    Verdict,
)

WEB = Address("shop", "File", "web", "host-1")
BUCKET = Address("shop", "AWS::S3::Bucket", "logs", "account", namespace="team")
OTHER = Address("blog", "File", "web", "host-1")

# Takes the lease, says so, and writes until it is killed: a line for each intent and each outcome.
WRITER = """
import sys
from trueup.model.address import Address
from trueup.model.outcome import Result
from trueup.state.open import open_store
from trueup.state.store import Record, Step

store = open_store(sys.argv[1])
lease = store.acquire_lease("shop", "writer", float(sys.argv[2]))
run = store.begin_run(lease, url="u", commit="c", digest="d")
print("lease", lease.epoch, run, flush=True)
for number in range(int(sys.argv[3])):
    address = Address("shop", "File", f"f{number}", "host-1")
    token = store.write_intent(lease, run, address, "create", fingerprint="fp")
    print("intent", address, token, flush=True)
    record = Record(address, "v1", {"name": "host-1"}, "fp", str(number), {"n": number})
    store.record_outcome(lease, run, Step(address, Result.CREATED), token=token, record=record)
    print("done", address, token, flush=True)
sys.stdin.readline()
try:
    store.write_intent(lease, run, address, "update", fingerprint="fp")
except Exception as error:
    print("error", type(error).__name__, flush=True)
"""


def record_of(address: Address, **changes: object) -> Record:
    record = Record(
        address=address,
        api_version="ssh.trueup.dev/v1",
        target={"name": address.target, "provider": "ssh", "labels": {"zone": "ü"}, "config": {"port": 22}},
        fingerprint="sha256:target",
        external_id="/etc/motd",
        body={"spec": {"content": "hello \u2028 \x00", "items": [1, 2.5, None, True, {"a": []}]}},
        created=False,
        protect=True,
        on_delete="orphan",
        depends_on=(BUCKET, WEB),
        commit="c0ffee",
        applied_at=1700000000.25,
        triggers={"shop/File/site@host-1": "sha256:body", "shop/File/ü@host-1": ""},
        replacing={"external_id": "/etc/issue", "api_version": "v1", "body": {"spec": {"n": 1}}},
        place="sites/ü.yaml:12:3",
        run=7,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


class StoreContract:
    """The promises of `state.store.Store`. A subclass gives the URL of a new store."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def open_again(self, url: str) -> Iterator[Callable[..., Store]]:
        stores: list[Store] = []

        def open_it(clock: Clock | None = None, keep_runs: int = KEPT_RUNS) -> Store:
            stores.append(open_store(url, clock, keep_runs))
            return stores[-1]

        yield open_it
        for store in stores:
            store.close()

    @pytest.fixture
    def store(self, open_again: Callable[..., Store]) -> Store:
        return open_again()

    @pytest.fixture
    def lease(self, store: Store) -> Lease:
        lease = store.acquire_lease("shop", "me", 60)
        assert lease is not None
        return lease

    @pytest.fixture
    def run(self, store: Store, lease: Lease) -> int:
        return store.begin_run(lease, url="https://host/x", commit="c0ffee", digest="sha256:d")

    @pytest.fixture
    def start_writer(self, url: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
        started: list[subprocess.Popen[str]] = []

        def start(ttl: float, count: int) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", WRITER, url, str(ttl), str(count)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            started.append(process)
            assert process.stdout is not None
            assert process.stdout.readline().startswith("lease ")
            return process

        yield start
        for process in started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    # The installation

    def test_the_key_for_digests_is_made_once(self, store: Store, open_again: Callable[..., Store]) -> None:
        assert len(store.digest_key) >= 32
        assert open_again().digest_key == store.digest_key

    def test_the_installation_is_made_once_and_is_different_for_each_store(
        self, store: Store, open_again: Callable[..., Store], tmp_path: Path
    ):
        other = open_store(str(tmp_path / "other.db"))
        other.close()
        assert len(store.installation) == 12
        assert open_again().installation == store.installation != other.installation

    def test_many_processes_may_open_a_new_store_at_once(self, url: str):
        script = "import sys, trueup.state.open as o; print(o.open_store(sys.argv[1]).installation)"
        command = [sys.executable, "-c", script, url]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        outputs = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * 4
        assert len(set(outputs)) == 1

    def test_closing_twice_is_no_error(self, store: Store):
        store.close()
        store.close()

    # The inventory

    def test_a_record_comes_back_as_it_was(self, store: Store, lease: Lease, run: int):
        records = [record_of(WEB), record_of(BUCKET, depends_on=(), created=True, protect=False)]
        store.record_steps(
            lease, run, [Step(record.address, Result.UNCHANGED) for record in records], records
        )
        assert store.inventory("shop") == {record.address: record for record in records}
        assert store.inventory("blog") == {}
        assert store.addresses("shop") == sorted(record.address.text for record in records)
        assert store.addresses("blog") == []

    def test_a_record_replaces_the_one_before(self, store: Store, lease: Lease, run: int):
        for external_id in ("a", "b"):
            record = record_of(WEB, external_id=external_id)
            store.record_outcome(lease, run, Step(WEB, Result.UPDATED), record=record)
        assert store.inventory("shop") == {WEB: record}

    @pytest.mark.parametrize("result", [Result.DELETED, Result.FORGOTTEN])
    def test_a_row_is_removed_when_the_node_is_deleted_or_forgotten(
        self, store: Store, lease: Lease, run: int, result: Result
    ):
        store.record_steps(lease, run, [], [record_of(WEB), record_of(BUCKET)])
        store.record_outcome(lease, run, Step(WEB, result))
        assert set(store.inventory("shop")) == {BUCKET}
        store.record_steps(lease, run, [Step(BUCKET, result)], [])
        assert store.inventory("shop") == {}

    @pytest.mark.parametrize("result", [r for r in Result if r not in (Result.DELETED, Result.FORGOTTEN)])
    def test_no_other_result_removes_a_row(self, store: Store, lease: Lease, run: int, result: Result):
        store.record_steps(lease, run, [], [record_of(WEB)])
        store.record_outcome(lease, run, Step(WEB, result))
        store.record_steps(lease, run, [Step(WEB, result)], [])
        assert set(store.inventory("shop")) == {WEB}

    def test_rows_of_another_stack_are_untouched(self, store: Store, lease: Lease, run: int):
        blog = store.acquire_lease("blog", "me", 60)
        assert blog is not None
        store.record_steps(
            blog, store.begin_run(blog, url="u", commit="c", digest="d"), [], [record_of(OTHER)]
        )
        store.record_steps(lease, run, [Step(WEB, Result.DELETED)], [record_of(BUCKET)])
        assert set(store.inventory("blog")) == {OTHER}
        assert list(store.stacks()) == ["blog", "shop"]

    def test_a_sensitive_value_is_stored_as_its_hash_alone(
        self, store: Store, lease: Lease, run: int, url: str
    ):
        record = record_of(WEB, body={"spec": {"password": Sensitive("canary"), "later": UNKNOWN}})
        store.record_outcome(lease, run, Step(WEB, Result.CREATED), record=record)
        spec = store.inventory("shop")[WEB].body["spec"]
        assert set(spec["password"]) == {"$sensitive"}
        assert spec["later"] == {"$unknown": True}
        if "://" not in url:
            folder = Path(url).parent
            assert not any(b"canary" in file.read_bytes() for file in folder.iterdir())

    def test_ten_thousand_rows_are_written_and_read_fast(self, store: Store, lease: Lease, run: int):
        addresses = [Address("shop", "File", f"f{number}", "host-1") for number in range(10_000)]
        records = [record_of(address, body={"n": index}) for index, address in enumerate(addresses)]
        steps = [Step(address, Result.UNCHANGED) for address in addresses]
        before = time.process_time()
        store.record_steps(lease, run, steps, records)
        inventory = store.inventory("shop")
        taken = time.process_time() - before
        assert inventory == {record.address: record for record in records}
        assert taken < 4

    # Outputs

    def test_the_outputs_of_a_stack_are_those_that_were_written_last(
        self, store: Store, lease: Lease, open_again: Callable[..., Store]
    ):
        assert store.outputs("shop") is None
        store.write_outputs(lease, {"old": 1, "gone": True}, "c0ffee")
        values = {"url": "https://ü/\x00", "ports": [80, 2.5], "none": None, "map": {"a": {"b": []}}}
        store.write_outputs(lease, values, "c0ffee")
        assert store.outputs("shop") == open_again().outputs("shop") == values
        assert store.outputs("blog") is None

    def test_a_stack_without_outputs_is_another_thing_than_one_that_never_ran(
        self, store: Store, lease: Lease
    ):
        store.write_outputs(lease, {}, "c0ffee")
        assert store.outputs("shop") == {}

    def test_a_sensitive_output_is_stored_as_its_hash_alone(self, store: Store, lease: Lease):
        store.write_outputs(lease, {"password": Sensitive("canary"), "later": [UNKNOWN]}, "c0ffee")
        values = store.outputs("shop")
        assert values is not None
        assert set(values["password"]) == {"$sensitive"}
        assert values["later"] == [{"$unknown": True}]

    # Intents

    def test_an_intent_is_open_until_its_outcome_is_recorded(
        self, store: Store, lease: Lease, run: int, open_again: Callable[..., Store]
    ):
        token = store.write_intent(lease, run, WEB, "create", fingerprint="fp", external_id="id")
        expected = OpenIntent(token, WEB, "create", "fp", run, "id")
        assert list(store.open_intents("shop")) == list(open_again().open_intents("shop")) == [expected]
        assert list(store.open_intents("blog")) == []
        store.record_outcome(lease, run, Step(WEB, Result.CREATED), token=token, record=record_of(WEB))
        assert list(store.open_intents("shop")) == []

    def test_an_open_intent_is_taken_up_again(self, store: Store, lease: Lease, run: int):
        token = store.write_intent(lease, run, WEB, "create", fingerprint="fp", external_id="id")
        later = store.begin_run(lease, url="u", commit="c", digest="d")
        assert store.write_intent(lease, later, WEB, "create", fingerprint="fp") == token
        assert list(store.open_intents("shop")) == [OpenIntent(token, WEB, "create", "fp", later, "id")]
        others = {
            store.write_intent(lease, run, WEB, "update", fingerprint="fp"),
            store.write_intent(lease, run, BUCKET, "create", fingerprint="fp"),
            store.write_intent(lease, run, WEB, "create", fingerprint="another target"),
        }
        assert len(others | {token}) == 4

    def test_a_failed_step_leaves_its_intent_open(self, store: Store, lease: Lease, run: int):
        token = store.write_intent(lease, run, WEB, "create", fingerprint="fp")
        store.record_outcome(lease, run, Step(WEB, Result.FAILED, "timeout"), token=token)
        assert [intent.token for intent in store.open_intents("shop")] == [token]
        store.close_intent(lease, token)
        assert list(store.open_intents("shop")) == []
        assert store.write_intent(lease, run, WEB, "create", fingerprint="fp") != token

    # Runs

    def test_a_run_is_kept_with_its_steps_in_order(self, store: Store, lease: Lease):
        before = time.time()
        run = store.begin_run(lease, url="https://host/x", commit="c0ffee", digest="sha256:d")
        (begun,) = store.runs("shop")
        assert (begun.status, begun.finished_at, begun.counts) == (None, 0.0, {})
        field = {"path": "/spec/mode", "before": "0600", "after": "0644"}
        steps = [
            Step(BUCKET, Result.FAILED, "denied \ud800 \x00", 1.5, [field]),
            Step(WEB, Result.BLOCKED, f"by {BUCKET}"),
        ]
        store.record_outcome(lease, run, steps[0])
        store.record_steps(lease, run, steps[1:], [])
        store.finish_run(lease, run, RunStatus.FAILED, {"failed": 1, "blocked": 1})
        (ended,) = store.runs("shop")
        assert (ended.id, ended.stack, ended.url) == (run, "shop", "https://host/x")
        assert (ended.commit, ended.digest, ended.status) == ("c0ffee", "sha256:d", RunStatus.FAILED)
        assert ended.counts == {"failed": 1, "blocked": 1}
        assert before - 5 < ended.started_at <= ended.finished_at < time.time() + 5
        first, second = store.steps(run)
        assert (first.address, first.result, first.seconds, list(first.fields)) == (
            BUCKET,
            Result.FAILED,
            1.5,
            [field],
        )
        assert first.message == "denied \\ud800 \\0"
        assert second == replace(steps[1], fields=())

    def test_the_latest_runs_come_first_and_are_limited(self, store: Store, lease: Lease):
        runs = [store.begin_run(lease, url="u", commit=str(n), digest="d") for n in range(5)]
        assert [run.id for run in store.runs("shop", 3)] == runs[:1:-1]
        assert runs == sorted(set(runs))

    def test_old_runs_are_pruned_with_their_steps_and_ids_are_never_given_again(
        self, open_again: Callable[..., Store], lease: Lease, monkeypatch: pytest.MonkeyPatch
    ):
        store = open_again(keep_runs=3)
        monkeypatch.setattr(retention, "RUNS_WITH_UNCHANGED", 2)
        blog = store.acquire_lease("blog", "me", 60)
        assert blog is not None
        other = store.begin_run(blog, url="u", commit="c", digest="d")
        runs = []
        for _ in range(5):
            runs.append(store.begin_run(lease, url="u", commit="c", digest="d"))
            store.record_steps(
                lease, runs[-1], [Step(WEB, Result.UNCHANGED), Step(BUCKET, Result.UPDATED)], []
            )
        assert [run.id for run in store.runs("shop", 100)] == runs[:1:-1]
        assert [len(store.steps(run)) for run in runs] == [0, 0, 1, 2, 2]
        assert [run.id for run in store.runs("blog")] == [other]
        assert [store.run(run) is None for run in runs] == [True, True, False, False, False]
        latest = [past.run.id for past in store.past_steps(BUCKET, [Result.UPDATED])]
        assert latest == runs[:1:-1]

    def test_runs_of_one_commit_that_found_nothing_to_do_keep_the_first_and_the_last(
        self, store: Store, lease: Lease
    ):
        def end(commit: str, status: RunStatus = RunStatus.CONVERGED, *, done: int = 0, **origin: str) -> int:
            run = store.begin_run(lease, url="u", commit=commit, digest="d", **origin)
            store.record_steps(lease, run, [Step(WEB, Result.UNCHANGED)], [])
            counts = {Result.UNCHANGED.value: 4, **({Result.UPDATED.value: done} if done else {})}
            store.finish_run(lease, run, status, counts)
            return run

        kept = [end("a", done=1), end("a", trigger="interval")]
        middle = [end("a", trigger="interval") for _ in range(3)]
        kept += [end("a", trigger="interval"), end("a", done=1), end("a"), end("b"), end("b")]
        kept += [end("b", RunStatus.INTERRUPTED), end("b"), end("b", approved_by="eve"), end("b")]
        kept += [end("b", trigger="rollback"), end("b")]
        assert [run.id for run in store.runs("shop", 100)] == kept[::-1]
        assert [store.run(run) for run in middle] == [None] * 3
        assert [len(store.steps(run)) for run in middle] == [0] * 3

    def test_the_last_converged_runs_of_older_commits_outlive_the_others(
        self, open_again: Callable[..., Store], lease: Lease, monkeypatch: pytest.MonkeyPatch
    ):
        store = open_again(keep_runs=2)
        monkeypatch.setattr(retention, "KEPT_COMMITS", 2)

        def end(commit: str, status: RunStatus = RunStatus.CONVERGED, trigger: str = "once") -> int:
            run = store.begin_run(lease, url="u", commit=commit, digest="d", trigger=trigger)
            store.finish_run(lease, run, status, {Result.UPDATED.value: 1})
            return run

        end("a")
        end("b")
        b = end("b")
        end("b", RunStatus.FAILED)
        c = end("c")
        end("d", RunStatus.FAILED)
        end("e", trigger="destroy")
        latest = [end("f", RunStatus.FAILED) for _ in range(3)]
        assert [run.id for run in store.runs("shop", 100)] == [latest[2], latest[1], c, b]

    def test_a_run_says_who_made_it_and_why(self, store: Store, lease: Lease):
        plan = '{"changes":[{"to":"\u2028 \\u0000"}]}'
        run = store.begin_run(
            lease,
            url="u",
            commit="c",
            digest="d",
            author="Änne <a@example.org>\0",
            trigger="commit",
            approved_by="bo@host",
            plan=plan,
        )
        found = store.run(run)
        assert found is not None
        assert (found.author, found.trigger, found.approved_by) == (
            "Änne <a@example.org>\\0",
            "commit",
            "bo@host",
        )
        assert list(store.runs("shop")) == [found]
        assert store.plan_of(run) == plan
        plain = store.begin_run(lease, url="u", commit="c", digest="d")
        later = store.runs("shop")[0]
        assert (later.author, later.trigger, later.approved_by, store.plan_of(plain)) == ("", "", "", "")
        assert (store.run(999_999), store.plan_of(999_999)) == (None, "")

    def test_the_steps_of_a_node_are_found_by_their_results(self, store: Store, lease: Lease):
        runs = []
        results = [Result.CREATED, Result.FAILED, Result.UNCHANGED, Result.UPDATED]
        for result in results:
            runs.append(store.begin_run(lease, url="u", commit=result.value, digest="d"))
            store.record_steps(
                lease, runs[-1], [Step(WEB, result, result.value), Step(BUCKET, Result.FAILED)], []
            )
        found = store.past_steps(WEB, [Result.CREATED, Result.UPDATED])
        assert [(each.run.id, each.run.commit, each.step.message) for each in found] == [
            (runs[3], "updated", "updated"),
            (runs[0], "created", "created"),
        ]
        assert [each.step.result for each in store.past_steps(WEB, results, 1)] == [Result.UPDATED]
        assert list(store.past_steps(WEB, [])) == list(store.past_steps(OTHER, results)) == []

    # Decisions

    def test_the_last_verdict_on_a_plan_counts(self, store: Store, open_again: Callable[..., Store]):
        now = time.time()
        assert store.decision("shop", "sha256:d") is None
        store.decide("shop", "sha256:d", Verdict.REJECTED, "bo@host", "not on a Friday \0")
        decision = open_again().decision("shop", "sha256:d")
        assert decision is not None
        assert (decision.digest, decision.verdict, decision.who, decision.note) == (
            "sha256:d",
            Verdict.REJECTED,
            "bo@host",
            "not on a Friday \\0",
        )
        assert now - 5 < decision.at < time.time() + 5
        again = store.decide("shop", "sha256:d", Verdict.APPROVED, "al@host")
        assert store.decision("shop", "sha256:d") == again
        assert (again.verdict, again.who, again.note) == (Verdict.APPROVED, "al@host", "")
        assert store.decision("shop", "sha256:e") is None
        assert store.decision("blog", "sha256:d") is None

    def test_the_latest_verdict_is_known_and_a_spent_one_is_gone(self, store: Store, lease: Lease):
        assert store.latest_decision("shop") is None
        store.decide("shop", "sha256:d", Verdict.APPROVED, "bo@host")
        later = store.decide("shop", "sha256:a", Verdict.REJECTED, "bo@host")
        store.decide("blog", "sha256:b", Verdict.APPROVED, "bo@host")
        assert store.latest_decision("shop") == later
        store.spend_decision(lease, "sha256:a")
        store.spend_decision(lease, "sha256:never")
        assert store.decision("shop", "sha256:a") is None
        assert store.latest_decision("shop") == store.decision("shop", "sha256:d")
        store.release_lease(lease)
        assert store.acquire_lease("shop", "another", 60) is not None
        with pytest.raises(LeaseLost):
            store.spend_decision(lease, "sha256:d")
        assert store.decision("shop", "sha256:d") is not None

    def test_the_latest_verdicts_of_each_stack_are_kept(self, store: Store, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(decisions, "KEPT_DECISIONS", 3)
        store.decide("blog", "sha256:other", Verdict.REJECTED, "bo@host")
        for number in range(5):
            store.decide("shop", f"sha256:{number}", Verdict.REJECTED, "bo@host")
        kept = [number for number in range(5) if store.decision("shop", f"sha256:{number}")]
        assert kept == [2, 3, 4]
        assert store.decision("blog", "sha256:other") is not None

    def test_a_decision_and_a_pin_need_no_lease(self, store: Store, lease: Lease):
        store.decide("shop", "sha256:d", Verdict.APPROVED, "bo@host")
        store.pin("shop", PinKind.SUSPENDED, "bo@host")
        store.add_events("shop", [Event("held", "m")])
        assert store.lease("shop") == lease
        assert store.renew_lease(lease, 60).epoch == lease.epoch

    def test_a_stack_has_one_pin_until_it_is_taken_off(self, store: Store, open_again: Callable[..., Store]):
        assert (store.pin_of("shop"), store.unpin("shop")) == (None, None)
        first = store.pin("shop", PinKind.SUSPENDED, "bo@host", reason="the move \0 of ü")
        assert (first.kind, first.commit, first.who, first.reason) == (
            PinKind.SUSPENDED,
            "",
            "bo@host",
            "the move \\0 of ü",
        )
        assert store.pin_of("shop") == first
        second = store.pin("shop", PinKind.PINNED, "al@host", commit="c0ffee")
        assert open_again().pin_of("shop") == second
        assert (second.kind, second.commit, second.reason) == (PinKind.PINNED, "c0ffee", "")
        assert store.pin_of("blog") is None
        assert store.pins() == {"shop": second}
        assert store.unpin("shop") == second
        assert store.pin_of("shop") is None

    # Events, quarantines, corrections

    def test_events_come_back_newest_first_by_stack_and_by_node(self, store: Store):
        store.add_events("shop", [])
        store.add_events("shop", [Event("held", "first"), Event("retry", "\ud800 \0", WEB, run=3, at=12.5)])
        store.add_events("blog", [Event("held", "other", OTHER)])
        latest, first = store.events("shop")
        assert (latest.kind, latest.message, latest.address, latest.run, latest.at) == (
            "retry",
            "\\ud800 \\0",
            WEB,
            3,
            12.5,
        )
        assert (first.message, first.address, first.run) == ("first", None, 0)
        assert abs(first.at - time.time()) < 60
        assert latest.id > first.id > 0
        assert list(store.events("shop", WEB)) == list(store.events("shop", limit=1)) == [latest]
        with pytest.raises(ValueError, match="not of the stack"):
            store.add_events("shop", [Event("retry", "m", OTHER)])

    def test_only_the_latest_events_of_a_stack_are_kept(self, store: Store, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(journal, "KEPT_EVENTS", 3)
        store.add_events("blog", [Event("held", "other")])
        for number in range(5):
            store.add_events("shop", [Event("held", f"{number}a"), Event("held", f"{number}b")])
        assert [event.message for event in store.events("shop")] == ["4b", "4a", "3b"]
        assert [event.message for event in store.events("blog")] == ["other"]

    def test_a_quarantine_stays_until_it_is_cleared(
        self, store: Store, lease: Lease, open_again: Callable[..., Store]
    ):
        assert store.quarantines("shop") == {}
        first = Quarantine(WEB, ("/spec/mode", "/spec/ü~1"), "hpa at 12:00", 1, 1000.0, 1600.0)
        store.write_quarantine(lease, first)
        second = replace(first, strikes=2, until=2200.0)
        store.write_quarantine(lease, second)
        other = replace(first, address=BUCKET)
        store.write_quarantine(lease, other)
        assert open_again().quarantines("shop") == {WEB: second, BUCKET: other}
        assert store.quarantines("blog") == {}
        assert store.clear_quarantine(WEB)
        assert not store.clear_quarantine(WEB)
        assert store.quarantines("shop") == {BUCKET: other}
        with pytest.raises(ValueError, match="not of the leased stack"):
            store.write_quarantine(lease, replace(first, address=OTHER))

    def test_the_quarantine_of_an_object_that_is_gone_ends_with_the_next_run(
        self, store: Store, lease: Lease
    ):
        run = store.begin_run(lease, url="u", commit="c", digest="d")
        store.record_steps(lease, run, (), [record_of(WEB)])
        for address in (WEB, BUCKET):
            store.write_quarantine(lease, Quarantine(address, ("/spec",), "", 1, 0, 1))
        store.begin_run(lease, url="u", commit="c", digest="d")
        assert list(store.quarantines("shop")) == [WEB]

    def test_corrections_are_kept_for_an_hour_or_until_the_quarantine_is_cleared(
        self, open_again: Callable[..., Store]
    ):
        now = [10_000.0]
        store = open_again(Clock(now=lambda: now[0], steady=lambda: now[0]))
        lease = store.acquire_lease("shop", "me", 100_000)
        assert lease is not None
        store.note_corrections(lease, [])
        store.note_corrections(lease, [Correction(WEB, "/a", "kubectl"), Correction(BUCKET, "/b")])
        now[0] += 600
        store.note_corrections(lease, [Correction(WEB, "/a", at=10_500.0)])
        web = [Correction(WEB, "/a", "kubectl", 10_000.0), Correction(WEB, "/a", "", 10_500.0)]
        bucket = Correction(BUCKET, "/b", "", 10_000.0)
        assert list(store.corrections("shop", 0)) == [web[0], bucket, web[1]]
        assert list(store.corrections("shop", 10_500.0)) == [web[1]]
        now[0] += 3001
        last = Correction(BUCKET, "/c", "", now[0])
        store.note_corrections(lease, [Correction(BUCKET, "/c")])
        assert list(store.corrections("shop", 0)) == [web[1], last]
        store.clear_quarantine(WEB)
        assert list(store.corrections("shop", 0)) == [last]
        assert list(store.corrections("blog", 0)) == []
        with pytest.raises(ValueError, match="not of the leased stack"):
            store.note_corrections(lease, [Correction(OTHER, "/a")])

    # Leases and fencing

    def test_a_held_lease_is_given_to_nobody_else(self, store: Store, lease: Lease):
        assert store.acquire_lease("shop", "you", 60) is None
        assert store.lease("shop") == lease
        assert store.lease("blog") is None
        assert store.acquire_lease("blog", "you", 60) is not None

    def test_the_same_holder_renews_its_lease(self, store: Store, lease: Lease):
        again = store.acquire_lease("shop", "me", 600)
        assert again is not None
        assert again.epoch == lease.epoch
        assert again.expires_at > lease.expires_at
        renewed = store.renew_lease(lease, 6000)
        assert (renewed.epoch, store.lease("shop")) == (lease.epoch, renewed)
        assert renewed.expires_at > again.expires_at

    def test_a_released_lease_is_free_and_its_epoch_grows(self, store: Store, lease: Lease):
        store.release_lease(lease)
        store.release_lease(lease)
        assert store.lease("shop") is None
        yours = store.acquire_lease("shop", "you", 60)
        assert yours is not None
        assert yours.epoch > lease.epoch
        store.release_lease(lease)
        assert store.lease("shop") == yours

    def test_an_expired_lease_is_taken_over_and_fences_its_holder_off(self, open_again: Callable[..., Store]):
        now = [1000.0]
        store = open_again(Clock(now=lambda: now[0], steady=lambda: now[0]))
        mine = store.acquire_lease("shop", "me", 60)
        assert mine is not None
        run = store.begin_run(mine, url="u", commit="c", digest="d")
        token = store.write_intent(mine, run, WEB, "create", fingerprint="fp")
        store.record_steps(mine, run, [], [record_of(WEB)])
        now[0] += 59
        assert store.acquire_lease("shop", "you", 60) is None
        now[0] += 2
        store.close_intent(mine, "unknown: an expired lease that nobody wants is still good")
        yours = store.acquire_lease("shop", "you", 60)
        assert yours is not None
        assert yours.epoch == mine.epoch + 1
        writes: list[Callable[[], object]] = [
            lambda: store.begin_run(mine, url="u", commit="c", digest="d"),
            lambda: store.write_intent(mine, run, BUCKET, "create", fingerprint="fp"),
            lambda: store.close_intent(mine, token),
            lambda: store.record_outcome(mine, run, Step(WEB, Result.DELETED), token=token),
            lambda: store.record_steps(mine, run, [Step(WEB, Result.DELETED)], [record_of(BUCKET)]),
            lambda: store.write_outputs(mine, {"url": "stale"}, "c"),
            lambda: store.write_quarantine(mine, Quarantine(WEB, ("/spec",), "", 1, 0, 1)),
            lambda: store.note_corrections(mine, [Correction(WEB, "/spec")]),
            lambda: store.finish_run(mine, run, RunStatus.CONVERGED, {}),
            lambda: store.renew_lease(mine, 60),
        ]
        for write in writes:
            with pytest.raises(LeaseLost, match="shop"):
                write()
        assert set(store.inventory("shop")) == {WEB}
        assert store.outputs("shop") is None
        assert [intent.token for intent in store.open_intents("shop")] == [token]
        assert [(run.status, run.finished_at) for run in store.runs("shop")] == [(None, 0.0)]
        assert (store.quarantines("shop"), list(store.corrections("shop", 0))) == ({}, [])
        assert list(store.steps(run)) == []
        store.release_lease(mine)
        assert store.lease("shop") == yours

    def test_a_released_lease_writes_nothing_more(self, store: Store, lease: Lease, run: int):
        store.release_lease(lease)
        with pytest.raises(LeaseLost):
            store.record_steps(lease, run, [], [record_of(WEB)])

    def test_a_write_for_another_stack_does_not_get_past_the_lease(
        self, store: Store, lease: Lease, run: int
    ):
        with pytest.raises(ValueError, match="not of the leased stack"):
            store.write_intent(lease, run, OTHER, "create", fingerprint="fp")
        with pytest.raises(ValueError, match="not of the leased stack"):
            store.record_steps(lease, run, [], [record_of(OTHER)])

    @pytest.mark.parametrize("jump", [400 * 86400.0, -400 * 86400.0])
    def test_a_clock_that_jumps_loses_no_lease_of_the_same_machine(
        self, open_again: Callable[..., Store], jump: float
    ):
        now, steady = [1e9], [1000.0]
        store = open_again(Clock(now=lambda: now[0], steady=lambda: steady[0]))
        mine = store.acquire_lease("shop", "me", 60)
        assert mine is not None
        now[0] += jump
        assert store.acquire_lease("shop", "you", 60) is None
        store.renew_lease(mine, 60)
        steady[0] += 61
        assert store.acquire_lease("shop", "you", 60) is not None

    def test_two_threads_never_get_the_same_lease(self, open_again: Callable[..., Store]):
        stores = [open_again() for _ in range(4)]
        barrier = threading.Barrier(4)

        def compete(number: int) -> Lease | None:
            barrier.wait()
            return stores[number].acquire_lease("shop", f"holder-{number}", 60)

        with ThreadPoolExecutor(4) as pool:
            leases = list(pool.map(compete, range(4)))
        assert sum(lease is not None for lease in leases) == 1

    def test_the_lease_of_a_killed_process_is_taken_over_at_once(
        self, store: Store, start_writer: Callable[..., subprocess.Popen[str]]
    ):
        writer = start_writer(3600, 0)
        assert store.acquire_lease("shop", "me", 60) is None
        writer.kill()
        # Not reaped yet: a zombie writes nothing either.
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
        assert store.lease("shop") is None
        mine = store.acquire_lease("shop", "me", 60)
        assert mine is not None
        assert mine.epoch == 2

    def test_a_stopped_process_loses_its_lease_and_writes_nothing_when_it_goes_on(
        self, store: Store, start_writer: Callable[..., subprocess.Popen[str]]
    ):
        writer = start_writer(1, 1)
        assert writer.stdout is not None and writer.stdin is not None
        while not writer.stdout.readline().startswith("done"):
            pass
        writer.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while (mine := store.acquire_lease("shop", "me", 60)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        writer.send_signal(signal.SIGCONT)
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "error LeaseLost\n"
        assert list(store.open_intents("shop")) == []
        assert store.lease("shop") == mine

    # Crashes and concurrency

    def test_a_kill_in_the_middle_of_writes_loses_nothing_that_was_promised(
        self, store: Store, start_writer: Callable[..., subprocess.Popen[str]]
    ):
        chance = random.Random(7)
        for _ in range(4):
            writer = start_writer(3600, 100_000)
            assert writer.stdout is not None
            wanted = chance.randrange(1, 200)
            lines = [writer.stdout.readline().split() for _ in range(wanted)]
            writer.kill()
            lines += [
                line.split() for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")
            ]
            writer.wait()
            inventory = {address.text for address in store.inventory("shop")}
            tokens = {intent.token: intent.address.text for intent in store.open_intents("shop")}
            done = {address for word, address, _token in lines if word == "done"}
            promised = {token: address for word, address, token in lines if word == "intent"}
            assert done <= inventory
            for token, address in promised.items():
                # The outcome's transaction ends the intent and writes the row, or does neither.
                assert (token in tokens) != (address in inventory)
            assert len(tokens) <= 1
            run = store.runs("shop")[0]
            assert len(store.steps(run.id)) == len(inventory)
            mine = store.acquire_lease("shop", "me", 60)
            assert mine is not None
            again = store.begin_run(mine, url="u", commit="c", digest="d")
            store.record_steps(
                mine, again, [Step(Address.parse(text), Result.DELETED) for text in inventory], []
            )
            for token in tokens:
                store.close_intent(mine, token)
            store.release_lease(mine)

    def test_sixteen_threads_write_at_once(self, store: Store, lease: Lease, run: int):
        addresses = [Address("shop", "File", f"f{number}", "host-1") for number in range(320)]

        def work(address: Address) -> str:
            token = store.write_intent(lease, run, address, "create", fingerprint="fp")
            step = Step(address, Result.CREATED)
            store.record_outcome(lease, run, step, token=token, record=record_of(address))
            return token

        with ThreadPoolExecutor(16) as pool:
            tokens = list(pool.map(work, addresses))
        assert len(set(tokens)) == len(addresses)
        assert set(store.inventory("shop")) == set(addresses)
        assert list(store.open_intents("shop")) == []
        assert {step.address for step in store.steps(run)} == set(addresses)

    def test_a_lost_lease_among_sixteen_threads_stops_its_own_writes_alone(
        self, store: Store, lease: Lease, run: int
    ):
        lost = replace(lease, epoch=lease.epoch - 1)

        def work(number: int) -> bool:
            address = Address("shop", "File", f"f{number}", "host-1")
            try:
                store.write_intent(
                    lost if number % 3 == 0 else lease, run, address, "create", fingerprint="fp"
                )
            except LeaseLost:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            written = list(pool.map(work, range(120)))
        assert written == [number % 3 != 0 for number in range(120)]
        assert len(store.open_intents("shop")) == 80

    def test_a_write_that_fails_among_sixteen_threads_takes_no_other_down(
        self, store: Store, lease: Lease, run: int
    ):
        def work(number: int) -> bool:
            address = Address("shop", "File", f"f{number}", "host-1")
            try:
                # There is no such run, so that the step's foreign key fails.
                store.record_outcome(
                    lease, 999_999 if number % 3 == 0 else run, Step(address, Result.CREATED)
                )
            except StoreError:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            written = list(pool.map(work, range(120)))
        assert written == [number % 3 != 0 for number in range(120)]
        assert len(store.steps(run)) == 80


class TestSqlite(StoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return str(tmp_path / "state" / "trueup.db")


class TestPostgresql(StoreContract):
    @pytest.fixture
    def url(self, postgresql: Callable[[], str]) -> str:
        return postgresql()
