from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from trueup_kubernetes.kinds.health import health_of

CASES = yaml.safe_load((Path(__file__).parent / "health_cases.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_health(case: dict[str, Any]) -> None:
    health = health_of(case["body"])
    assert health.readiness.value == case["is"], health.why
    assert case.get("why", "") in health.why
    assert bool(health.why) == (case["is"] != "ready")
