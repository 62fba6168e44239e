from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.samples import PlayedEngine, outcome
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run
from trueup.model.outcome import Result
from trueup.model.plan import Hold, Plan

CREATED = outcome(samples.created(), Result.CREATED)
PLAN = samples.plan_of(samples.created(), samples.updated())
OTHER = f"sha256:{'0' * 64}"
HELD = samples.plan_of(samples.deleted(), holds=[Hold("stateful", "delete of old loses its data")])


class Keyboard(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch):
    def type_line(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", Keyboard(text))

    return type_line


@pytest.fixture(autouse=True)
def _no_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(""))


def test_it_shows_the_plan_tells_of_each_step_and_sums_up(capsys: pytest.CaptureFixture[str]) -> None:
    failed = outcome(samples.updated(), Result.FAILED, "not done after 12 s", "look at the pods")
    blocked = outcome(samples.deleted(), Result.BLOCKED, "waits for shop/Deployment/prod/web@k3s")
    unchanged = outcome(samples.unchanged("a"), Result.UNCHANGED)
    plan = samples.plan_of(samples.created(), samples.updated(), samples.deleted(), samples.unchanged("a"))
    engine = PlayedEngine(plan, (unchanged, CREATED, failed, blocked))
    assert run(["reconcile", "shop", "--yes"], engine=engine) == 1
    samples.check_snapshot("reconcile.txt", capsys.readouterr().out)


def test_a_converged_run_has_exit_code_0() -> None:
    assert run(["reconcile", "shop", "--yes"], engine=PlayedEngine(PLAN, (CREATED,))) == 0


def test_without_a_terminal_and_without_yes_nothing_is_even_looked_at(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = PlayedEngine(PLAN, (CREATED,))
    assert run(["reconcile", "shop"], engine=engine) == 1
    assert engine.asked == []
    assert "--yes" in capsys.readouterr().err


def test_json_is_refused_where_somebody_would_have_to_be_asked(types, capsys) -> None:
    types("y\n")
    engine = PlayedEngine(PLAN, (CREATED,))
    assert run(["reconcile", "shop", "-o", "json"], engine=engine) == 1
    assert engine.asked == []
    assert "--yes" in json.loads(capsys.readouterr().out)["problems"][0]["hint"]


@pytest.mark.parametrize("answer", ["y\n", "yes\n", " Y \n"])
def test_a_yes_carries_the_plan_out(types, answer: str, capsys) -> None:
    types(answer)
    assert run(["reconcile", "shop"], engine=PlayedEngine(PLAN, (CREATED,))) == 0
    shown = capsys.readouterr()
    assert "Carry out this plan? [y/N]" in shown.err
    assert "created shop/File/site@web-1" in shown.out


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yess\n", "shop\n"])
def test_everything_but_a_yes_does_nothing(types, answer: str, capsys) -> None:
    types(answer)
    assert run(["reconcile", "shop"], engine=PlayedEngine(PLAN, (CREATED,))) == 1
    shown = capsys.readouterr().out
    assert shown.endswith("Nothing was done.\n")
    assert "created shop" not in shown


def test_nobody_is_asked_where_there_is_nothing_to_do(types, capsys) -> None:
    types("")
    done = tuple(outcome(samples.unchanged(name), Result.UNCHANGED) for name in "abc")
    assert run(["reconcile", "shop"], engine=PlayedEngine(samples.converged_plan(), done)) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out == "shop is converged: 3 resources, nothing to do in 3.2 s.\n"


def test_a_held_plan_has_exit_code_3_and_says_how_to_let_it_pass(capsys) -> None:
    engine = PlayedEngine(HELD, (outcome(samples.deleted(), Result.DELETED),))
    assert run(["reconcile", "shop", "--yes", "--only", "AWS::S3::Bucket/old"], engine=engine) == 3
    shown = capsys.readouterr().out
    assert "stateful: delete of old loses its data" in shown
    assert f"Digest: {HELD.digest}\n\nHeld back. " in shown
    assert shown.endswith(
        "To let it pass, if that is what you want:\n"
        f"  trueup approve shop {HELD.digest}\n"
        "or to carry it out at once:\n"
        f"  trueup reconcile shop --only AWS::S3::Bucket/old --approve {HELD.digest}\n"
        "To refuse it:\n"
        f"  trueup reject shop {HELD.digest}\n"
    )


def test_the_approval_of_that_very_plan_is_a_yes_too(capsys) -> None:
    engine = PlayedEngine(HELD, (outcome(samples.deleted(), Result.DELETED),))
    assert run(["reconcile", "shop", "--approve", HELD.digest], engine=engine) == 0
    assert "1 deleted" in capsys.readouterr().out


@pytest.mark.parametrize("plan", [HELD, PLAN], ids=["held", "not held"])
@pytest.mark.parametrize("more", [(), ("--yes",)])
def test_the_approval_of_another_plan_is_refused(plan: Plan, more: tuple[str, ...], capsys) -> None:
    engine = PlayedEngine(plan, (CREATED,))
    assert run(["reconcile", "shop", "--approve", OTHER, *more], engine=engine) == 1
    shown = capsys.readouterr()
    assert f"the plan is another one than {OTHER}, so nothing was done" in shown.err
    assert f"its digest is {plan.digest}" in shown.err
    assert "created shop" not in shown.out


def test_an_approval_has_nothing_to_refuse_where_there_is_nothing_to_do(capsys) -> None:
    done = tuple(outcome(samples.unchanged(name), Result.UNCHANGED) for name in "abc")
    engine = PlayedEngine(samples.converged_plan(), done)
    assert run(["reconcile", "shop", "--approve", OTHER], engine=engine) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["reconcile", "rollback"])
