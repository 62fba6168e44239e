"""Triggers: who is refreshed after whom, that it is owed until it is done, and that it then comes to rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from trueup.cli.plan_markdown import render_markdown
from trueup.cli.plan_text import WaysOut, render_plan
from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.reconcile.plan_document import plan_document
from trueup.reconcile.report import RunReport, Selection
from trueup.sdk.testing.memory_world import Fault

if TYPE_CHECKING:
    from tests.unit.reconcile.conftest import Loop

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"
TRIGGERED = {"triggers": ["Thing/site"]}


def results(report: RunReport) -> dict[str, str]:
    return {outcome.address.name: outcome.result.value for outcome in report.outcomes}


def refreshes(loop: Loop, name: str = "web") -> int:
    entry = loop.world.peek(f"Runner/{name}")
    assert entry is not None
    count: int = entry.get("refreshes", 0)
    return count


def expect_rest(loop: Loop) -> None:
    writes, records = loop.world.count_writes(), loop.records()
    report = loop.run()
    assert report.status is RunStatus.CONVERGED
    assert set(results(report).values()) <= {"unchanged", "skipped"}
    assert loop.world.count_writes() == writes
    assert loop.records() == records
    assert not loop.app.store.open_intents("shop")


def declare_web(loop: Loop, name: str = "web", size: int = 1, **lifecycle: Any) -> None:
    loop.declare(name, {"size": size}, kind="Runner", lifecycle={**TRIGGERED, **lifecycle})


@pytest.fixture
def site(loop: Loop) -> Loop:
    """A Thing/site and a Runner/web that it triggers, both there."""
    loop.declare("site", {"size": 1})
    declare_web(loop)
    assert results(loop.run()) == {"site": "created", "web": "created"}
    assert refreshes(loop) == 0
    expect_rest(loop)
    return loop


def test_a_changed_source_refreshes_what_it_triggers_once(site: Loop) -> None:
    site.declare("site", {"size": 2})
    change = site.plan().changes[1]
    assert (change.action, change.fields, change.reasons) == (Action.UPDATE, (), ("Thing/site changes",))
    assert [address.text for address in change.triggered_by] == ["shop/Thing/site@here"]
    assert results(site.run()) == {"site": "updated", "web": "updated"}
    assert [call.verb for call in site.world.calls() if call.is_write][-2:] == ["update", "refresh"]
    assert refreshes(site) == 1
    expect_rest(site)
    assert refreshes(site) == 1


def test_drift_of_the_source_refreshes_when_it_is_corrected(site: Loop) -> None:
    site.edit("Thing/site", size=9)
    assert results(site.run()) == {"site": "updated", "web": "updated"}
    assert refreshes(site) == 1
    expect_rest(site)


def test_a_source_that_is_replaced_or_made_again_refreshes(site: Loop) -> None:
    site.declare("site", {"size": 1, "zone": "a"})
    site.run()
    site.declare("site", {"size": 1, "zone": "b"})
    assert results(site.run()) == {"site": "replaced", "web": "updated"}
    site.world.put("Thing/site", None)
    assert results(site.run()) == {"site": "created", "web": "updated"}
    assert refreshes(site) == 3
    expect_rest(site)


def test_a_change_of_the_node_itself_comes_with_the_refresh(site: Loop) -> None:
    site.declare("site", {"size": 2})
    declare_web(site, size=5)
    change = site.plan().changes[1]
    assert [field.path for field in change.fields] == ["/spec/size"]
    assert change.reasons == ("the manifest changed", "Thing/site changes")
    site.run()
    assert (refreshes(site), site.spec("Runner/web")["size"]) == (1, 5)
    expect_rest(site)


def test_a_change_of_the_node_alone_is_no_refresh(site: Loop) -> None:
    declare_web(site, size=5)
    assert results(site.run()) == {"site": "unchanged", "web": "updated"}
    assert refreshes(site) == 0


def test_what_is_created_or_replaced_needs_no_refresh(site: Loop) -> None:
    site.declare("site", {"size": 2})
    site.declare("web", {"zone": "a"}, kind="Runner", lifecycle=TRIGGERED)
    site.run()
    site.declare("site", {"size": 3})
    site.declare("web", {"zone": "b"}, kind="Runner", lifecycle=TRIGGERED)
    declare_web(site, "second")
    before = [call.verb for call in site.world.calls()].count("refresh")
    assert results(site.run()) == {"site": "updated", "web": "replaced", "second": "created"}
    assert [call.verb for call in site.world.calls()].count("refresh") == before
    expect_rest(site)


def test_a_new_trigger_takes_what_is_there_as_seen(loop: Loop) -> None:
    loop.declare("site", {"size": 1})
    loop.declare("web", {"size": 1}, kind="Runner")
    loop.run()
    declare_web(loop)
    assert results(loop.run()) == {"site": "unchanged", "web": "unchanged"}
    assert refreshes(loop) == 0
    loop.declare("site", {"size": 2})
    loop.run()
    assert refreshes(loop) == 1
    expect_rest(loop)


def test_a_new_trigger_whose_source_is_written_in_the_same_run_refreshes(loop: Loop) -> None:
    loop.declare("web", {"size": 1}, kind="Runner")
    loop.run()
    loop.declare("site", {"size": 1})
    declare_web(loop)
    assert results(loop.run()) == {"site": "created", "web": "updated"}
    assert refreshes(loop) == 1
    expect_rest(loop)


def test_an_adopted_node_is_refreshed_after_a_source_that_was_written(loop: Loop) -> None:
    entry = {"id": "x", "version": 1, "owner": None, "spec": {"size": 1}}
    loop.world.put("Runner/web", entry)
    loop.declare("site", {"size": 1})
    declare_web(loop, adopt=True)
    change = loop.plan().changes[1]
    assert (change.action, len(change.triggered_by)) == (Action.ADOPT, 1)
    assert results(loop.run()) == {"site": "created", "web": "adopted"}
    assert refreshes(loop) == 1
    expect_rest(loop)


def test_a_failed_refresh_is_owed(site: Loop) -> None:
    site.declare("site", {"size": 2})
    site.world.inject(Fault("refresh", "Invalid", times=2))
    report = site.run()
    assert report.status is RunStatus.FAILED
    assert results(report) == {"site": "updated", "web": "failed"}
    change = site.plan().changes[1]
    assert (change.action, change.reasons) == (Action.UPDATE, ("Thing/site has changed",))
    assert results(site.run()) == {"site": "unchanged", "web": "failed"}
    assert results(site.run()) == {"site": "unchanged", "web": "updated"}
    assert refreshes(site) == 1
    expect_rest(site)


def test_a_refresh_is_owed_after_corrected_drift_although_the_manifest_is_as_before(site: Loop) -> None:
    site.edit("Thing/site", size=9)
    site.world.inject(Fault("refresh", "Invalid"))
    assert results(site.run()) == {"site": "updated", "web": "failed"}
    assert results(site.run()) == {"site": "unchanged", "web": "updated"}
    assert refreshes(site) == 1
    expect_rest(site)


def test_a_failed_source_keeps_the_refresh_owed(site: Loop) -> None:
    site.edit("Thing/site", size=9)
    # The call took effect, and its answer was a lie: nobody may rely on it that nothing happened.
    site.world.inject(Fault("update", "Invalid", "after"))
    assert results(site.run()) == {"site": "failed", "web": "blocked"}
    assert results(site.run()) == {"site": "unchanged", "web": "updated"}
    assert refreshes(site) == 1
    expect_rest(site)


def test_a_refreshed_object_that_does_not_get_ready_is_not_restarted_again_and_again(site: Loop) -> None:
    entry = site.world.peek("Runner/web")
    site.declare("site", {"size": 2})
    declare_web(site, timeout="1s")
    site.world.put("Runner/web", {**(entry or {}), "pending": 1})
    assert results(site.run()) == {"site": "updated", "web": "failed"}
    assert results(site.run()) == {"site": "unchanged", "web": "failed"}
    assert refreshes(site) == 1
    site.world.put("Runner/web", {**(site.world.peek("Runner/web") or {}), "pending": 0})
    assert results(site.run()) == {"site": "unchanged", "web": "unchanged"}
    assert refreshes(site) == 1
    expect_rest(site)


def test_a_lost_answer_is_repeated(site: Loop) -> None:
    site.declare("site", {"size": 2})
    site.world.inject(Fault("refresh", "Transient", "after"))
    assert results(site.run()) == {"site": "updated", "web": "updated"}
    assert refreshes(site) == 2
    expect_rest(site)


def test_a_source_that_another_source_triggers_passes_it_on(site: Loop) -> None:
    site.declare("next", {"size": 1}, kind="Runner", lifecycle={"triggers": ["Runner/web"]})
    site.run()
    site.declare("site", {"size": 2})
    assert results(site.run()) == {"site": "updated", "web": "updated", "next": "updated"}
    assert (refreshes(site), refreshes(site, "next")) == (1, 1)
    expect_rest(site)


def test_one_refresh_answers_many_sources(site: Loop) -> None:
    site.declare("cert", {"size": 1})
    declare_web(site, triggers=["Thing/site", "Thing/cert"])
    site.run()
    refreshed = refreshes(site)
    for name in ("site", "cert"):
        site.declare(name, {"size": 7})
    change = next(change for change in site.plan().changes if change.address.name == "web")
    assert change.reasons == ("Thing/site changes", "Thing/cert changes")
    site.run()
    assert refreshes(site) == refreshed + 1
    expect_rest(site)


def test_a_value_that_is_known_late_refreshes(loop: Loop) -> None:
    loop.declare("base", {"zone": "a"})
    loop.declare("site", {"value": "${{ ref('Thing/base').status.id }}"})
    declare_web(loop)
    loop.run()
    expect_rest(loop)
    loop.declare("base", {"zone": "b"})
    plan = {change.address.name: change for change in loop.plan().changes}
    assert len(plan["web"].triggered_by) == 1
    assert results(loop.run()) == {"base": "replaced", "site": "updated", "web": "updated"}
    assert refreshes(loop) == 1
    expect_rest(loop)


def test_a_source_that_turns_out_to_be_as_it_was_refreshes_nothing(loop: Loop) -> None:
    loop.declare("base", {"size": 1})
    loop.declare("site", {"value": "${{ ref('Thing/base').status.phase }}"})
    declare_web(loop)
    loop.run()
    # It is made again and is in the same phase afterwards, which the plan could not know.
    loop.world.put("Thing/base", None)
    planned = {change.address.name: change.action for change in loop.plan().changes}
    assert (planned["site"], planned["web"]) == (Action.UPDATE, Action.UPDATE)
    assert results(loop.run()) == {"base": "created", "site": "unchanged", "web": "unchanged"}
    assert refreshes(loop) == 0
    expect_rest(loop)


def test_reported_drift_stops_no_trigger_and_stays(site: Loop) -> None:
    declare_web(site, drift="report")
    site.run()
    site.edit("Runner/web", size=8)
    site.declare("site", {"size": 2})
    change = site.plan().changes[1]
    assert (change.action, change.fields) == (Action.UPDATE, ())
    assert results(site.run()) == {"site": "updated", "web": "updated"}
    assert (refreshes(site), site.spec("Runner/web")["size"]) == (1, 8)
    assert results(site.run()) == {"site": "unchanged", "web": "skipped"}
    expect_rest(site)


def test_drift_of_a_source_that_is_only_reported_refreshes_nothing(site: Loop) -> None:
    site.declare("site", {"size": 1}, lifecycle={"drift": "report"})
    site.run()
    site.edit("Thing/site", size=9)
    assert results(site.run()) == {"site": "skipped", "web": "unchanged"}
    assert refreshes(site) == 0


def test_a_part_of_the_stack_leaves_the_debt_to_the_rest(site: Loop) -> None:
    site.declare("site", {"size": 2})
    site.run(Selection(only=("Thing/site",)))
    assert refreshes(site) == 0
    assert site.records()["web"].triggers == {"shop/Thing/site@here": ""}
    assert results(site.run()) == {"site": "unchanged", "web": "updated"}
    assert refreshes(site) == 1
    expect_rest(site)


def test_a_trigger_that_is_taken_away_owes_nothing(site: Loop) -> None:
    site.declare("site", {"size": 2})
    site.run(Selection(only=("Thing/site",)))
    site.declare("web", {"size": 1}, kind="Runner")
    assert results(site.run()) == {"site": "unchanged", "web": "unchanged"}
    assert site.records()["web"].triggers == {}
    expect_rest(site)


def test_a_debt_outlives_the_name_of_its_source(site: Loop) -> None:
    site.declare("page", {"size": 1})
    site.run()
    site.edit("Thing/site", size=9)
    site.world.inject(Fault("refresh", "Invalid"))
    site.run()
    declare_web(site, triggers=["Thing/page"])
    assert results(site.run()) == {"site": "unchanged", "page": "unchanged", "web": "updated"}
    assert refreshes(site) == 1
    expect_rest(site)


def test_a_node_that_moves_takes_its_debt_along(site: Loop) -> None:
    site.edit("Thing/site", size=9)
    site.world.inject(Fault("refresh", "Invalid"))
    assert results(site.run()) == {"site": "updated", "web": "failed"}
    # The same object, which another resource names by now.
    entry = site.world.peek("Runner/web")
    site.undeclare("web", "Runner")
    site.world.put("Runner/web", None)
    site.world.put("Runner/server", entry)
    declare_web(site, "server", movedFrom=["Runner/web"])
    change = next(change for change in site.plan().changes if change.address.name == "server")
    assert change.triggered_by
    report = site.run()
    assert report.status is RunStatus.CONVERGED
    assert refreshes(site, "server") == 1
    expect_rest(site)


def test_the_refresh_counts_in_every_form_of_the_plan(site: Loop) -> None:
    quiet = site.plan().digest
    site.declare("site", {"size": 2})
    plan = site.plan()
    web = plan_document(plan)["changes"][1]
    assert web["triggeredBy"] == ["shop/Thing/site@here"]
    assert (web["action"], web["fields"], web["reasons"]) == ("update", [], ["Thing/site changes"])
    jsonschema_rs.validate(json.loads((SCHEMAS / "plan-v1.json").read_text()), plan_document(plan))
    text = "\n".join(line.plain for line in render_plan(plan))
    assert "shop/Runner/web@here  update: Thing/site changes" in text
    assert "Thing/site changes" in render_markdown(plan, WaysOut("", "", ""))
    site.run(Selection(only=("Thing/site",)))
    assert site.plan().digest != quiet


def test_a_kind_that_cannot_be_refreshed_has_no_triggers(loop: Loop) -> None:
    from trueup.errors import ManifestError

    loop.declare("site", {"size": 1})
    loop.declare("plain", {"size": 1}, lifecycle=TRIGGERED)
    with pytest.raises(ManifestError, match="cannot be restarted or reloaded"):
        loop.plan()


def test_what_is_gone_and_is_only_reported_is_not_refreshed(site: Loop) -> None:
    declare_web(site, drift="report")
    site.run()
    site.world.put("Runner/web", None)
    site.declare("site", {"size": 2})
    writes = site.world.count_writes()
    assert results(site.run()) == {"site": "updated", "web": "skipped"}
    assert site.world.count_writes() == writes + 1
    assert site.world.peek("Runner/web") is None
    expect_rest(site)


def test_what_is_gone_and_is_only_reported_does_not_fail_with_what_it_refers_to(loop: Loop) -> None:
    loop.declare("site", {"size": 1})
    loop.declare("user", {"value": '${{ ref("Thing/site").spec.size }}'}, lifecycle={"drift": "report"})
    loop.run()
    loop.world.put("Thing/user", None)
    loop.declare("site", {"size": 2})
    assert results(loop.run()) == {"site": "updated", "user": "skipped"}


def test_a_refresh_while_an_object_is_taken_over_triggers_others_as_well(site: Loop) -> None:
    site.declare("proxy", {"size": 1}, kind="Runner", lifecycle={"triggers": ["Runner/web"]})
    site.run()
    entry = site.world.peek("Runner/web")
    assert entry is not None
    site.world.put("Runner/web", {**entry, "owner": None})
    site.declare("site", {"size": 2})
    assert results(site.run()) == {"site": "updated", "web": "adopted", "proxy": "updated"}
    assert (refreshes(site), refreshes(site, "proxy")) == (1, 1)
    expect_rest(site)
