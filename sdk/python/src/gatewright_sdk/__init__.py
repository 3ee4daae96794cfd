"""The contract between the gateway and its plugins: all that a plugin may import of Gatewright."""

from gatewright_sdk.config import Duration, PluginConfig, Size
from gatewright_sdk.context import Component, PluginContext
from gatewright_sdk.errors import (
    BadUpstreamResponse,
    BodyTooLarge,
    ClientDisconnected,
    ClientError,
    ConnectFailed,
    ConnectionLost,
    GatewayError,
    GatewrightError,
    HookError,
    NoTarget,
    Overloaded,
    PluginError,
    RequestTimeout,
    RouteNotFound,
    UpstreamError,
    UpstreamTimeout,
)
from gatewright_sdk.exchange import NO_ROUTE, ClientAddress, Exchange, Identity, RouteInfo, StateKey
from gatewright_sdk.filters import (
    HOOKS,
    ChunkResult,
    EndOfBody,
    EventResult,
    Filter,
    Phase,
    Plugin,
    PluginSpec,
    Retry,
    hookimpl,
    hookspec,
    implemented_hooks,
)
from gatewright_sdk.headers import Headers
from gatewright_sdk.message import Request, Response
from gatewright_sdk.sse import EventParser, EventStreamTooLong, ServerSentEvent

__version__ = "0.1.0"

__all__ = [
    "HOOKS", "NO_ROUTE", "BadUpstreamResponse", "BodyTooLarge", "ChunkResult", "ClientAddress",
    "ClientDisconnected", "ClientError", "Component", "ConnectFailed", "ConnectionLost", "Duration",
    "EndOfBody", "EventParser", "EventResult", "EventStreamTooLong", "Exchange", "Filter",
    "GatewayError", "GatewrightError", "Headers", "HookError", "Identity", "NoTarget", "Overloaded",
    "Phase", "Plugin", "PluginConfig", "PluginContext", "PluginError", "PluginSpec", "Request",
    "RequestTimeout", "Response", "Retry", "RouteInfo", "RouteNotFound", "ServerSentEvent", "Size",
    "StateKey", "UpstreamError", "UpstreamTimeout", "hookimpl", "hookspec", "implemented_hooks",
]  # fmt: skip