@pytest.mark.parametrize("digest", ["foo", "", "sha256:1", HELD.digest.upper()])
def test_an_approval_of_what_is_no_digest_is_refused_before_anything_is_looked_at(
    verb: str, digest: str, capsys
) -> None:
    engine = PlayedEngine(samples.converged_plan())
    assert run([verb, "shop", "--yes", "--approve", digest], engine=engine) == 1
    assert engine.asked == []
    assert f"{digest!r} is not the digest of a plan" in capsys.readouterr().err


def test_the_approval_of_a_moved_world_does_nothing_in_a_real_stack(stack: Path, capsys) -> None:
    assert run(["plan", str(stack), "-o", "json"]) == 2
    digest = json.loads(capsys.readouterr().out)["digest"]
    site = stack / "site.yaml"
    site.write_text(site.read_text().replace("hello", "something else"))
    assert run(["reconcile", str(stack), "--approve", digest, "--yes"]) == 1
    assert f"the plan is another one than {digest}" in capsys.readouterr().err
    assert not (stack.parent / "live" / "www").exists()
    site.write_text(site.read_text().replace("something else", "hello"))
    assert run(["reconcile", str(stack), "--approve", digest]) == 0
    assert (stack.parent / "live" / "www" / "index.html").read_text().startswith("hello")


def test_as_json_it_is_one_document_with_plan_and_outcomes(capsys) -> None:
    failed = outcome(samples.updated(), Result.FAILED, "not done after 12 s")
    engine = PlayedEngine(PLAN, (CREATED, failed))
    assert run(["reconcile", "shop", "--yes", "-o", "json"], engine=engine) == 1
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    check(document, "run-v1")
    assert (document["run"], document["status"]) == (7, "failed")
    assert [found["result"] for found in document["outcomes"]] == ["created", "failed"]
    assert shown.err == ""


def test_as_json_with_v_the_progress_goes_to_standard_error(capsys) -> None:
    run(["reconcile", "shop", "--yes", "-o", "json", "-v"], engine=PlayedEngine(PLAN, (CREATED,)))
    shown = capsys.readouterr()
    assert json.loads(shown.out)["status"] == "converged"
    assert "created shop/File/site@web-1 (0.3s)\n" in shown.err


def test_an_interrupted_run_has_exit_code_130_and_lists_what_is_left(capsys) -> None:
    engine = PlayedEngine(PLAN, (CREATED,), left=(samples.updated().address,))
    assert run(["reconcile", "shop", "--yes"], engine=engine) == 130
    assert "  shop/Deployment/prod/web@k3s\n" in capsys.readouterr().out


