from __future__ import annotations

import re
from dataclasses import replace

from tests.unit.cli import samples

from trueup.cli.plan_markdown import MAX_LENGTH, code, fence, render_markdown
from trueup.cli.plan_text import WaysOut
from trueup.model.change import MISSING, Action, Change, FieldChange
from trueup.model.plan import Hold, Verdict

WAYS = WaysOut(
    "trueup approve shop sha256:0", "trueup reject shop sha256:0", "trueup reconcile shop --approve sha256:0"
)


def test_a_plan_with_one_of_everything_reads_like_this() -> None:
    samples.check_snapshot("plan.md", render_markdown(samples.full_plan(), WAYS))


def test_a_plan_without_changes_says_so() -> None:
    text = render_markdown(samples.converged_plan(), WAYS)
    assert text.endswith("Converged: 3 resources, nothing to do.\n")


def test_a_value_cannot_end_its_block() -> None:
    hostile = "```\n</details>\n````\n<img src=x>\n@everyone\n"
    change = Change(samples.address("a"), Action.CREATE, (FieldChange("/spec/content", MISSING, hostile),))
    text = render_markdown(samples.plan_of(change), WAYS)
    block = re.search(r"^(`{3,})diff\n(.*?)\n\1$", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    assert block[1] == "`````"
    assert "<img" in block[2]
    assert "<img" not in text.replace(block[0], "")
    assert text.count("\n</details>") == 1


def test_foreign_text_inside_a_line_is_neither_html_nor_markdown_nor_a_mention() -> None:
    assert code("a<b>@you *x* [y](z) `w` &amp;|") == (
        "<code>a&#60;b&#62;&#64;you &#42;x&#42; &#91;y&#93;&#40;z&#41; &#96;w&#96; &#38;amp&#59;&#124;</code>"
    )


def test_a_fence_is_longer_than_every_run_of_backticks() -> None:
    assert fence(["a ```` b", "``"]).splitlines()[0] == "`````"


def test_a_plan_too_long_for_a_comment_says_how_much_is_missing() -> None:
    changes = [
        Change(samples.address(f"f{n}"), Action.CREATE, (FieldChange("/spec/content", MISSING, "x" * 2000),))
        for n in range(100)
    ]
    text = render_markdown(samples.plan_of(*changes), WAYS)
    assert MAX_LENGTH * 0.9 < len(text) < MAX_LENGTH + 500
    shown = text.count("<details>")
    assert f"{100 - shown} more changes do not fit into a comment" in text
    assert "Digest: " in text


def test_policies_verdicts_and_rewriting_are_in_the_comment() -> None:
    said = samples.decision(Verdict.APPROVED, "as *agreed*")
    holds = [Hold("stateful", "m")]
    plan = replace(
        samples.plan_of(samples.created(), holds=holds),
        breaches=samples.breaches() * 20,
        rewritten_from="a" * 40,
        unseen=("a|b", "c"),
        decision=said,
    )
    text = render_markdown(plan, WAYS)
    assert "**Not waited for**: <code>a&#124;b, c, in spec" in text
    assert "**History was rewritten**: <code>the commit of the last run, aaaaaaaaaaaa, is no ancestor" in text
    assert "**Approved** by <code>bo&#64;web &#40;as &#42;agreed&#42;&#41;</code>, in spite of:" in text
    assert "trueup approve" not in text
    assert text.count("- deny: <code>shop/File/site&#64;web-1</code> does not fulfil") == 10
    assert "- and 20 more" in text
    stale = replace(plan, decision=None, stale_approval=said)
    assert "approved last is another plan" in render_markdown(stale, WAYS)
    final = replace(plan, decision=None, holds=(Hold("policy", "m", is_final=True),))
    assert "no approval lifts it" in render_markdown(final, WAYS)
    assert "trueup approve" not in render_markdown(final, WAYS)


def test_who_did_it_is_said_of_a_field_and_cannot_end_its_block() -> None:
    field = FieldChange("/spec/mode", "0600", "0644", by="bo\n``````\n@everyone")
    text = render_markdown(samples.plan_of(replace(samples.drifted(), fields=(field,))), WAYS)
    assert '! /spec/mode  "0600" -> "0644"  # by bo\\n``````\\n@everyone' in text
    assert "\n``````\n" not in text
