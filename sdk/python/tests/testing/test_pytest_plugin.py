"""What a plugin author's tests get without importing anything."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from gatewright_sdk.testing import pytest_plugin

pytest_plugins = ["pytester"]

AUTHORS_TEST = """
import asyncio

from gatewright_sdk import Filter, Plugin, PluginConfig, Response
from gatewright_sdk.testing import FakeClock, FakeUpstream


class StampConfig(PluginConfig):
    value: str


class Stamp(Filter[StampConfig]):
    def on_response(self, exchange):
        exchange.response.headers.set("X-Stamp", self.config.value)


plugin = Plugin("stamp", filter=Stamp)


def test_stamp(harness_of, clock, upstream):
    assert isinstance(clock, FakeClock) and isinstance(upstream, FakeUpstream)
    harness = harness_of(plugin, {"value": "x"})
    assert harness.clock is clock and harness.upstream is upstream
    clock.advance(5)
    exchange = asyncio.run(harness.send())
    assert exchange.response.headers["x-stamp"] == "x"
    assert exchange.received_at == clock.monotonic()
    assert len(upstream.requests) == 1


def test_fresh(clock, upstream):
    assert clock.monotonic() == FakeClock().monotonic()
    assert upstream.requests == []
"""


def test_the_fixtures_in_an_authors_test(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    pytester.makepyfile(AUTHORS_TEST)
    is_found = pytestconfig.pluginmanager.hasplugin("gatewright")
    options = () if is_found else ("-p", "gatewright_sdk.testing.pytest_plugin")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)
    result.assert_outcomes(passed=2)


def test_the_distribution_names_them_as_a_pytest_plugin() -> None:
    document = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert document["project"]["entry-points"]["pytest11"] == {"gatewright": pytest_plugin.__name__}
