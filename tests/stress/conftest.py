"""The parent of the runs that the tests of this directory kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.stress.forking import Runs


@pytest.fixture(scope="session")
def runs() -> Iterator[Runs]:
    with Runs() as runs:
        yield runs
