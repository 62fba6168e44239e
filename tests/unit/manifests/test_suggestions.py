from __future__ import annotations

from trueup.manifests.suggestions import did_you_mean, suggest


def test_the_nearest_name_is_suggested_whatever_its_case():
    assert did_you_mean("modee", ["path", "mode"]) == 'did you mean "mode"?'
    assert did_you_mean("DEPENDSON", ["dependsOn"]) == 'did you mean "dependsOn"?'
    assert did_you_mean("zzz", ["mode"]) == ""


def test_where_none_is_near_all_are_listed_up_to_a_limit():
    assert suggest("zzz", ["b", "a"], "known") == "known: a, b"
    assert suggest("zzz", [], "known") == ""
    assert suggest("zzz", [f"n{i:02}" for i in range(30)], "known").endswith("n19, ...")
