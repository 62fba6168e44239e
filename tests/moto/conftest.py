"""The rig that the tests of this directory drive the kinds with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.moto.fixtures import Moto

from trueup.sdk.testing.rig import Rig
from trueup_aws.provider import AwsProvider


@pytest.fixture
def rig(moto: Moto) -> Iterator[Rig]:
    moto.reset()
    rig = Rig(AwsProvider(), moto.target(), patience=2.0)
    yield rig
    rig.close()
