"""Fixtures for plugin authors: ``clock``, ``upstream`` and ``harness_of``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gatewright_sdk.filters import Plugin
from gatewright_sdk.testing.clock import FakeClock
from gatewright_sdk.testing.harness import FakeUpstream, Harness


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()


@pytest.fixture
def upstream() -> FakeUpstream:
    """An upstream that answers 200 with a short text."""
    return FakeUpstream()


@pytest.fixture
def harness_of(clock: FakeClock, upstream: FakeUpstream) -> Callable[..., Harness]:
    """``harness_of(plugin, config)``: a harness on this test's clock and upstream."""

    def make(plugin: Plugin, config: dict[str, Any] | None = None) -> Harness:
        return Harness.of(plugin, config, upstream=upstream, clock=clock)

    return make
