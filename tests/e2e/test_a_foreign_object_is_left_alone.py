"""What is not ours by marker, identity and recorded version keeps every byte, whatever it is called."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.fixtures import Cluster
from tests.e2e.account import PATH, SHORT, Account, address, document
from tests.e2e.test_another_place_is_refused import write_stack
from tests.git.fixtures import GitServer
from tests.moto.fixtures import REGION, Moto
from tests.stress.invariants import check_always, look_at

from trueup.app import App, SourceSpec
from trueup.errors import StalePlan
from trueup.model.change import Action
from trueup.model.outcome import Result, RunStatus
from trueup.model.plan import Plan
from trueup.reconcile.report import EVERYTHING, RunReport
from trueup.sdk import Target

Tags = list[dict[str, str]]


@pytest.fixture
def account(moto: Moto, git_server: GitServer, tmp_path: Path) -> Account:
    moto.reset()
    return Account(moto, git_server.create(f"estate-{os.urandom(4).hex()}"), tmp_path)


def plant(moto: Moto, short: str, name: str, tags: Tags = ()) -> None:  # type: ignore[assignment]
    """An object of somebody else, named as a stack would name its own."""
    full, plain = f"shop-{name}", {tag["Key"]: tag["Value"] for tag in tags}
    if short == "parameter":
        moto.client("ssm").put_parameter(Name=full, Type="String", Value="theirs", Tags=list(tags))
    elif short == "queue":
        moto.client("sqs").create_queue(QueueName=full, tags=plain)
    elif short == "topic":
        moto.client("sns").create_topic(Name=full, Tags=list(tags))
    else:
        s3 = moto.client("s3")
        s3.create_bucket(Bucket=full, CreateBucketConfiguration={"LocationConstraint": REGION})
        if tags:
            s3.put_bucket_tagging(Bucket=full, Tagging={"TagSet": list(tags)})


def read_marker(moto: Moto, name: str) -> Tags:
    found = moto.client("ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId=f"shop-{name}")
    tags: Tags = found["TagList"]
    assert {tag["Key"] for tag in tags} >= {"trueup:owner", "trueup:address"}
    return tags


@pytest.mark.moto
def test_an_object_of_the_same_name_is_a_conflict_until_it_is_adopted_on_aws(account: Account) -> None:
    other = [{"Key": "trueup:owner", "Value": "somebody/shop"}, {"Key": "trueup:address", "Value": "x/Y/z@q"}]
    for short in SHORT:
        plant(account.moto, short, f"{short}-plain")
        plant(account.moto, short, f"{short}-other", other)
    account.declare(mine=document("queue", "mine"))
    account.commit()
    account.converge()
    look = account.look()
    for short in SHORT:
        for name in (f"{short}-plain", f"{short}-other"):
            account.declare(**{name: document(short, name)})
    # What depends on one of them waits.
    account.declare(
        last=document("queue", "last", dependsOn=[f"{SHORT['topic']}/topic-plain"]),
        free=document("queue", "free"),
    )
    account.commit()
    for _ in range(2):
        report = account.reconcile(RunStatus.FAILED)
        results = {outcome.address.name: outcome.result for outcome in report.outcomes}
        assert {name for name, result in results.items() if result is Result.FAILED} == {
            f"{short}-{sort}" for short in SHORT for sort in ("plain", "other")
        }
        assert results["last"] is Result.BLOCKED
        assert results["free"] in (Result.CREATED, Result.UNCHANGED)
    look.check_spared()
    # They leave Git again: what never was ours is not deleted with it.
    for short in SHORT:
        account.declare(**{f"{short}-plain": None, f"{short}-other": None})
    account.declare(last=None)
    account.commit()
    account.converge()
    look.check_spared()
    # Adopted by name, they are ours from then on; also when somebody else had them.
    account.declare(
        **{
            f"{short}-{sort}": document(short, f"{short}-{sort}", lifecycle={"adopt": True})
            for short in SHORT
            for sort in ("plain", "other")
        }
    )
    account.commit()
    account.converge()
    account.check_at_rest()


@pytest.mark.moto
@pytest.mark.parametrize("is_there", [True, False])
def test_a_marker_that_was_copied_is_not_pruned_on_aws(account: Account, is_there: bool) -> None:
    """An operator clones an object with its tags; then the resource leaves Git, its object there or gone."""
    account.declare(
        **{f"p{number}": document("parameter", f"p{number}") for number in range(3)}, q=document("queue", "q")
    )
    account.commit()
    account.converge()
    marker = read_marker(account.moto, "p0")
    for short in SHORT:
        plant(account.moto, short, f"clone-{short}", marker)
    if not is_there:
        account.moto.client("ssm").delete_parameter(Name="shop-p0")
    look = account.look()
    names = {"shop-clone-parameter", "shop-clone-queue", "shop-clone-topic", "shop-clone-bucket"}

    def clones() -> dict[str, str]:
        things = [thing for system in account.systems for thing in system.objects().values()]
        return {thing.name.rpartition("/")[2]: thing.content for thing in things if "clone" in thing.name}

    before = clones()
    assert len(before) == len(names)
    # While it is declared, a missing object is made again beside its clones, which stay.
    if not is_there:
        account.converge()
        assert clones() == before
        account.moto.client("ssm").delete_parameter(Name="shop-p0")
    account.declare(p0=None)
    account.commit()
    account.converge()
    assert clones() == before
    account.converge()
    assert clones() == before
    assert address("parameter", "p0") not in look.rows()
    assert not account.converge().plan.has_changes


def swap(moto: Moto, how: str, tags: Tags) -> None:
    """Between the plan and the step, somebody makes the parameter anew, or writes to it, or takes it over."""
    ssm = moto.client("ssm")
    if how == "changed":
        ssm.put_parameter(Name="shop-p0", Value="theirs", Overwrite=True)
        return
    if how == "taken over":
        other = [{"Key": "trueup:owner", "Value": "somebody/else"}]
        ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId="shop-p0", Tags=other)
        return
    ssm.delete_parameter(Name="shop-p0")
    kept = tags if how == "made anew with the marker" else []
    ssm.put_parameter(Name="shop-p0", Type="String", Value="theirs", Tags=kept)


@pytest.mark.moto
@pytest.mark.parametrize("step", ["update", "delete"])
@pytest.mark.parametrize("how", ["made anew", "taken over", "changed", "made anew with the marker"])
def test_what_moved_between_plan_and_apply_is_left_alone_on_aws(
    account: Account, tmp_path: Path, how: str, step: str
) -> None:
    account.declare(**{f"p{number}": document("parameter", f"p{number}") for number in range(3)})
    account.commit()
    account.converge()
    marker = read_marker(account.moto, "p0")
    account.declare(p0=document("parameter", "p0", 2) if step == "update" else None)
    account.commit()
    file = str(tmp_path / "plan.json")
    with account.open() as app:
        plan = app.plan(account.source)
        assert plan.summary[Action.UPDATE if step == "update" else Action.DELETE] == 1
        app.save_plan(plan, account.source, EVERYTHING, file)
    swap(account.moto, how, marker)
    ssm = account.moto.client("ssm")

    def live() -> str:
        value = ssm.get_parameter(Name="shop-p0")["Parameter"]
        tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="shop-p0")["TagList"]
        return json.dumps([value["Value"], value["Version"], sorted(map(str, tags))])

    before = live()
    account.moto.mark()
    with account.open() as app, pytest.raises(StalePlan):
        app.reconcile_saved(file)
    assert account.moto.writes() == []
    assert live() == before

    # The world moves in the very moment between the plan of a run and its step.
    if how in ("made anew", "taken over"):
        ssm.delete_parameter(Name="shop-p0")
        ssm.put_parameter(Name="shop-p0", Type="String", Value="v1", Tags=marker)
        seen: list[str] = []

        def confirm(plan: Plan) -> bool:
            swap(account.moto, how, marker)
            seen.append(live())
            return True

        with account.open() as app:
            report = app.reconcile(account.source, confirm=confirm)
        assert [outcome.result for outcome in report.outcomes if outcome.address.name == "p0"] == [
            Result.FAILED
        ]
        assert seen == [live()]
        check_always(look_at(account.systems, account.store, "shop"))


@pytest.mark.moto
def test_files_directories_and_stacks_that_move_keep_their_objects(account: Account) -> None:
    names = [f"p{number}" for number in range(8)]
    account.declare(**{name: document("parameter", name) for name in names}, b=document("bucket", "b"))
    account.commit()
    account.converge()
    look = account.look()
    files = {path.removeprefix(f"{PATH}/"): text for path, text in account.files.items()}
    stack = files.pop("stack.yaml")
    together = "---\n".join(str(text) for text in files.values())
    items = [yaml.safe_load(str(text)) for text in files.values()]
    as_json = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    layouts: dict[str, tuple[str, dict[str, Any]]] = {
        "other names": (PATH, {f"other-{name}": text for name, text in files.items()}),
        "a directory": (PATH, {f"aws/deep/{name}": text for name, text in files.items()}),
        "one file": (PATH, {"all.yaml": together}),
        "another language": (PATH, {"all.json": as_json}),
        "another path": ("stacks/shop-of-books", files),
        "the root": ("", files),
    }
    for path, moved in layouts.values():
        prefix = f"{path}/" if path else ""
        account.commit({f"{prefix}stack.yaml": stack, **{f"{prefix}{name}": t for name, t in moved.items()}})
        source = SourceSpec(account.repository.url("http"), "main", path)
        with account.open() as app:
            report = app.reconcile(source)
        assert report.status is RunStatus.CONVERGED
        assert not report.plan.has_changes
    look.check_untouched()
    # From a new place, a delete is looked at by somebody first.
    account.declare(p0=None)
    account.commit()
    held = account.reconcile(RunStatus.HELD)
    assert {hold.guard for hold in held.plan.holds} == {"source-changed"}
    account.converge_approved()
    look.check_spared(address("parameter", "p0"))
    account.check_at_rest()


def bag(namespace: str, name: str, value: str = "1", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}, **more}


def outcome_of(report: RunReport, name: str) -> Result:
    (found,) = [outcome.result for outcome in report.outcomes if outcome.address.name == name]
    return found


@pytest.mark.cluster
@pytest.mark.xdist_group("cluster")
def test_foreign_cloned_and_swapped_objects_of_a_cluster(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    place = f"/api/v1/namespaces/{namespace}/configmaps"

    def write(*bags: dict[str, Any]) -> SourceSpec:
        return write_stack(tmp_path / "shop", cluster.target("prod"), *map(yaml.safe_dump, bags))

    def live(name: str) -> Any:
        return cluster.request("GET", f"{place}/{name}")

    cluster.request("POST", place, bag(namespace, "foreign", "theirs"))
    foreign = live("foreign")
    with App(str(tmp_path / "store.db")) as app:
        source = write(*[bag(namespace, name) for name in ("a", "b", "c", "foreign")])
        for _ in range(2):
            report = app.reconcile(source)
            assert outcome_of(report, "foreign") is Result.FAILED
        assert live("foreign") == foreign

        # A clone, as `kubectl get -o yaml` and a new name make it.
        mine = live("a")
        kept = {key: mine["metadata"].get(key, {}) for key in ("labels", "annotations")}
        clone = bag(namespace, "clone")
        clone["metadata"] |= kept
        clone = cluster.request("POST", place, clone)
        write(*[bag(namespace, name) for name in ("b", "c")])
        assert app.reconcile(source).status is RunStatus.CONVERGED
        assert cluster.ask("GET", f"{place}/a")[0] == 404
        assert live("clone") == clone
        assert live("foreign") == foreign

        # Between plan and step somebody makes the object anew, marker and all.
        for wanted, result in (([bag(namespace, "c", "2")], "c"), ([bag(namespace, "b")], "c")):
            name = result
            write(bag(namespace, "b"), *[each for each in wanted if each["metadata"]["name"] != "b"])
            made: list[Any] = []

            def anew(plan: Plan, name: str = name, made: list[Any] = made) -> bool:
                body = live(name)
                cluster.request("DELETE", f"{place}/{name}")
                metadata = {key: body["metadata"].get(key, {}) for key in ("labels", "annotations")}
                again = bag(namespace, name, "theirs")
                again["metadata"] |= metadata
                made.append(cluster.request("POST", place, again))
                return True

            report = app.reconcile(source, confirm=anew)
            assert made, "nothing was to be done"
            assert outcome_of(report, name) is Result.FAILED
            assert live(name) == made[0]
            # As it was meant, for the next round.
            write(bag(namespace, "b"), bag(namespace, "c"))
            app.reconcile(source)


def test_foreign_and_cloned_files_of_a_host(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    state = tmp_path / "state"
    target = Target("here", "ssh", config={"connection": "local", "stateDir": str(state)})

    def file(name: str, content: str = "1", **more: Any) -> str:
        body = {"apiVersion": "ssh.trueup.dev/v1", "kind": "File", "metadata": {"name": name}, **more}
        return yaml.safe_dump({**body, "spec": {"path": str(live / name), "content": content}})

    def contents() -> dict[str, str]:
        return {path.name: path.read_text() for path in live.iterdir()}

    def look() -> tuple[object, ...]:
        """All of the file but when it was read."""
        seen = (live / "foreign").stat()
        lasting = (seen.st_ino, seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, seen.st_ctime_ns)
        return (*lasting, (live / "foreign").read_bytes())

    (live / "foreign").write_text("theirs")
    before = look()
    with App(str(tmp_path / "store.db")) as app:
        source = write_stack(tmp_path / "shop", target, *map(file, ("a", "b", "c", "foreign")))
        for _ in range(2):
            assert outcome_of(app.reconcile(source), "foreign") is Result.FAILED
        assert look() == before

        # An operator copies the file, and the note beside it for the copy.
        (live / "clone").write_text("1")
        (note,) = [each for each in (state / "owners").iterdir() if f'{live}/a"' in each.read_text()]
        copied = note.read_text().replace(f'{live}/a"', f'{live}/clone"')
        (state / "owners" / hashlib.sha256(f"{live}/clone".encode()).hexdigest()).write_text(copied)
        write_stack(tmp_path / "shop", target, *map(file, ("b", "c")))
        assert app.reconcile(source).status is RunStatus.CONVERGED
        assert contents() == {"b": "1", "c": "1", "clone": "1", "foreign": "theirs"}

        # Between plan and step the note is gone: it is nobody's file by now.
        for wanted in ([file("b"), file("c", "2")], [file("b")]):
            write_stack(tmp_path / "shop", target, *wanted)

            def disown(plan: Plan) -> bool:
                for each in (state / "owners").iterdir():
                    if f'{live}/c"' in each.read_text():
                        each.unlink()
                (live / "c").write_text("theirs")
                return True

            assert outcome_of(app.reconcile(source, confirm=disown), "c") is Result.FAILED
            assert contents()["c"] == "theirs"
            write_stack(tmp_path / "shop", target, file("b"), file("c", lifecycle={"adopt": True}))
            assert app.reconcile(source).status is RunStatus.CONVERGED
