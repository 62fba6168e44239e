"""A plan as Markdown for a comment on a pull request. Called by the plan command.

Every foreign text stands in HTML that is escaped, or in a fence that is longer than any run of backticks
in it: no value can end its block, mention a person or draw an image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from trueup.cli.fields import describe_field
from trueup.cli.output import SIGNS, escape, escape_lines, one_line
from trueup.cli.plan_text import (
    WaysOut,
    describe_decision,
    describe_policy,
    describe_revision,
    describe_rewriting,
    describe_size,
    describe_unseen,
)
from trueup.model.change import Action, Change
from trueup.model.plan import Plan, Verdict
from trueup.reconcile.plan_document import is_shown

# The largest comment that GitHub takes has 65,536 characters.
MAX_LENGTH = 60_000
_MAX_BREACHES = 20

_BACKTICKS = re.compile("`+")
_SIGNS = re.compile(r"[^A-Za-z0-9 ,./-]")


def render_markdown(plan: Plan, ways: WaysOut) -> str:
    """The comment: a heading, a table of counts, what holds the plan, each change folded up."""
    shown = [change for change in plan.changes if is_shown(change)]
    parts = [f"### trueup: plan for {code(plan.stack)}", f"At {code(describe_revision(plan.revision))}."]
    if plan.rewritten_from:
        parts.append(f"**History was rewritten**: {code(describe_rewriting(plan))}")
    if plan.unseen:
        parts.append(f"**Not waited for**: {code(describe_unseen(plan))}")
    if not shown:
        parts.append(f"Converged: {describe_size(plan)}, nothing to do.")
        return "\n\n".join(parts) + "\n"
    parts += [_table(plan), *_holds(plan, ways), *_breaches(plan)]
    length = sum(len(part) + 2 for part in parts)
    for index, change in enumerate(shown):
        part = _change(change)
        if length + len(part) > MAX_LENGTH:
            parts.append(
                f"{len(shown) - index} more changes do not fit into a comment; `trueup plan` shows them all."
            )
            break
        length += len(part) + 2
        parts.append(part)
    parts.append(f"Digest: {code(plan.digest)}")
    return "\n\n".join(parts) + "\n"


def code(text: str) -> str:
    """Foreign text inside a line: neither HTML nor Markdown nor a mention of somebody."""
    # Markdown is still read inside of <code>; as character references its signs are only text.
    return f"<code>{_SIGNS.sub(lambda sign: f'&#{ord(sign[0])};', one_line(text))}</code>"


def fence(lines: Iterable[str], language: str = "") -> str:
    """Lines as a block of code whose fence none of them can end."""
    text = "\n".join(lines)
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{language}\n{text}\n{marks}"


def _table(plan: Plan) -> str:
    counts = {action: number for action, number in plan.summary.items() if number}
    header = " | ".join("unchanged" if action is Action.NONE else action.value for action in counts)
    return f"| {header} |\n|{' ---: |' * len(counts)}\n| {' | '.join(str(n) for n in counts.values())} |"


def _holds(plan: Plan, ways: WaysOut) -> Iterator[str]:
    if not plan.holds:
        return
    said = plan.decision
    heading = "**Held back** until this very plan is approved:"
    if all(hold.nodes for hold in plan.holds):
        heading = "**Held back in part** until this very plan is approved:"
    commands = [ways.approve, ways.reject]
    if plan.is_final:
        heading, commands = "**Held back**, and no approval lifts it:", []
        if ways.recover and any(hold.hint for hold in plan.holds):
            commands = [ways.recover]
    elif said is not None and said.verdict is Verdict.APPROVED:
        heading, commands = f"**Approved** by {code(describe_decision(said))}, in spite of:", []
    elif said is not None:
        commands = [ways.approve]
    lines = [
        f"- {code(hold.guard)}: {code('. '.join(filter(None, (hold.message, hold.hint))))}"
        for hold in plan.holds
    ]
    yield f"{heading}\n\n" + "\n".join(lines)
    if plan.stale_approval is not None:
        who = code(describe_decision(plan.stale_approval))
        yield f"What {who} approved last is another plan: Git or the world has moved since."
    if commands:
        yield fence([escape(command) for command in commands], "sh")


def _breaches(plan: Plan) -> Iterator[str]:
    if not plan.breaches:
        return
    lines = [
        f"- {breach.policy.enforce.value}: {code(breach.address.text)} does not fulfil"
        f" {code(describe_policy(breach.policy))}: {code(breach.policy.message or breach.policy.rule)}"
        for breach in plan.breaches[:_MAX_BREACHES]
    ]
    if len(plan.breaches) > _MAX_BREACHES:
        lines.append(f"- and {len(plan.breaches) - _MAX_BREACHES} more")
    yield "**Policies**\n\n" + "\n".join(lines)


def _change(change: Change) -> str:
    sign = "!" if change.action is Action.NONE else SIGNS[change.action]
    left = "quarantined" if change.quarantine else "drift"
    word = left if change.action is Action.NONE else change.action.value
    summary = f"<summary>{sign} {code(change.address.text)} {word}</summary>"
    return f"<details>{summary}\n\n{fence(_lines(change), 'diff')}\n\n</details>"


def _lines(change: Change) -> Iterator[str]:
    """The lines of the block: in a `diff` fence the first character of a line gives its colour."""
    if change.problem:
        yield from (f"! {line}" for line in escape_lines(change.problem))
        yield from (f"# {line}" for line in escape_lines(change.hint) if change.hint)
    if change.reasons:
        drift = "drift: " if change.is_drift and change.action is not Action.NONE else ""
        yield f"# {drift}{one_line('; '.join(change.reasons))}"
    if change.batch is not None and change.batch.total > 1:
        yield f"# batch {change.batch.number} of {change.batch.total}"
    for field in map(describe_field, change.fields):
        sign = "!" if field.sign == "~" else field.sign
        note = "  # forces a replacement" if field.is_immutable else ""
        note += f"  # by {field.by}" if field.by else ""
        yield f"{sign} {field.path}  {field.text}{note}".rstrip()
        for line in field.lines:
            yield f"@@ {line[1:].strip('@ ')} @@" if line[0] == "@" else f"{line[0]}    {line[1:]}"
