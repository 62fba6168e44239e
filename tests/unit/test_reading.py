"""Which commit a stack is read at, where one directory is several stacks and its files may be broken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.git.fixtures import GitServer, Repository

from trueup.app import App, SourceSpec
from trueup.errors import ManifestError, SourceError
from trueup.model.outcome import RunStatus
from trueup.reconcile.pin import pin_to, suspend
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import MemoryWorld

STACK = {
    "apiVersion": "trueup.dev/v1",
    "kind": "Stack",
    "metadata": {"name": "shop-${{ vars.env }}"},
    "spec": {"variables": {"env": {"type": "string"}}, "targets": [{"name": "here", "provider": "memory"}]},
}


def thing(size: int) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "memory.trueup.dev/v1",
            "kind": "Thing",
            "metadata": {"name": "${{ vars.env }}"},
            "spec": {"size": size},
        }
    )


@pytest.fixture
def repository(git_server: GitServer) -> Repository:
    repository = git_server.create()
    repository.commit({"shop/stack.yaml": yaml.safe_dump(STACK), "shop/a.yaml": thing(1)})
    return repository


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    catalog = MemoryCatalog(MemoryProvider(MemoryWorld()))
    with App(str(tmp_path / "s.db"), catalog=catalog) as app:
        yield app


@pytest.fixture
def environment(repository: Repository):
    """The source of one environment."""
    return lambda name: SourceSpec(repository.url("file"), "main", "shop", sets=(f"env={name}",))


@pytest.fixture
def good(app: App, repository: Repository, environment) -> str:
    """The commit that both environments were run at."""
    for name in ("dev", "prod"):
        assert app.reconcile(environment(name)).status is RunStatus.CONVERGED
    return repository.find("main")


def test_a_pin_is_of_one_environment(app: App, repository: Repository, environment, good: str):
    pin_to(app.store, "shop-dev", good, "bo", "")
    newer = repository.commit({"shop/a.yaml": thing(2)})
    assert app.plan(environment("dev")).revision.commit == good
    plan = app.plan(environment("prod"))
    assert (plan.revision.commit, plan.pin) == (newer, None)


def test_a_pin_is_found_past_files_that_are_broken(app: App, repository: Repository, environment, good: str):
    pin_to(app.store, "shop-dev", good, "bo", "")
    repository.commit({"shop/stack.yaml": "kind: [broken"})
    assert app.plan(environment("dev")).revision.commit == good
    with pytest.raises(ManifestError):
        app.plan(environment("prod"))
    assert app.name_stack(environment("prod")) == "shop-prod"
    with pytest.raises(ManifestError):
        app.name_stack(environment("test"))


def test_a_pin_is_found_past_a_directory_that_is_gone(
    app: App, repository: Repository, environment, good: str
):
    pin_to(app.store, "shop-dev", good, "bo", "")
    repository.commit({"shop/stack.yaml": None, "shop/a.yaml": None, "README": "moved"})
    assert app.plan(environment("dev")).revision.commit == good
    with pytest.raises(SourceError):
        app.plan(environment("prod"))


def test_a_stack_that_never_ran_is_pinned_by_its_name(app: App, repository: Repository, environment):
    first = repository.find("main")
    repository.commit({"shop/a.yaml": thing(2)})
    pin_to(app.store, "shop-dev", first, "bo", "")
    assert app.plan(environment("dev")).revision.commit == first


def test_a_pinned_commit_that_is_nowhere_is_an_error(
    app: App, repository: Repository, environment, good: str
):
    pin_to(app.store, "shop-dev", "d" * 40, "bo", "")
    with pytest.raises(SourceError, match="is pinned to dddddddddddd, which cannot be read"):
        app.plan(environment("dev"))


def test_a_pinned_commit_at_which_the_stack_is_called_otherwise_is_an_error(
    app: App, repository: Repository, environment
):
    other = {**STACK, "metadata": {"name": "blog-${{ vars.env }}"}}
    first = repository.commit({"shop/stack.yaml": yaml.safe_dump(other)})
    repository.commit({"shop/stack.yaml": yaml.safe_dump(STACK)})
    pin_to(app.store, "shop-dev", first, "bo", "")
    with pytest.raises(SourceError, match="whose files call it 'blog-dev'"):
        app.plan(environment("dev"))


def test_a_suspension_counts_for_the_stack_that_was_run_from_there(
    app: App, repository: Repository, environment, good: str
):
    suspend(app.store, "shop-dev", "bo", "")
    renamed = {**STACK, "metadata": {"name": "store-${{ vars.env }}"}}
    repository.commit({"shop/stack.yaml": yaml.safe_dump(renamed)})
    pin = app.plan(environment("dev")).pin
    assert pin is not None
    assert pin.stack == "shop-dev"
    assert app.plan(environment("prod")).pin is None


def test_without_any_pin_nothing_is_read_twice(app: App, environment, good: str, monkeypatch):
    asked: list[str] = []
    runs = app.store.runs
    monkeypatch.setattr(app.store, "runs", lambda *args: asked.append(args[0]) or runs(*args))
    app.follow(environment("dev"))
    assert asked == []