def test_a_saved_plan_fixes_what_it_is_about(stack: Path, capsys) -> None:
    assert run(["plan", str(stack), "--save", "shop.plan"]) == 2
    capsys.readouterr()
    assert run(["reconcile", "shop.plan", "--only", "File/index", "--yes"]) == 1
    assert "shop.plan is a saved plan" in capsys.readouterr().err


def test_a_saved_plan_keeps_the_values_that_it_was_made_with(stack: Path, capsys) -> None:
    stack_file = stack / "stack.yaml"
    stack_file.write_text(
        stack_file.read_text().replace(
            "spec:\n", "spec:\n  variables: {who: {type: string}, n: {default: 1}}\n"
        )
    )
    site = stack / "site.yaml"
    site.write_text(site.read_text().replace("hello", "hello ${{ vars.who }} ${{ vars.n }}"))
    (stack / "envs").mkdir()
    (stack / "envs" / "prod.yaml").write_text("who: world\nn: 2\n")
    options = ["--values", "envs/prod.yaml", "--set", "n=3"]
    assert run(["validate", str(stack)]) == 1
    assert run(["validate", str(stack), *options]) == 0
    assert run(["plan", str(stack), *options, "--save", "shop.plan"]) == 2
    assert run(["reconcile", "shop.plan", "--set", "n=4", "--yes"]) == 1
    assert "shop.plan is a saved plan" in capsys.readouterr().err
    assert run(["reconcile", "shop.plan", "--yes"]) == 0
    index = stack.parent / "live" / "www" / "index.html"
    assert index.read_text().startswith("hello world 3\n")
    assert run(["plan", str(stack), *options]) == 0


def test_a_saved_plan_is_refused_once_the_world_moved(stack: Path, capsys) -> None:
    assert run(["plan", str(stack), "--save", "shop.plan"]) == 2
    assert run(["reconcile", str(stack), "--yes"]) == 0
    (stack.parent / "live" / "www" / "index.html").write_text("by hand")
    capsys.readouterr()
    assert run(["reconcile", "shop.plan", "--yes"]) == 1
    assert "the saved plan is stale" in capsys.readouterr().err
    assert (stack.parent / "live" / "www" / "index.html").read_text() == "by hand"


def test_a_file_that_is_no_saved_plan_is_named(stack: Path, capsys) -> None:
    Path("other.json").write_text("{}")
    assert run(["reconcile", "other.json", "--yes"]) == 1
    assert "other.json: this is not a saved plan" in capsys.readouterr().err


def test_drift_of_a_real_file_is_shown_and_corrected(stack: Path, capsys) -> None:
    index = stack.parent / "live" / "www" / "index.html"
    assert run(["reconcile", str(stack), "--yes"]) == 0
    index.write_text("by hand\n")
    capsys.readouterr()
    assert run(["reconcile", str(stack), "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "  ~ shop/File/index@here  update (drift): it was changed outside of Git\n" in shown
    assert "shop is converged: 1 updated, 1 unchanged in" in shown
    assert index.read_text().startswith("hello\n")


def test_a_stack_that_was_never_reconciled_is_not_waited_for_and_that_is_said(
    stack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stack / "stack.yaml"
    file.write_text(file.read_text().replace("\nspec:\n", "\nspec:\n  dependsOn: [netwrok]\n"))
    said = "Not waited for: netwrok, in spec.dependsOn, was never reconciled with this store.\n"
    store = ["--store", str(stack.parent / "s.db")]
    for _ in range(2):  # also where there is nothing to do
        assert run(["reconcile", str(stack), "--yes", *store]) == 0
        assert said in capsys.readouterr().out
    assert run(["plan", str(stack), *store]) == 0
    assert said in capsys.readouterr().out
    assert run(["plan", str(stack), "-o", "json", *store]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["unseenStacks"] == ["netwrok"]
    check(document, "plan-v1")

    before = stack.parent / "before"
    before.mkdir()
    head = "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: netwrok}\nspec: {allowEmpty: true}\n"
    (before / "stack.yaml").write_text(head)
    assert run(["reconcile", str(before), "--yes", *store]) == 0
    capsys.readouterr()
    assert run(["plan", str(stack), *store]) == 0
    assert "Not waited for" not in capsys.readouterr().out
