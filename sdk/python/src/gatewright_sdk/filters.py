"""The typed hooks, and the object that a plugin package offers to the gateway."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

import pluggy

from gatewright_sdk.config import PluginConfig
from gatewright_sdk.context import Component, PluginContext
from gatewright_sdk.errors import GatewayError, PluginError
from gatewright_sdk.exchange import Exchange
from gatewright_sdk.message import Response
from gatewright_sdk.sse import ServerSentEvent

C = TypeVar("C", bound=PluginConfig)

OnFailure = Literal["open", "closed"]

_PLUGIN_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class Phase(enum.IntEnum):
    """When in the request a filter runs. Response hooks run in the reverse order."""

    EDGE = 1
    IDENTIFY = 2
    AUTHORIZE = 3
    LIMIT = 4
    TRANSFORM = 5
    ROUTE = 6
    UPSTREAM = 7


class EndOfBody(bytes):
    """The end of a body, as a chunk hook sees it and as it may cause it.

    A chunk hook is called once with an empty ``EndOfBody`` after the last chunk, so that a codec can
    flush what it holds. A chunk hook that returns ``EndOfBody(data)`` sends ``data`` as the last
    bytes and ends the body there; the rest of the sender's body is discarded.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """Returned by ``on_error``: send the request again.

    The gateway does so if no byte of a response has gone out and the body can be sent again;
    otherwise the answer is as if the hook had returned None.
    """

    #: seconds to wait first
    after: float = 0.0


ChunkResult = None | bytes | Iterable[bytes]
EventResult = None | ServerSentEvent | Iterable[ServerSentEvent]


class Filter(Generic[C]):
    """A feature on a request's way: one class, one config model.

    The gateway makes one instance for each attachment, that is each place in the manifest that
    names the plugin: globally, at a service or at a route. An instance serves many exchanges at a
    time, so what belongs to one exchange goes into a ``StateKey``.

    Each hook may be a plain function or a coroutine function. Plain ones are faster. A filter
    defines the hooks that it needs; the others cost nothing. The smallest complete plugin::

        class StampConfig(PluginConfig):
            value: str = Field(description="What the header says.")

        class Stamp(Filter[StampConfig]):
            phase = Phase.TRANSFORM

            def on_response(self, exchange: Exchange) -> None:
                exchange.response.headers.set("X-Stamp", self.config.value)

        plugin = Plugin("stamp", filter=Stamp)

    with ``[project.entry-points.gatewright] stamp = "my_package:plugin"`` in its pyproject.toml.
    """

    #: Where in the order the filter stands.
    phase: ClassVar[Phase] = Phase.TRANSFORM
    #: Names of plugins of the same phase that run earlier in the request, if they are there.
    after: ClassVar[tuple[str, ...]] = ()
    #: Names of plugins of the same phase that run later in the request, if they are there.
    before: ClassVar[tuple[str, ...]] = ()
    #: What happens to the request when a hook raises, unless the attachment says otherwise:
    #: ``closed`` answers 500, ``open`` goes on as if the hook were not there.
    on_failure: ClassVar[OnFailure] = "closed"
    #: The config model; taken from ``Filter[...]``.
    config_model: ClassVar[type[PluginConfig]] = PluginConfig

    def __init__(self, config: C) -> None:
        """Keep the config. No I/O here: it belongs in ``start``."""
        self.config = config

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "config_model" in cls.__dict__:
            return
        # Only the class's own bases: those of its parents have been seen when they were made.
        for parent in cls.__dict__.get("__orig_bases__", ()):
            if isinstance(get_origin(parent), type) and issubclass(get_origin(parent), Filter):
                models = [one for one in get_args(parent) if isinstance(one, type) and issubclass(one, PluginConfig)]
                if models:
                    cls.config_model = models[0]

    def hooks(self) -> tuple[str, ...]:
        """The names of the hooks that this instance needs.

        All that the class defines, unless a subclass leaves out those that its config does not need.
        """
        return implemented_hooks(type(self))

    def start(self, context: PluginContext) -> Awaitable[None] | None:
        """Called once in a worker before the first exchange; may open files, connections, tasks."""

    def stop(self) -> Awaitable[None] | None:
        """Called once, after the last exchange of this attachment has ended."""

    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """The request head is in and the route is known.

        Return None to go on, or a ``Response`` to answer; then no later request hook runs and the
        upstream is not called, but the route's response hooks do run.
        """

    def on_request_chunk(self, exchange: Exchange, chunk: bytes) -> ChunkResult | Awaitable[ChunkResult]:
        """Bytes of the request body pass; the last call gets an empty ``EndOfBody``.

        Return None to let the chunk pass, bytes to send instead (empty: drop it), an iterable of
        bytes to split it, or ``EndOfBody(data)`` to end the body.
        """

    def on_response(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """The head of a response, the upstream's or the gateway's own, is ready.

        Change ``exchange.response`` in place, or return another ``Response`` to replace it; the
        response hooks that are still to come then see that one.
        """

    def on_response_chunk(self, exchange: Exchange, chunk: bytes) -> ChunkResult | Awaitable[ChunkResult]:
        """Bytes of the response body pass; as ``on_request_chunk``.

        A chunk may come from a body that is there whole, too; then there is one.
        """

    def on_response_event(self, exchange: Exchange, event: ServerSentEvent) -> EventResult | Awaitable[EventResult]:
        """A whole event of a ``text/event-stream`` response passes.

        Return None to let it pass, an event to send instead, or an iterable of events (empty: drop).
        """

    def on_error(
        self, exchange: Exchange, error: GatewayError
    ) -> Response | Retry | Awaitable[Response | Retry | None] | None:
        """Something failed before a response head went out: a hook, the pool, the upstream.

        Return a ``Response`` to answer with it, ``Retry()`` to ask for another attempt, or None to
        leave it to the next filter and at last to the gateway's own problem document.
        """

    def on_complete(self, exchange: Exchange) -> Awaitable[None] | None:
        """The last byte went out or the client left. Observe only; runs off the client's path."""


