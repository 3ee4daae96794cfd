"""A route's filters, flattened: one tuple of bound methods per hook, absent hooks absent.

A chain knows neither sockets nor pools. Its methods are plain functions that run plain hooks
inline. Where a hook returns an awaitable they return one too, which finishes the rest; nothing has
become a task until the caller makes one of it.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from gatewright.config.models import Attachment
from gatewright.errors import drop_tracebacks
from gatewright.events import Event, HookFailed
from gatewright.pipeline.order import Placed
from gatewright_sdk import (
    EndOfBody,
    EventParser,
    Exchange,
    Filter,
    GatewayError,
    HookError,
    PluginConfig,
    Response,
    Retry,
    ServerSentEvent,
)

Hook = Callable[[Exchange], Any]
ErrorHook = Callable[[Exchange, GatewayError], Any]
ChunkHook = Callable[[Exchange, bytes], Any]
Emit = Callable[[Event], None]

_END = EndOfBody()


class Loaded(Protocol):
    """As much of a loaded plugin as a pipeline knows."""

    @property
    def version(self) -> str: ...
    @property
    def settings(self) -> PluginConfig: ...


class Attached:
    """A filter instance in its place. One exists for each place in the manifest that names a plugin.

    Attributes:
        origin: that place: ``global``, ``service:NAME`` or ``route:NAME``.
        is_open: a hook that raises is skipped.
        hooks: the hooks that the filter has.
    """

    __slots__ = ("attachment", "filter", "hooks", "is_open", "key", "loaded", "origin", "phase", "placed", "plugin")

    def __init__(self, attachment: Attachment, loaded: Loaded, origin: str, filter: Filter[Any]) -> None:
        self.attachment = attachment
        self.loaded = loaded
        self.origin = origin
        self.filter = filter
        self.key = attachment.key
        self.plugin = attachment.name
        self.hooks = filter.hooks()
        self.is_open = (attachment.on_failure or filter.on_failure) == "open"
        self.phase = attachment.phase_override or filter.phase
        self.placed = Placed(
            self.key,
            self.plugin,
            self.phase,
            frozenset((*filter.after, *attachment.after)),
            frozenset((*filter.before, *attachment.before)),
        )

    @property
    def settings(self) -> PluginConfig:
        return self.loaded.settings


@dataclass(frozen=True, slots=True)
class EventHook:
    """Marks a hook that wants whole events among the chunk hooks of a chain."""

    hook: Callable[[Exchange, ServerSentEvent], Any]


class Chain:
    """The compiled pipeline of one route.

    Every hook tuple has a twin of the attachments it came from, looked at only when a hook fails.
    """

    __slots__ = (
        "_emit", "attached", "complete", "complete_from", "error", "error_from", "request",
        "request_chunk", "request_chunk_from", "request_from", "response", "response_chunk",
        "response_chunk_from", "response_from", "response_stream", "response_stream_from", "route",
    )  # fmt: skip

    def __init__(self, route: str, attached: Sequence[Attached], emit: Emit) -> None:
        self.route = route
        self.attached = tuple(attached)
        self._emit = emit
        inwards, outwards = self.attached, tuple(reversed(self.attached))
        self.request, self.request_from = _bind(inwards, "on_request")
        self.request_chunk, self.request_chunk_from = _bind(inwards, "on_request_chunk")
        self.response, self.response_from = _bind(outwards, "on_response")
        self.response_chunk, self.response_chunk_from = _bind(outwards, "on_response_chunk")
        self.response_stream, self.response_stream_from = _bind_stream(outwards)
        self.error, self.error_from = _bind(outwards, "on_error")
        self.complete, self.complete_from = _bind(inwards, "on_complete")

    def run_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """Run the request hooks until one answers.

        Raises:
            GatewayError: a hook raised it, or raised something else and is closed (``HookError``).
        """
        for index, hook in enumerate(self.request):
            try:
                result = hook(exchange)
            except Exception as error:  # noqa: BLE001 - a plugin's failure is its own
                self._failed(self.request_from[index], "on_request", exchange, error)
            else:
                if result is not None:
                    if isinstance(result, Response):
                        return result
                    return self._request_rest(exchange, index, result)
        return None

    async def _request_rest(self, exchange: Exchange, index: int, pending: Any) -> Response | None:
        result: Response | None
        while True:
            try:
                result = await _settle(pending)
                if result is not None and not isinstance(result, Response):
                    raise TypeError(f"on_request returned {type(result).__name__}, not None or a Response")
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(self.request_from[index], "on_request", exchange, error)
                result = None
            if result is not None:
                return result
            index += 1
            if index == len(self.request):
                return None
            pending = _call(self.request[index], exchange)

    def run_response(self, exchange: Exchange) -> Awaitable[None] | None:
        """Run the response hooks over ``exchange.response``, which they may replace.

        A hook that fails closed turns the response into a 500 problem, which the hooks that are
        still to come then see.
        """
        for index, hook in enumerate(self.response):
            try:
                result = hook(exchange)
            except Exception as error:  # noqa: BLE001 - as above
                self._response_failed(index, exchange, error)
            else:
                if result is not None:
                    if not isinstance(result, Response):
                        return self._response_rest(exchange, index, result)
                    exchange.response = result
        return None

    async def _response_rest(self, exchange: Exchange, index: int, pending: Any) -> None:
        while True:
            try:
                result = await _settle(pending)
                if isinstance(result, Response):
                    exchange.response = result
                elif result is not None:
                    raise TypeError(f"on_response returned {type(result).__name__}, not None or a Response")
            except Exception as error:  # noqa: BLE001 - as above
                self._response_failed(index, exchange, error)
            index += 1
            if index == len(self.response):
                return
            pending = _call(self.response[index], exchange)

    def _response_failed(self, index: int, exchange: Exchange, error: Exception) -> None:
        try:
            self._failed(self.response_from[index], "on_response", exchange, error)
        except GatewayError as failure:
            drop_tracebacks(failure)
            exchange.error = failure
            exchange.response = Response.problem(failure, exchange.id)

    async def run_error(self, exchange: Exchange, failure: GatewayError) -> Response | Retry | None:
        """Ask the error hooks, the innermost first, until one decides."""
        for index, hook in enumerate(self.error):
            try:
                result = await _settle(hook(exchange, failure))
                if isinstance(result, Response | Retry):
                    return result
                if result is not None:
                    raise TypeError(f"on_error returned {type(result).__name__}, not None, a Response or Retry")
            except Exception as error:  # noqa: BLE001 - the first failure is the one to report
                self._report(self.error_from[index], "on_error", exchange, error, "open")
        return None

    def run_complete(self, exchange: Exchange) -> Awaitable[None] | None:
        """Tell every observer that the exchange has ended; failures are only reported."""
        for index, hook in enumerate(self.complete):
            try:
                result = hook(exchange)
            except Exception as error:  # noqa: BLE001 - as above
                self._report(self.complete_from[index], "on_complete", exchange, error, "open")
            else:
                if result is not None:
                    return self._complete_rest(exchange, index, result)
        return None

    async def _complete_rest(self, exchange: Exchange, index: int, pending: Any) -> None:
        while True:
            try:
                await _settle(pending)
            except Exception as error:  # noqa: BLE001 - as above
                self._report(self.complete_from[index], "on_complete", exchange, error, "open")
            index += 1
            if index == len(self.complete):
                return
            pending = _call(self.complete[index], exchange)

    def _failed(self, by: Attached, hook: str, exchange: Exchange, error: Exception) -> None:
        """Report; raise unless the attachment is open."""
        if isinstance(error, GatewayError):
            raise error
        self._report(by, hook, exchange, error, "open" if by.is_open else "closed")
        if not by.is_open:
            raise HookError(by.plugin, hook, self.route, error) from error

    def _report(self, by: Attached, hook: str, exchange: Exchange, error: Exception, on_failure: str) -> None:
        self._emit(
            HookFailed(
                plugin=by.plugin,
                route=self.route,
                hook=hook,
                request_id=exchange.id,
                on_failure=on_failure,
                error=f"{type(error).__name__}: {error}",
                traceback="".join(traceback.format_exception(error)),
            )
        )

    def chunk_failed(self, by: Attached, hook: str, exchange: Exchange, error: Exception) -> None:
        """A chunk hook raised: report, and raise unless it is open."""
        self._failed(by, hook, exchange, error)


class ChunkStages:
    """The chunk hooks of one body on its way, in one direction.

    ``run`` takes what has come in and gives what goes out; a body whose end was seen or caused by a
    hook says so by ``is_ended``.
    """

    __slots__ = ("_chain", "_exchange", "_from", "_hooks", "_name", "is_ended")

    def __init__(
        self, chain: Chain, exchange: Exchange, hooks: Sequence[Any], owners: Sequence[Attached], name: str
    ) -> None:
        self._chain = chain
        self._exchange = exchange
        self._hooks = [EventStage(hook) if isinstance(hook, EventHook) else hook for hook in hooks]
        self._from = owners
        self._name = name
        self.is_ended = False

    def run(self, chunks: list[bytes], ended: bool) -> list[bytes] | Awaitable[list[bytes]]:
        """Pass chunks through every stage.

        Raises:
            GatewayError: a hook failed.
        """
        for stage in range(len(self._hooks)):
            passed: list[bytes] = []
            items = [*chunks, _END] if ended else chunks
            for position, item in enumerate(items):
                result = self._call(stage, item)
                if result is not None and not isinstance(result, bytes) and inspect.isawaitable(result):
                    return self._rest(stage, items, position, passed, result, ended)
                if self._take(item, result, passed):
                    ended = True
                    break
            chunks = passed
        self.is_ended = ended
        return chunks

    async def _rest(
        self, stage: int, items: list[bytes], position: int, passed: list[bytes], pending: Any, ended: bool
    ) -> list[bytes]:
        while True:
            while True:
                if inspect.isawaitable(pending):
                    try:
                        pending = await pending
                    except Exception as error:  # noqa: BLE001 - a plugin's failure is its own
                        self._chain.chunk_failed(self._from[stage], self._name, self._exchange, error)
                        pending = None
                if self._take(items[position], pending, passed):
                    ended = True
                    break
                position += 1
                if position >= len(items):
                    break
                pending = self._call(stage, items[position])
            stage += 1
            chunks, passed, position = passed, [], 0
            items = [*chunks, _END] if ended else chunks
            if stage == len(self._hooks) or not items:
                self.is_ended = ended
                return chunks
            pending = self._call(stage, items[0])

    def _call(self, stage: int, item: bytes) -> Any:
        try:
            return self._hooks[stage](self._exchange, item)
        except Exception as error:  # noqa: BLE001 - as above
            self._chain.chunk_failed(self._from[stage], self._name, self._exchange, error)
            return None

    @staticmethod
    def _take(item: bytes, result: Any, passed: list[bytes]) -> bool:
        """Add what a hook made of an item; whether the body ends here."""
        if result is None:
            if item:
                passed.append(item)
            return isinstance(item, EndOfBody)
        if isinstance(result, bytes):
            if result:
                passed.append(result)
            return isinstance(result, EndOfBody) or isinstance(item, EndOfBody)
        for piece in cast(Iterable[bytes], result):
            if piece:
                passed.append(piece)
            if isinstance(piece, EndOfBody):
                return True
        return isinstance(item, EndOfBody)


class EventStage:
    """Makes a hook on events into a hook on chunks."""

    __slots__ = ("_hook", "_parser")

    def __init__(self, event_hook: EventHook) -> None:
        self._hook = event_hook.hook
        self._parser = EventParser()

    def __call__(self, exchange: Exchange, chunk: bytes) -> list[bytes] | Awaitable[list[bytes]]:
        passed: list[bytes] = []
        events = list(self._parser.feed(chunk))
        for index, event in enumerate(events):
            result = self._hook(exchange, event)
            if inspect.isawaitable(result):
                return self._rest(exchange, events, index, passed, result)
            passed.extend(_encode(event, result))
        return passed

    async def _rest(
        self, exchange: Exchange, events: list[ServerSentEvent], index: int, passed: list[bytes], pending: Any
    ) -> list[bytes]:
        passed.extend(_encode(events[index], await pending))
        for event in events[index + 1 :]:
            passed.extend(_encode(event, await _settle(self._hook(exchange, event))))
        return passed


def _encode(event: ServerSentEvent, result: Any) -> list[bytes]:
    if result is None:
        return [event.encode()]
    if isinstance(result, ServerSentEvent):
        return [result.encode()]
    return [kept.encode() for kept in result]


async def _settle(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def _call(hook: Hook, exchange: Exchange) -> Awaitable[Any]:
    async def called() -> Any:
        return await _settle(hook(exchange))

    return called()


def _bind(attached: Sequence[Attached], name: str) -> tuple[tuple[Any, ...], tuple[Attached, ...]]:
    if not attached:
        return (), ()
    having = tuple(item for item in attached if name in item.hooks)
    return tuple(getattr(item.filter, name) for item in having), having


def _bind_stream(attached: Iterable[Attached]) -> tuple[tuple[Any, ...], tuple[Attached, ...]]:
    """Chunk and event hooks together, for event streams; empty where there is no event hook."""
    hooks: list[Any] = []
    owners: list[Attached] = []
    for item in attached:
        names = item.hooks
        if "on_response_chunk" in names:
            hooks.append(item.filter.on_response_chunk)
            owners.append(item)
        if "on_response_event" in names:
            hooks.append(EventHook(item.filter.on_response_event))
            owners.append(item)
    if not any(isinstance(hook, EventHook) for hook in hooks):
        return (), ()
    return tuple(hooks), tuple(owners)
