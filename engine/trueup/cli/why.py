"""`trueup why`: what keeps a resource from being as Git says."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import rich_click as click
from rich.text import Text

from trueup.cli.options import Call, takes_output, takes_question
from trueup.cli.output import (
    ago,
    escape,
    escape_lines,
    make_console,
    moment,
    one_line,
    plain,
    print_json,
    print_lines,
)
from trueup.cli.past import describe_run, run_document
from trueup.cli.plan_text import render_way_out
from trueup.cli.status import describe_change
from trueup.model.change import Action
from trueup.model.observation import Readiness
from trueup.reconcile.history import find_addresses
from trueup.reconcile.plan_document import FORMAT_VERSION, hold_document, pin_document, quarantine_document
from trueup.reconcile.quarantine import RELEASE, describe_quarantine
from trueup.reconcile.reason import NodeState, Reasons, find_reasons


@click.command()
@click.argument("address")
@takes_question
@takes_output("text", "json")
def why(call: Call, address: str, output: str) -> None:
    """Tells why ADDRESS is not as Git says: what holds or blocks it, its last error, when it is tried again.

    Looks at the live systems, and changes nothing. ADDRESS is File/site, File/site@web-1,
    shop/File/site@web-1 or Module/blog.

    \b
    Example:
      trueup why Deployment/web --source ./shop
    """
    now = time.time()
    with call.open_app() as app:
        status = app.status(call.source)
        addresses, _field = find_addresses(address, [node.change.address for node in status.nodes])
        found = find_reasons(
            app.store,
            status.plan,
            {node.change.address: node.health for node in status.nodes},
            status.runs,
            status.lease_holder,
            addresses,
            now,
        )
    if output == "json":
        print_json(why_document(found))
    else:
        answers = Answers(
            call.ways_out(status.plan.digest).approve,
            call.command_line("resume", is_whole=True, is_at_ref=False),
            call.command_line("recover", is_whole=True),
        )
        print_lines(make_console(), render_reasons(found, now, answers))


@dataclass(frozen=True)
class Answers:
    """The commands that end what keeps a node.

    `approve` lets the held plan pass, `resume` ends a pin, `recover` rebuilds a lost store.
    """

    approve: str
    resume: str
    recover: str

    def release(self, node: NodeState) -> str:
        """The command that ends the quarantine of a node."""
        return f"{self.resume} --only {shlex.quote(node.address.text)}"


def render_reasons(found: Sequence[Reasons], now: float, answers: Answers) -> Iterator[Text]:
    """Each node with what keeps it."""
    for number, each in enumerate(found):
        if number:
            yield plain(("", ""))
        yield from _render(each, now, answers)


def _render(found: Reasons, now: float, answers: Answers) -> Iterator[Text]:
    node = found.node
    style = "green" if node.is_settled else "yellow"
    yield plain((escape(node.address.text), "bold"), (f"  {describe_node(node)}", style))
    yield from _render_problem(node)
    yield from _render_outlook(node)
    for hold in found.holds:
        yield plain(("  held back: ", "bold red"), (one_line(f"{hold.guard}: {hold.message}"), ""))
        yield from render_way_out(hold, answers.recover)
    if any(hold.is_final for hold in found.holds):
        yield plain(("  no approval lifts this", ""))
    elif found.holds:
        yield plain((f"  {escape(answers.approve)}", "cyan"))
    if found.pin is not None:
        yield plain((f"  {_describe_pin(found)}", "yellow"))
        yield plain((f"  {escape(answers.resume)}", "cyan"))
    if found.quarantine is not None:
        yield plain((f"  {one_line(describe_quarantine(found.quarantine))}", "yellow"))
        release = RELEASE.replace("trueup resume SOURCE --only ADDRESS", answers.release(node))
        yield plain((f"  {escape(release)}", "cyan"))
    if found.lease_holder:
        yield plain((f"  the stack is being reconciled by {escape(found.lease_holder)}", "cyan"))
    yield from _render_trouble(node, now)
    if found.next_try is not None:
        yield plain(("  next try: ", "dim"), (one_line(found.next_try.message), ""))
    for path in found.paths:
        for depth, hop in enumerate(path[1:], 1):
            yield from _render_hop(hop, depth, now)


def _render_hop(node: NodeState, depth: int, now: float) -> Iterator[Text]:
    indent = "  " * depth
    yield plain(
        (f"{indent}waits for ", "dim"),
        (escape(node.address.text), "bold"),
        (f"  {describe_node(node)}", "yellow"),
    )
    for line in (*_render_problem(node), *_render_trouble(node, now)):
        yield plain((indent, ""), (line.plain, str(line.spans[0].style) if line.spans else ""))


def describe_node(node: NodeState) -> str:
    """The node against Git and its health: `missing`, `in sync, progressing: 1 of 3 pods are ready`."""
    state = describe_change(node.change) if node.change is not None else "not in the stack"
    health = node.health
    if health is None or health.readiness is Readiness.READY:
        return state
    return f"{state}, {health.readiness.value}" + (f": {one_line(health.why)}" if health.why else "")


def _render_outlook(node: NodeState) -> Iterator[Text]:
    """What a run would do about it."""
    change = node.change
    if change is None or change.problem or (change.quarantine and change.action is Action.NONE):
        return
    if node.is_settled and not change.fields:
        yield plain(("  nothing is in the way: it is as Git says", ""))
    elif change.action is Action.NONE and change.fields:
        yield plain((f"  a run leaves it as it is: {one_line('; '.join(change.reasons))}", ""))
    elif change.action is not Action.NONE:
        reasons = one_line("; ".join(change.reasons))
        yield plain((f"  to {change.action.value}" + (f": {reasons}" if reasons else ""), ""))


def _render_problem(node: NodeState) -> Iterator[Text]:
    change = node.change
    if change is None or not change.problem:
        return
    yield from (plain((f"  {line}", "red")) for line in escape_lines(change.problem))
    yield from (plain((f"  {line}", "cyan")) for line in (escape_lines(change.hint) if change.hint else ()))


def _render_trouble(node: NodeState, now: float) -> Iterator[Text]:
    if node.trouble is None or (node.is_over and node.is_settled):
        return
    run, step = node.trouble.run, node.trouble.step
    over = "; a later run got past it" if node.is_over else ""
    when = ago(run.finished_at or run.started_at, now)
    yield plain((f"  {step.result.value} in {describe_run(run)} ({when}){over}:", ""))
    for line in escape_lines(step.message):
        yield plain((f"    {line}", "red"))


def _describe_pin(found: Reasons) -> str:
    pin = found.pin
    if pin is None:
        return ""
    at = f" to {pin.commit[:12]}" if pin.commit else ""
    why = f": {pin.reason}" if pin.reason else ""
    return one_line(f"the stack was {pin.kind.value}{at} by {pin.who}, {moment(pin.at)}{why}")


def why_document(found: Sequence[Reasons]) -> dict[str, Any]:
    """The same as JSON: docs/schemas/why-v1.json."""
    return {"formatVersion": FORMAT_VERSION, "nodes": [_reasons_document(each) for each in found]}


def _reasons_document(found: Reasons) -> dict[str, Any]:
    pin, quarantine, event = found.pin, found.quarantine, found.next_try
    return {
        **_state_document(found.node),
        "holds": [hold_document(hold) for hold in found.holds],
        "pin": None if pin is None else pin_document(pin),
        "quarantine": None if quarantine is None else quarantine_document(quarantine),
        "leaseHolder": found.lease_holder or None,
        "nextTry": None if event is None else {"at": event.at, "message": event.message},
        "paths": [[_state_document(node) for node in path[1:]] for path in found.paths],
    }


def _state_document(node: NodeState) -> dict[str, Any]:
    change, trouble = node.change, node.trouble
    return {
        "address": node.address.text,
        "state": describe_change(change) if change is not None else None,
        "problem": (change.problem or None) if change is not None else None,
        "health": node.health.readiness.value if node.health else None,
        "healthWhy": (node.health.why or None) if node.health else None,
        "lastError": None
        if trouble is None
        else {
            "result": trouble.step.result.value,
            "message": trouble.step.message,
            "isOver": node.is_over,
            "run": run_document(trouble.run),
        },
    }
