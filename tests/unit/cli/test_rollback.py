from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run
from trueup.reconcile import pin

STORE = ["--store", "s.db"]


class Repo:
    """A stack of this machine's own files in a Git repository, which the tests read by its URL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"file://{folder}"
        self.git("init", "--quiet", "--initial-branch=main", ".")
        self.commit()

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Change")
        return self.git("rev-parse", "HEAD")

    def says(self, text: str) -> str:
        """Commits another content of the page."""
        site = self.folder / "site.yaml"
        head, _hello, tail = site.read_text().partition("    from ")
        lines = head.splitlines()
        lines[-1] = f"    {text}"
        site.write_text("\n".join(lines) + "\n    from " + tail)
        return self.commit()

    @property
    def page(self) -> str:
        return (self.folder.parent / "live" / "www" / "index.html").read_text().splitlines()[0]


@pytest.fixture
def repo(stack: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    monkeypatch.setenv("XDG_CACHE_HOME", str(stack.parent / "cache"))
    monkeypatch.setattr(sys, "stdin", StringIO(""))
    return Repo(stack)


def _trueup(repo: Repo, verb: str, *options: str, expect: int = 0) -> None:
    assert run([verb, repo.url, *options, *STORE]) == expect


@pytest.fixture
def two(repo: Repo, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Two commits that were applied, `good` and then `bad`."""
    good = repo.says("good")
    _trueup(repo, "reconcile", "--yes")
    bad = repo.says("bad")
    _trueup(repo, "reconcile", "--yes")
    assert repo.page == "bad"
    capsys.readouterr()
    return good, bad


def test_it_goes_back_to_the_last_commit_that_did_well_and_stays_there(repo: Repo, two, capsys) -> None:
    good, _bad = two
    _trueup(repo, "rollback", "--yes", "--reason", "a bad page", "--as", "bo")
    assert repo.page == "good"
    shown = capsys.readouterr().out
    assert f"Pinned to {good[:12]} by bo, " in shown
    assert f"shop stays there until `trueup resume {repo.url} --store s.db`.\n" in shown
    repo.says("newer")
    for verb in (["reconcile", "--yes"], ["plan"], ["status"], ["drift"]):
        _trueup(repo, *verb)
        shown = capsys.readouterr().out
        assert f"Pinned to {good[:12]} by bo, " in shown, verb
        assert ": a bad page\n" in shown
        assert repo.page == "good"
    _trueup(repo, "resume")
    assert f"It was pinned to {good[:12]} by bo: a bad page.\n" in capsys.readouterr().out
    _trueup(repo, "reconcile", "--yes")
    assert repo.page == "newer"


def test_json_documents_name_the_pin(repo: Repo, two, capsys) -> None:
    good, _bad = two
    _trueup(repo, "rollback", "--yes", "-o", "json")
    document = json.loads(capsys.readouterr().out)
    check(document, "run-v1")
    assert document["plan"]["pin"]["commit"] == good
    for verb in ("plan", "status", "drift", "history"):
        _trueup(repo, verb, "-o", "json")
        document = json.loads(capsys.readouterr().out)
        check(document, f"{verb}-v1")
        assert (document["pin"]["kind"], document["pin"]["commit"]) == ("pinned", good)
    assert document["runs"][0]["trigger"] == "rollback"


def test_going_back_twice_does_not_lead_to_the_bad_commit_again(repo: Repo, two, capsys) -> None:
    _trueup(repo, "rollback", "--yes")
    _trueup(repo, "rollback", "--yes", expect=1)
    assert "no commit of stack 'shop' that converged before" in capsys.readouterr().err
    assert repo.page == "good"


def test_what_was_resumed_and_not_run_since_is_gone_back_to_as_before(repo: Repo, two) -> None:
    _trueup(repo, "rollback", "--yes")
    _trueup(repo, "resume")
    _trueup(repo, "rollback", "--yes")
    assert repo.page == "good"


def test_what_destroyed_the_stack_is_no_commit_to_go_back_to(repo: Repo, capsys) -> None:
    good = repo.says("good")
    _trueup(repo, "reconcile", "--yes")
    repo.says("bad")
    _trueup(repo, "destroy", "--yes")
    capsys.readouterr()
    _trueup(repo, "history", "-o", "json")
    document = json.loads(capsys.readouterr().out)
    check(document, "history-v1")
    assert [run["trigger"] for run in document["runs"]] == ["destroy", "once"]
    _trueup(repo, "rollback", "--yes")
    assert repo.page == "good"
    assert f"Pinned to {good[:12]} by " in capsys.readouterr().out


def test_a_commit_that_was_left_out_is_not_the_next_option(repo: Repo, two, capsys) -> None:
    _trueup(repo, "rollback", "--to", "--yes", expect=1)
    assert "--to needs a commit, tag or branch, and --yes is none" in capsys.readouterr().err
    assert repo.page == "bad"


