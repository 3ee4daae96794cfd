"""A test kit for plugin authors; ``pytest`` finds its fixtures by itself once the SDK is installed."""

from gatewright_sdk.testing.clock import FakeClock
from gatewright_sdk.testing.context import FakeContext
from gatewright_sdk.testing.harness import FakeUpstream, Harness

__all__ = ["FakeClock", "FakeContext", "FakeUpstream", "Harness"]
