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