def test_a_tag_or_a_short_commit_can_be_named(repo: Repo, two) -> None:
    good, bad = two
    repo.git("tag", "v1", good)
    _trueup(repo, "rollback", "--yes", "--to", "v1")
    assert repo.page == "good"
    _trueup(repo, "rollback", "--yes", "--to", bad[:8])
    assert repo.page == "bad"


def test_what_is_no_commit_is_refused_and_pins_nothing(repo: Repo, two, capsys) -> None:
    _trueup(repo, "rollback", "--yes", "--to", "abcdef012345", expect=1)
    assert "no branch, tag or commit" in capsys.readouterr().err
    _trueup(repo, "resume")
    assert "neither suspended nor pinned" in capsys.readouterr().out


def test_a_directory_that_is_read_as_it_is_has_nothing_to_go_back_to(stack: Path, capsys) -> None:
    assert run(["reconcile", str(stack), "--yes", *STORE]) == 0
    assert run(["rollback", str(stack), "--yes", *STORE]) == 1
    assert "it has no commits to go back to" in capsys.readouterr().err


def test_a_broken_head_is_in_the_way_of_nothing(repo: Repo, two, capsys) -> None:
    (repo.folder / "stack.yaml").write_text("kind: [broken")
    repo.commit()
    _trueup(repo, "reconcile", "--yes", expect=1)
    _trueup(repo, "suspend")
    _trueup(repo, "rollback", "--yes", expect=3)
    assert "--force takes it back" in capsys.readouterr().err
    _trueup(repo, "rollback", "--yes", "--force")
    # The one that was applied last stands: the broken one never was.
    assert repo.page == "bad"
    assert "It was at that commit already; to go further back: `trueup rollback " in capsys.readouterr().out
    _trueup(repo, "rollback", "--yes")
    assert repo.page == "good"
    _trueup(repo, "plan")
    _trueup(repo, "reconcile", "--yes")
    _trueup(repo, "outputs")
    capsys.readouterr()
    assert run(["blame", "File/index.spec.content", "--source", repo.url, *STORE]) == 0
    assert "declared: site.yaml:" in capsys.readouterr().out


def test_a_head_that_calls_the_stack_otherwise_does_not_get_past_the_pin(repo: Repo, two, capsys) -> None:
    _trueup(repo, "rollback", "--yes")
    file = repo.folder / "stack.yaml"
    file.write_text(file.read_text().replace("name: shop", "name: shop2"))
    repo.commit()
    capsys.readouterr()
    _trueup(repo, "reconcile", "--yes")
    assert "shop is converged" in capsys.readouterr().out


def test_a_ref_that_is_named_is_looked_at_and_not_run(repo: Repo, two, capsys) -> None:
    good, bad = two
    _trueup(repo, "rollback", "--yes")
    capsys.readouterr()
    _trueup(repo, "plan", "--ref", "main", expect=2)
    shown = capsys.readouterr().out
    assert f"this is {bad[:12]}, as was asked for" in shown
    _trueup(repo, "reconcile", "--ref", "main", "--yes", expect=3)
    shown = capsys.readouterr().err
    assert f"is pinned to {good[:12]}" in shown
    assert f"`trueup resume {repo.url} --store s.db`" in shown
    _trueup(repo, "destroy", "--ref", "main", "--yes", expect=3)
    assert repo.page == "good"
    # Once, and the pin stays.
    _trueup(repo, "reconcile", "--ref", "main", "--yes", "--force")
    assert repo.page == "bad"
    _trueup(repo, "reconcile", "--yes")
    assert repo.page == "good"


def test_a_no_leaves_everything_as_it_was(repo: Repo, two, monkeypatch, capsys) -> None:
    class Keyboard(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Keyboard("n\n"))
    _trueup(repo, "rollback", expect=1)
    shown = capsys.readouterr().out
    assert "Nothing was done." in shown
    assert "stays there" not in shown
    assert repo.page == "bad"
    monkeypatch.setattr(sys, "stdin", Keyboard("y\n"))
    _trueup(repo, "rollback")
    shown = capsys.readouterr()
    assert shown.err.count("Pin the stack to this commit, and carry out this plan? [y/N]") == 1
    assert shown.out.count("Digest: ") == 1
    assert repo.page == "good"


def test_a_held_rollback_leaves_the_pin_and_is_let_pass_by_an_approval(repo: Repo, capsys) -> None:
    site = repo.folder / "site.yaml"
    whole = site.read_text()
    page = "apiVersion: ssh.trueup.dev/v1\nkind: File\nmetadata: {{name: f{0}}}\n"
    page += f"spec: {{{{path: {repo.folder.parent}/live/f{{0}}, content: x}}}}\n"
    _trueup(repo, "reconcile", "--yes")
    site.write_text("---\n".join([whole, *(page.format(number) for number in range(12))]))
    repo.commit()
    _trueup(repo, "reconcile", "--yes")
    capsys.readouterr()
    _trueup(repo, "rollback", "--yes", expect=3)
    shown = capsys.readouterr().out
    assert "deletion-budget" in shown
    assert "Pinned to " in shown.rpartition("To refuse it:")[2]
    assert (repo.folder.parent / "live" / "f11").exists()
    (command,) = [line for line in shown.splitlines() if line.startswith("  trueup approve")]
    assert run(command.split()[1:]) == 0
    _trueup(repo, "reconcile", "--yes")
    assert not (repo.folder.parent / "live" / "f11").exists()


