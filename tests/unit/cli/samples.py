"""A plan with one of everything, an engine that plays a run, and snapshots: what the tests of cli share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from trueup.app import Loaded, SourceSpec, StackStatus, say_yes
from trueup.errors import TrueupError
from trueup.model.address import Address
from trueup.model.change import MISSING, Action, Batch, Change, FieldChange
from trueup.model.observation import Observed
from trueup.model.outcome import Outcome, Result, RunStatus
from trueup.model.plan import Breach, Decision, Hold, Plan, Verdict
from trueup.model.quarantine import Quarantine
from trueup.model.resource import Enforce, Policy, Revision
from trueup.model.values import UNKNOWN, Sensitive
from trueup.reconcile.approve import may_pass, refuse_other_plan
from trueup.reconcile.report import EVERYTHING, Listener, RunReport, Selection, Silent

SNAPSHOTS = Path(__file__).parent / "snapshots"
REVISION = Revision(
    "https://git.example.com/estate.git", "shop", "3f2a1bc09d1e4b6f8a70c5d2e9b1f3a4c6d8e0f2", "main", "main"
)


def check_snapshot(name: str, text: str) -> None:
    """Compares with the committed text; TRUEUP_UPDATE_SNAPSHOTS=1 writes it anew."""
    file = SNAPSHOTS / name
    if os.environ.get("TRUEUP_UPDATE_SNAPSHOTS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def render(lines: Iterable[Text], *, is_terminal: bool = False) -> str:
    """The lines as a pipe gets them, or a terminal of 80 columns with 256 colours."""
    out = StringIO()
    console = Console(
        file=out,
        soft_wrap=True,
        highlight=False,
        markup=False,
        emoji=False,
        width=80,
        force_terminal=is_terminal,
        color_system="256" if is_terminal else None,
        legacy_windows=False,
        _environ={},
    )
    for line in lines:
        console.print(line)
    return out.getvalue()


def address(name: str, kind: str = "File", target: str = "web-1", namespace: str = "") -> Address:
    return Address("shop", kind, name, target, namespace)


def seen(of: Address) -> Observed:
    return Observed(of, {}, "id-1", None, "v1")


CONFIG_BEFORE = "".join(f"line {number}\n" for number in range(1, 21))
CONFIG_AFTER = CONFIG_BEFORE.replace("line 10\n", "line ten\n") + "one more\n"


def created() -> Change:
    return Change(
        address("site"),
        Action.CREATE,
        (
            FieldChange("/spec/path", MISSING, "/srv/www/index.html"),
            FieldChange("/spec/content", MISSING, "<!doctype html>\n<h1>shop</h1>\n"),
            FieldChange("/spec/mode", MISSING, "0644"),
            FieldChange("/spec/token", MISSING, Sensitive("hunter2"), sensitive=True),
            FieldChange("/spec/bucket", MISSING, UNKNOWN),
        ),
        ("it does not exist yet",),
    )


def updated() -> Change:
    of = address("web", "Deployment", "k3s", "prod")
    return Change(
        of,
        Action.UPDATE,
        (
            FieldChange("/spec/replicas", 2, 3),
            FieldChange("/spec/template/metadata/annotations/example.com~1note", "old", MISSING),
            FieldChange("/spec/template/metadata/labels", {"tier": "web"}, {"tier": "web", "zone": "a"}),
            FieldChange("/spec/password", Sensitive("a"), Sensitive("b"), sensitive=True),
            FieldChange("/spec/config", CONFIG_BEFORE, CONFIG_AFTER),
        ),
        ("the manifest changed",),
        seen(of),
    )


def drifted() -> Change:
    of = address("motd")
    return Change(
        of,
        Action.UPDATE,
        (FieldChange("/spec/content", "\x1b[2J\x1b]0;owned\x07 hello\u202e", "hello"),),
        ("it was changed outside of Git",),
        seen(of),
        is_drift=True,
    )


def replaced() -> Change:
    of = address("jobs", "AWS::SQS::Queue", "eu")
    return Change(
        of,
        Action.REPLACE,
        (
            FieldChange("/spec/FifoQueue", False, True, immutable=True),
            FieldChange(
                "/spec/Tags",
                [{"Key": "team", "Value": "shop"}],
                [{"Key": "team", "Value": "shop"}, {"Key": "a-long-key-for-costs", "Value": "4711-0815-42"}],
            ),
        ),
        ("the manifest changed", "/spec/FifoQueue cannot be changed in place"),
        seen(of),
    )


def deleted() -> Change:
    of = address("old", "AWS::S3::Bucket", "eu")
    return Change(of, Action.DELETE, (), ("it is no longer in Git",), seen(of))


def adopted() -> Change:
    of = address("nginx", "Package")
    return Change(of, Action.ADOPT, (), ("it was there before",), seen(of))


def forgotten() -> Change:
    return Change(address("gone"), Action.FORGET, (), ("it is gone already",))


def moved() -> Change:
    of = address("shop/conf")
    reasons = ("moved from base/File/conf",)
    return Change(
        of, Action.ADOPT, (), reasons, seen(of), moved_from=Address("base", "File", "conf", "web-1")
    )


def moved_away() -> Change:
    new = address("new")
    return Change(address("old"), Action.FORGET, (), (f"it is {new} now",), moved_to=new)


def rolled() -> Change:
    of = address("banner", target="web-2")
    fields = (FieldChange("/spec/content", "old", "new"),)
    return Change(of, Action.UPDATE, fields, ("the manifest changed",), seen(of), batch=Batch(2, 3))


def unseen() -> Change:
    return Change(
        address("site", target="web-2"),
        Action.UNKNOWN,
        problem="connection to web-2.example.com:22 timed out",
        hint="is the host up and reachable from here?",
    )


def refused() -> Change:
    of = address("data", "AWS::S3::Bucket", "eu")
    return Change(
        of,
        Action.UNKNOWN,
        (FieldChange("/spec/BucketName", "data-1", "data-2", immutable=True),),
        observed=seen(of),
        problem="a change of /spec/BucketName needs a replacement, which lifecycle.protect: true forbids",
    )


def reported() -> Change:
    of = address("sysctl")
    return Change(
        of,
        Action.NONE,
        (FieldChange("/spec/mode", "0600", "0644"),),
        ("drift is only reported",),
        seen(of),
        is_drift=True,
    )


def quarantined() -> Change:
    """Drift that is left as it is, since somebody brings it back again and again."""
    quarantine = Quarantine(
        drifted().address, ("/spec/content",), "cron\x1b[2J", 2, 1_795_629_000, 1_795_630_200
    )
    reasons = ("quarantined until 2026-11-25 18:10:00Z: cron\x1b[2J changes /spec/content again and again",)
    return replace(drifted(), action=Action.NONE, reasons=reasons, quarantine=quarantine)


def unchanged(name: str) -> Change:
    return Change(address(name), Action.NONE, observed=seen(address(name)))


def plan_of(*changes: Change, holds: Sequence[Hold] = ()) -> Plan:
    return Plan("shop", REVISION, changes, tuple(holds))


def decision(verdict: Verdict, note: str = "", digest: str = f"sha256:{'0' * 64}") -> Decision:
    return Decision(digest, verdict, "bo@web", note, 1_700_000_000.0)


def breaches() -> tuple[Breach, ...]:
    of = address("site")
    private = Policy(
        "private",
        "change.after.spec.mode == '0600'",
        Enforce.DENY,
        "nobody else's business",
        is_installation=True,
    )
    return (
        Breach(private, of, "change.after.spec.mode is sensitive"),
        Breach(Policy("named", "change.name != 'site'", Enforce.WARN), of),
    )


def full_plan() -> Plan:
    """One change of each sort, two unchanged nodes, and two holds."""
    return plan_of(
        created(),
        updated(),
        drifted(),
        replaced(),
        deleted(),
        adopted(),
        forgotten(),
        moved(),
        moved_away(),
        rolled(),
        unseen(),
        refused(),
        reported(),
        unchanged("a"),
        unchanged("b"),
        holds=[
            Hold(
                "deletion-budget",
                "2 deletes and replaces, where the stack may have 1 in one run (spec.guards.maxDeletes)",
            ),
            Hold("stateful", "delete of shop/AWS::S3::Bucket/old@eu loses the data that it holds"),
        ],
    )


def converged_plan() -> Plan:
    return plan_of(unchanged("a"), unchanged("b"), unchanged("c"))


def outcome(change: Change, result: Result, message: str = "", hint: str = "") -> Outcome:
    return Outcome(change.address, result, change, message, hint, 0.3 if message == "" else 12.0)


@dataclass
class PlayedEngine:
    """Stands in for the App where a test needs an end that no real stack comes to by itself.

    It keeps the engine's promises to the command line: the listener is told of the plan, held plans and
    refused confirmations give HELD, `during` runs in the middle.
    """

    plan_made: Plan
    outcomes: tuple[Outcome, ...] = ()
    left: tuple[Address, ...] = ()
    status_found: StackStatus | None = None
    loaded: Loaded | None = None
    error: Exception | None = None
    during: Callable[[threading.Event], None] = lambda _stop: None
    opened: list[tuple[str, int]] = field(default_factory=list)
    asked: list[tuple[str, SourceSpec, Selection]] = field(default_factory=list)
    saved: list[str] = field(default_factory=list)

    def __call__(self, store: str, parallelism: int) -> PlayedEngine:
        self.opened.append((store, parallelism))
        return self

    def __enter__(self) -> PlayedEngine:
        return self

    def __exit__(self, *_error: object) -> None: ...

    def load(self, source: SourceSpec) -> Loaded:
        self._note("load", source, EVERYTHING)
        assert self.loaded is not None
        return self.loaded

    def plan(self, source: SourceSpec, selection: Selection = EVERYTHING) -> Plan:
        self._note("plan", source, selection)
        return self.plan_made

    def save_plan(self, _plan: Plan, _source: SourceSpec, _selection: Selection, file: str) -> None:
        self.saved.append(file)

    def status(self, source: SourceSpec, selection: Selection = EVERYTHING) -> StackStatus:
        self._note("status", source, selection)
        assert self.status_found is not None
        return self.status_found

    def reconcile(
        self,
        source: SourceSpec,
        selection: Selection = EVERYTHING,
        *,
        confirm: Callable[[Plan], bool] = say_yes,
        approved: str = "",
        approved_by: str = "",
        listener: Listener | None = None,
        stop: threading.Event | None = None,
        is_forced: bool = False,
    ) -> RunReport:
        self._note("reconcile", source, selection)
        return self._play(confirm, approved, listener or Silent(), stop or threading.Event())

    def destroy(self, source: SourceSpec, selection: Selection = EVERYTHING, **options: Any) -> RunReport:
        self._note("destroy", source, selection)
        return self._play(options["confirm"], "", options["listener"], options["stop"])

    def _note(self, verb: str, source: SourceSpec, selection: Selection) -> None:
        self.asked.append((verb, source, selection))
        if self.error is not None:
            raise self.error

    def _play(
        self, confirm: Callable[[Plan], bool], approved: str, listener: Listener, stop: threading.Event
    ) -> RunReport:
        plan = self.plan_made
        listener.planned(plan)
        refuse_other_plan(plan, approved)
        if not may_pass(plan, approved):
            return RunReport(plan, RunStatus.HELD)
        if plan.has_changes and not confirm(plan):
            return RunReport(plan, RunStatus.HELD)
        for done in self.outcomes:
            if done.change is not None and done.result is not Result.BLOCKED:
                listener.started(done.change)
            listener.finished(done)
        self.during(stop)
        bad = {Result.FAILED, Result.BLOCKED}
        status = RunStatus.CONVERGED
        if self.left:
            status = RunStatus.INTERRUPTED
        elif any(done.result in bad for done in self.outcomes):
            status = RunStatus.FAILED
        return RunReport(plan, status, self.outcomes, 3.2, 7, self.left)


def raises(message: str, hint: str = "") -> TrueupError:
    return TrueupError(message, hint=hint)
