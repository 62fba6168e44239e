"""The contract suite: subclass `ProviderContract` in a provider's tests, and pytest runs every promise.

    class TestMyProvider(ProviderContract):
        cases = [Case("my.example.com/v1", "Thing", "a", {"spec": {"size": 1}}, {"spec": {"size": 2}})]

        @pytest.fixture
        def provider(self): return MyProvider()

        @pytest.fixture
        def target(self): return Target("test", "my", config={"url": ...})

What can be overridden stands in `hooks`, what is promised in the docstrings of the tests.
"""

from __future__ import annotations

from trueup.sdk.testing.case import Case
from trueup.sdk.testing.promises_failure import FailurePromises
from trueup.sdk.testing.promises_import import ImportPromises
from trueup.sdk.testing.promises_lifecycle import LifecyclePromises
from trueup.sdk.testing.promises_ownership import OwnershipPromises
from trueup.sdk.testing.promises_pure import PurePromises
from trueup.sdk.testing.rig import Rig, expect

__all__ = ["Case", "ProviderContract", "Rig", "expect"]


class ProviderContract(PurePromises, LifecyclePromises, OwnershipPromises, FailurePromises, ImportPromises):
    """Every promise of `trueup.sdk.contracts`, run against a provider and a real system."""