def test_a_commit_that_is_gone_is_an_error_and_never_the_head(repo: Repo, two, monkeypatch, capsys) -> None:
    _trueup(repo, "rollback", "--yes")
    repo.git("update-ref", "-d", "HEAD")
    repo.says("rewritten")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--quiet", "--prune=now")
    # Where it was fetched before, it is read.
    _trueup(repo, "reconcile", "--yes")
    monkeypatch.setenv("XDG_CACHE_HOME", str(repo.folder.parent / "other"))
    capsys.readouterr()
    _trueup(repo, "reconcile", "--yes", expect=1)
    assert "is pinned to" in capsys.readouterr().err
    assert repo.page == "good"


def test_a_stack_of_the_settings_is_found_by_its_name(repo: Repo, two, capsys) -> None:
    Path("trueup.toml").write_text(f'[[stacks]]\nname = "web"\nlocation = "{repo.url}"\nref = "main"\n')
    assert run(["rollback", "web", "--yes", *STORE]) == 0
    assert repo.page == "good"
    assert run(["reconcile", "web", "--yes", *STORE]) == 0
    assert run(["reconcile", "web", "--ref", "main", "--yes", *STORE]) == 3
    assert run(["resume", "web", *STORE]) == 0
    assert run(["reconcile", "web", "--yes", *STORE]) == 0
    assert repo.page == "bad"


def test_nothing_is_imported_to_a_stack_that_is_pinned(stack: Path, capsys) -> None:
    assert run(["reconcile", str(stack), "--yes", *STORE]) == 0
    assert run(["suspend", str(stack), *STORE]) == 0
    (stack.parent / "live" / "found").write_text("x")
    found = str(stack.parent / "live" / "found")
    capsys.readouterr()
    code = run(["import", "here", "File", found, "--into", str(stack), "--yes", *STORE])
    assert code == 3
    assert "nothing is imported to stack 'shop'" in capsys.readouterr().err


def test_a_saved_plan_of_the_head_is_stale_once_the_stack_is_pinned(repo: Repo, two, capsys) -> None:
    repo.says("newer")
    assert run(["plan", repo.url, "--save", "shop.plan", *STORE]) == 2
    _trueup(repo, "rollback", "--yes")
    assert run(["reconcile", "shop.plan", "--yes", *STORE]) == 1
    assert "the saved plan is stale" in capsys.readouterr().err
    assert repo.page == "bad"


def test_who_resumes_in_the_middle_of_a_rollback_gets_no_run_of_the_head(
    repo: Repo, two, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.says("worse")
    wait = pin.run_when_free

    def resume_first(run, stop):
        _trueup(repo, "resume")
        return wait(run, stop)

    monkeypatch.setattr("trueup.app.run_when_free", resume_first)
    _trueup(repo, "rollback", "--yes", expect=3)
    assert "somebody has resumed it or pinned it elsewhere since" in capsys.readouterr().err
    assert repo.page == "bad"


def test_a_saved_plan_of_a_stack_that_was_suspended_or_pinned_since_is_refused(
    repo: Repo, two, capsys, tmp_path: Path
) -> None:
    good, _bad = two
    repo.says("newer")
    saved = str(tmp_path / "saved.plan")
    _trueup(repo, "plan", "--save", saved, expect=2)
    _trueup(repo, "suspend")
    capsys.readouterr()
    assert run(["reconcile", saved, "--yes", *STORE]) == 3
    assert "`trueup resume SOURCE` lets it be run again" in capsys.readouterr().err
    _trueup(repo, "rollback", "--yes", "--force", "--to", good, "--as", "bo")
    capsys.readouterr()
    assert run(["reconcile", saved, "--yes", *STORE]) == 1
    assert f"the saved plan is stale: the stack was pinned to {good[:12]} by bo\n" in capsys.readouterr().err
    assert repo.page == "good"


def test_an_approval_of_another_plan_leaves_all_as_it_was(repo: Repo, two, capsys) -> None:
    good, _bad = two
    other = f"sha256:{'0' * 64}"
    for more in ((), ("--yes",)):
        _trueup(repo, "rollback", "--approve", other, *more, expect=1)
        assert f"the plan is another one than {other}" in capsys.readouterr().err
    assert repo.page == "bad"
    _trueup(repo, "plan")
    assert "Pinned" not in capsys.readouterr().out
    assert run(["plan", repo.url, "--ref", good, "-o", "json", *STORE]) == 2
    digest = json.loads(capsys.readouterr().out)["digest"]
    _trueup(repo, "rollback", "--approve", digest)
    assert repo.page == "good"