#: Every hook, in the order in which an exchange meets them.
HOOKS = (
    "on_request", "on_request_chunk", "on_response", "on_response_chunk", "on_response_event",
    "on_error", "on_complete",
)  # fmt: skip


def implemented_hooks(kind: type[Filter[Any]]) -> tuple[str, ...]:
    """The hooks that a filter class defines."""
    return tuple(name for name in HOOKS if getattr(kind, name) is not getattr(Filter, name))


hookspec = pluggy.HookspecMarker("gatewright")
hookimpl = pluggy.HookimplMarker("gatewright")


class PluginSpec:
    """The pluggy contract, used while plugins are loaded and never while requests run."""

    @hookspec
    def gatewright_plugins(self) -> Iterable[Plugin]:  # type: ignore[empty-body]
        """The plugins that a package offers. A ``Plugin`` object implements it for itself."""


class Plugin:
    """What the entry point in group ``gatewright`` names. Its version is its distribution's.

    Args:
        name: as in the manifest: lower case, words joined by ``-``, equal to the entry point's name.
        filter: the class that is attached to routes.
        supervisor: a component that runs once beside the control plane, such as a scrape endpoint.
        settings: the model of the plugin-wide ``settings`` in the manifest, given to both.

    Raises:
        PluginError: the parts do not fit together.
    """

    def __init__(
        self,
        name: str,
        *,
        filter: type[Filter[Any]] | None = None,
        supervisor: type[Component] | None = None,
        settings: type[PluginConfig] = PluginConfig,
    ) -> None:
        if filter is not None and not (inspect.isclass(filter) and issubclass(filter, Filter)):
            raise PluginError(f"plugin {name!r}: filter must be a subclass of Filter, not {filter!r}")
        if not _PLUGIN_NAME.fullmatch(name):
            raise PluginError(f"plugin {name!r}: a name is lower case, with - between words")
        if not (inspect.isclass(settings) and issubclass(settings, PluginConfig)):
            raise PluginError(f"plugin {name!r}: settings must be a subclass of PluginConfig, not {settings!r}")
        self.name = name
        self.filter = filter
        self.supervisor = supervisor
        self.settings = settings

    @hookimpl
    def gatewright_plugins(self) -> Iterable[Plugin]:
        return (self,)

    def __repr__(self) -> str:
        return f"Plugin({self.name!r})"
