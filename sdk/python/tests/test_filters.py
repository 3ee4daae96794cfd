"""What a plugin package offers: hooks found, config models resolved, parts checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pluggy
import pytest

from gatewright_sdk import (
    HOOKS,
    EndOfBody,
    Exchange,
    Filter,
    Phase,
    Plugin,
    PluginConfig,
    PluginError,
    PluginSpec,
    implemented_hooks,
)


class FirstConfig(PluginConfig):
    first: int = 1


class SecondConfig(FirstConfig):
    second: int = 2


C = TypeVar("C", bound=FirstConfig)
T = TypeVar("T")


class Bare(Filter[PluginConfig]):
    pass


class Direct(Filter[FirstConfig]):
    def on_request(self, exchange: Exchange) -> None: ...


class Child(Direct):
    def on_complete(self, exchange: Exchange) -> None: ...


class Explicit(Filter[FirstConfig]):
    config_model = SecondConfig


class ExplicitChild(Direct):
    config_model = SecondConfig


class GrandChild(ExplicitChild):
    pass


class Open(Filter[C]):
    def on_response(self, exchange: Exchange) -> None: ...


class Closed(Open[SecondConfig]):
    pass


class TwoParameters(Filter[C], Generic[C, T]):
    pass


class TwoArguments(TwoParameters[SecondConfig, str]):
    pass


class Hooks:
    async def on_request_chunk(self, exchange: Exchange, chunk: bytes) -> None: ...


class Mixed(Hooks, Direct):
    pass


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        (Bare, PluginConfig),
        (Direct, FirstConfig),
        (Child, FirstConfig),
        (Explicit, SecondConfig),
        (ExplicitChild, SecondConfig),
        (GrandChild, SecondConfig),
        (Open, PluginConfig),
        (Closed, SecondConfig),
        (TwoArguments, SecondConfig),
        (Mixed, FirstConfig),
    ],
)
def test_the_config_model_is_that_of_the_nearest_class_that_says_so(
    kind: type[Filter[Any]], model: type[PluginConfig]
) -> None:
    assert kind.config_model is model


@pytest.mark.parametrize(
    ("kind", "hooks"),
    [
        (Filter, ()),
        (Bare, ()),
        (Direct, ("on_request",)),
        (Child, ("on_request", "on_complete")),
        (Closed, ("on_response",)),
        (Mixed, ("on_request", "on_request_chunk")),
    ],
)
def test_hooks_are_those_that_the_class_or_a_parent_defines(kind: type[Filter[Any]], hooks: tuple[str, ...]) -> None:
    assert implemented_hooks(kind) == hooks
    assert kind(kind.config_model()).hooks() == hooks


def test_a_filter_that_defines_every_hook_has_every_hook() -> None:
    every = type("Every", (Filter,), {name: lambda self, *arguments: None for name in HOOKS})
    assert implemented_hooks(every) == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_described_and_does_nothing_by_default(hook: str) -> None:
    assert getattr(Filter, hook).__doc__
    arguments = (None,) if hook in ("on_request", "on_response", "on_complete") else (None, b"")
    assert getattr(Bare(PluginConfig()), hook)(*arguments) is None


def test_defaults_of_a_filter() -> None:
    filter = Direct(FirstConfig(first=5))
    assert filter.config.first == 5
    assert (filter.phase, filter.after, filter.before, filter.on_failure) == (Phase.TRANSFORM, (), (), "closed")


def test_phases_are_in_the_order_of_a_request() -> None:
    names = ["EDGE", "IDENTIFY", "AUTHORIZE", "LIMIT", "TRANSFORM", "ROUTE", "UPSTREAM"]
    assert [phase.name for phase in sorted(Phase)] == names


def test_the_end_of_a_body_is_bytes() -> None:
    assert EndOfBody() == b""
    assert EndOfBody(b"x") == b"x"
    assert isinstance(EndOfBody(b"x"), bytes)


class Endpoint:
    """A supervisor component."""

    def __init__(self, settings: Any) -> None: ...

    async def start(self, context: Any) -> None: ...

    async def stop(self) -> None: ...


@pytest.mark.parametrize("name", ["cors", "rate-limit", "s3", "oauth2-proxy", "4xx"])
def test_names_of_plugins(name: str) -> None:
    plugin = Plugin(name, filter=Direct, supervisor=Endpoint, settings=FirstConfig)
    assert (plugin.name, plugin.filter, plugin.supervisor, plugin.settings) == (name, Direct, Endpoint, FirstConfig)
    assert repr(plugin) == f"Plugin({name!r})"


@pytest.mark.parametrize(
    "name", ["", "Cors", "rate_limit", "a b", "-a", "a-", "a--b", "../a", "a/b", "a.b", "a\n", "ä"]
)
def test_what_is_no_name_of_a_plugin(name: str) -> None:
    with pytest.raises(PluginError, match="a name is lower case"):
        Plugin(name)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Plugin("a", filter=Direct(FirstConfig())), "filter must be a subclass of Filter"),
        (lambda: Plugin("a", filter=PluginConfig), "filter must be a subclass of Filter"),
        (lambda: Plugin("a", settings=FirstConfig()), "settings must be a subclass of PluginConfig"),
        (lambda: Plugin("a", settings=dict), "settings must be a subclass of PluginConfig"),
    ],
)
def test_parts_that_do_not_fit(make: Callable[[], Plugin], complaint: str) -> None:
    with pytest.raises(PluginError, match=complaint):
        make()


def test_a_plugin_registers_itself_through_pluggy() -> None:
    manager = pluggy.PluginManager("gatewright")
    manager.add_hookspecs(PluginSpec)
    offered = [Plugin("a"), Plugin("b")]
    for plugin in offered:
        manager.register(plugin)
    manager.check_pending()
    found = [plugin for plugins in manager.hook.gatewright_plugins() for plugin in plugins]
    assert sorted(found, key=lambda plugin: plugin.name) == offered
