from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from tests.unit.cli import samples

from trueup.cli.run_json import run_document
from trueup.model.change import MISSING, FieldChange
from trueup.model.outcome import Result, RunStatus
from trueup.model.plan import Verdict
from trueup.model.values import UNKNOWN, Sensitive
from trueup.reconcile.plan_document import field_document, plan_document
from trueup.reconcile.report import RunReport

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def strict(schema: Any) -> Any:
    """The schema without room for keys that it does not describe."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(item) for key, item in schema.items()}
    if "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


def check(document: Any, name: str) -> None:
    schemas = {file.stem: strict(json.loads(file.read_text())) for file in SCHEMAS.glob("*.json")}
    registry = jsonschema_rs.Registry([(schema["$id"], schema) for schema in schemas.values()])
    validator = jsonschema_rs.validator_for(schemas[name], registry=registry)
    problems = [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(document)]
    assert problems == []


def test_a_plan_with_one_of_everything_is_as_its_schema_says() -> None:
    document = plan_document(samples.full_plan())
    check(json.loads(json.dumps(document)), "plan-v1")
    samples.check_snapshot("plan.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def test_the_schema_refuses_what_is_no_plan() -> None:
    document = plan_document(samples.full_plan())
    document["changes"][0]["action"] = "explode"
    with pytest.raises(AssertionError):
        check(document, "plan-v1")


def test_a_run_is_as_its_schema_says() -> None:
    outcomes = (
        samples.outcome(samples.created(), Result.CREATED),
        samples.outcome(samples.updated(), Result.FAILED, "not done after 12 s", "look at the pods"),
    )
    report = RunReport(
        samples.full_plan(), RunStatus.INTERRUPTED, outcomes, 3.2, 7, (samples.deleted().address,)
    )
    document = run_document(report)
    check(json.loads(json.dumps(document)), "run-v1")
    assert document["left"] == ["shop/AWS::S3::Bucket/old@eu"]
    assert (document["counts"]["created"], document["counts"]["failed"]) == (1, 1)


def test_a_run_that_did_not_begin_has_no_id() -> None:
    document = run_document(RunReport(samples.full_plan(), RunStatus.HELD))
    check(json.loads(json.dumps(document)), "run-v1")
    assert document["run"] is None


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (FieldChange("/a", MISSING, None), {"to": None, "sensitive": False}),
        (FieldChange("/a", None, MISSING), {"from": None, "sensitive": False}),
        (FieldChange("/a", 1, UNKNOWN), {"from": 1, "sensitive": False, "toUnknown": True}),
        (
            FieldChange("/a", MISSING, {"b": UNKNOWN, "c": 2}),
            {"to": {"b": None, "c": 2}, "sensitive": False, "toUnknown": True},
        ),
        (
            FieldChange("/a", Sensitive("x"), Sensitive("y"), sensitive=True),
            {"from": None, "to": None, "sensitive": True},
        ),
        (FieldChange("/a", MISSING, "plain", sensitive=True), {"to": None, "sensitive": True}),
        (
            FieldChange("/a", 1, [Sensitive("y")], immutable=True),
            {"from": 1, "to": [None], "sensitive": True, "immutable": True},
        ),
    ],
)
def test_missing_unknown_and_sensitive_values_cannot_be_confused(
    field: FieldChange, expected: dict[str, Any]
) -> None:
    assert field_document(field) == {"path": "/a", **expected}


def test_what_people_and_policies_say_is_as_the_schema_says() -> None:
    said = samples.decision(Verdict.REJECTED, "not on a Friday")
    plan = replace(
        samples.full_plan(),
        decision=said,
        stale_approval=said,
        rewritten_from="a" * 40,
        breaches=samples.breaches(),
    )
    document = json.loads(json.dumps(plan_document(plan)))
    check(document, "plan-v1")
    assert document["decision"]["who"] == document["staleApproval"]["who"] == "bo@web"
    assert [each["enforce"] for each in document["verdicts"]] == ["deny", "warn"]
