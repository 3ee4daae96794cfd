"""Exchanges through filters without sockets: what a plugin's own tests are written with."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from gatewright_sdk.config import PluginConfig
from gatewright_sdk.errors import BodyTooLarge, GatewayError, HookError
from gatewright_sdk.exchange import ClientAddress, Exchange, Identity, RouteInfo
from gatewright_sdk.filters import EndOfBody, Filter, Plugin, Retry
from gatewright_sdk.headers import FieldSource, Headers
from gatewright_sdk.message import BodyReader, Request, Response
from gatewright_sdk.sse import EventParser, ServerSentEvent
from gatewright_sdk.testing.clock import FakeClock
from gatewright_sdk.testing.context import FakeContext

R = TypeVar("R")
Answer = Response | GatewayError

#: How often a request is sent before ``Retry`` is no longer heard.
MAX_ATTEMPTS = 8
_BODYLESS = frozenset((204, 205, 304))


class FakeUpstream:
    """Answers requests from a list or a function, and keeps the requests it got.

    Args:
        answer: a ``Response`` for every request, an error to raise, a list of those to take in turn,
            or a function from ``Request`` to one of them.
        chunks: how the body of a streamed answer is cut; None sends it in one piece.
    """

    def __init__(
        self,
        answer: Answer | Iterable[Answer] | Callable[[Request], Answer] | None = None,
        *,
        chunks: list[bytes] | None = None,
    ) -> None:
        self._answer = Response(200, [("Content-Type", "text/plain")], b"hello") if answer is None else answer
        self._script = iter(self._answer) if isinstance(self._answer, Iterable) else None
        self.chunks = chunks
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []

    def serve(self, request: Request, body: bytes) -> Response:
        self.requests.append(request)
        self.bodies.append(body)
        if self._script is not None:
            answer = next(self._script, None)
            if answer is None:
                raise AssertionError(f"the upstream has no answer left for request {len(self.requests)}")
        elif callable(self._answer):
            answer = self._answer(request)
        else:
            answer = cast(Answer, self._answer)
        if isinstance(answer, GatewayError):
            raise answer
        copy = Response(answer.status, answer.headers.copy(), answer.body, reason=answer.reason)
        copy.is_local = False
        return copy


class Harness:
    """A route made of filters, in front of a ``FakeUpstream``.

    Hooks run with the gateway's semantics: request hooks in order until one answers, response and
    error hooks in reverse order, a hook that raises answers 500 or, where its filter's ``on_failure``
    is ``open``, is passed over.

        harness = Harness(Stamp(StampConfig(value="x")), upstream=FakeUpstream())
        exchange = await harness.send(Request("GET", "/"))
        assert exchange.response.headers["x-stamp"] == "x"

    After ``send`` the exchange's response holds the whole body that the client got.

    Attributes:
        sent: the pieces in which the client got the body.
        failures: what hooks raised that was no ``GatewayError``, as the gateway would report it.
    """

    def __init__(
        self,
        *filters: Filter[Any],
        upstream: FakeUpstream | None = None,
        clock: FakeClock | None = None,
        settings: PluginConfig | None = None,
        run_dir: Path = Path("."),
        route: str = "route",
    ) -> None:
        self.filters = filters
        self.upstream = upstream or FakeUpstream()
        self.clock = clock or FakeClock()
        self.context = FakeContext(settings=settings, run_dir=run_dir, clock=self.clock)
        self.route = RouteInfo(route, "service")
        self.sent: list[bytes] = []
        self.failures: list[HookError] = []

    @classmethod
    def of(cls, plugin: Plugin, config: dict[str, Any] | None = None, **kwargs: Any) -> Harness:
        """A harness of one plugin, with its config as the manifest would give it."""
        if plugin.filter is None:
            raise ValueError(f"plugin {plugin.name!r} has no filter")
        kind = plugin.filter
        return cls(kind(kind.config_model.model_validate(config or {})), **kwargs)

    async def __aenter__(self) -> Harness:
        for filter in self.filters:
            await _settle(filter.start(self.context))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for filter in self.filters:
            await _settle(filter.stop())
        self.context.close()

    async def send(
        self,
        request: Request | None = None,
        *,
        client: str | ClientAddress = "198.51.100.7",
        identity: Identity | None = None,
        chunks: list[bytes] | None = None,
        headers: FieldSource = (),
        params: Mapping[str, str] | None = None,
    ) -> Exchange:
        """Send a request through, and return its exchange with the response in it.

        Args:
            request: what the client sends; a GET where absent.
            client: its address; a ``ClientAddress`` where more is to be said.
            identity: who is calling, as an earlier plugin would have found out.
            chunks: the body in the pieces in which it comes; else the request's own, in one.
            headers: of the request, where ``request`` is absent.
            params: values of the path template's parameters.
        """
        request = request or Request(headers=Headers(headers), host="example.test")
        address = ClientAddress(client, 40000, client) if isinstance(client, str) else client
        exchange = Exchange(request, address, self.clock.monotonic())
        exchange.route = self.route
        exchange.service = self.route.service
        exchange.identity = identity
        exchange.params = params or {}
        self.sent = []
        body = list(chunks) if chunks is not None else [request.body] if request.body else []
        exchange.bytes_in = sum(map(len, body))
        _make_streaming(request, body)
        response = await self._respond(exchange, body)
        await self._present(exchange, response)
        exchange.completed_at = self.clock.monotonic()
        for filter in self._having("on_complete"):
            await self._observe(filter, "on_complete", exchange)
        return exchange

    async def _respond(self, exchange: Exchange, body: list[bytes]) -> Response:
        try:
            for filter in self._having("on_request"):
                answer = await self._call(filter, "on_request", Response, exchange)
                if isinstance(answer, Response):
                    return answer
        except GatewayError as error:
            # Request hooks that have not run must run before a request is sent, so there is no retry.
            return cast(Response, await self._recover(exchange, error, can_retry=False))
        while True:
            try:
                return await self._forward(exchange, body)
            except GatewayError as error:
                outcome = await self._recover(exchange, error, can_retry=self._can_retry(exchange))
            if isinstance(outcome, Response):
                return outcome
            self.clock.advance(outcome.after)

    async def _forward(self, exchange: Exchange, body: list[bytes]) -> Response:
        request = exchange.request
        chunks = body if request.body is None else [request.body] if request.body else []
        stages = [_Stage(self, filter, "on_request_chunk") for filter in self._having("on_request_chunk")]
        sent: list[bytes] = []
        exchange.attempts += 1
        exchange.upstream_at = self.clock.monotonic()
        await _pass(stages, exchange, chunks, sent)
        response = self.upstream.serve(request, b"".join(sent))
        exchange.first_byte_at = self.clock.monotonic()
        return response

    def _can_retry(self, exchange: Exchange) -> bool:
        request = exchange.request
        is_repeatable = not request.has_body or request.body is not None or not self._having("on_request_chunk")
        return is_repeatable and exchange.attempts < MAX_ATTEMPTS

    async def _recover(self, exchange: Exchange, error: GatewayError, *, can_retry: bool) -> Response | Retry:
        exchange.error = error
        for filter in reversed(self._having("on_error")):
            answer = await self._observe(filter, "on_error", exchange, error)
            if isinstance(answer, Response) or (can_retry and isinstance(answer, Retry)):
                return answer
        return Response.problem(error, exchange.id)

    async def _present(self, exchange: Exchange, response: Response) -> None:
        streamed: list[bytes] = []
        if not response.is_local:
            streamed = self.upstream.chunks if self.upstream.chunks is not None else [response.body or b""]
            response.body = None
            response._reader = _reader(streamed)
        exchange.response = response
        for filter in reversed(self._having("on_response")):
            try:
                answer = await self._call(filter, "on_response", Response, exchange)
            except GatewayError as error:
                exchange.error = error
                answer = Response.problem(error, exchange.id)
            if isinstance(answer, Response):
                exchange.response = answer
        presented = exchange.response
        whole = [presented.body] if presented.body is not None else streamed
        if exchange.request.method != "HEAD" and presented.status not in _BODYLESS:
            await self._send_body(exchange, presented, [chunk for chunk in whole if chunk])
        presented.body = b"".join(self.sent)
        exchange.bytes_out = len(presented.body)

    async def _send_body(self, exchange: Exchange, response: Response, chunks: list[bytes]) -> None:
        stages: list[_Stage] = []
        kind = (response.headers.get("content-type") or "").partition(";")[0].strip().lower()
        has_events = kind == "text/event-stream" and "content-encoding" not in response.headers
        for filter in reversed(self.filters):
            if "on_response_chunk" in filter.hooks():
                stages.append(_Stage(self, filter, "on_response_chunk"))
            if has_events and "on_response_event" in filter.hooks():
                stages.append(_EventStage(self, filter, "on_response_event"))
        try:
            await _pass(stages, exchange, chunks, self.sent)
        except GatewayError as error:
            # The head is out: all that is left is to cut the response off.
            exchange.error = error
            exchange.is_aborted = True

    async def _call(self, filter: Filter[Any], hook: str, kind: type, *arguments: Any) -> Any:
        """What a hook returns: None or a ``kind``.

        Raises:
            GatewayError: the hook raised it, or raised something else and is closed (``HookError``).
        """
        try:
            return await self._invoke(filter, hook, kind, *arguments)
        except HookError as error:
            self.failures.append(error)
            if filter.on_failure == "open":
                return None
            raise

    async def _observe(self, filter: Filter[Any], hook: str, *arguments: Any) -> Any:
        """As ``_call``, for hooks that run when nothing can go wrong any more."""
        kind = (Response, Retry) if hook == "on_error" else ()
        try:
            return await self._invoke(filter, hook, kind, *arguments)
        except GatewayError as error:
            failure = error if isinstance(error, HookError) else self._failure(filter, hook, error)
            self.failures.append(failure)
            return None

    async def _invoke(self, filter: Filter[Any], hook: str, kind: type | tuple[type, ...], *arguments: Any) -> Any:
        try:
            result = await _settle(getattr(filter, hook)(*arguments))
            if result is not None and not isinstance(result, kind):
                raise TypeError(f"{hook} returned {type(result).__name__}")
        except GatewayError:
            raise
        except Exception as error:
            raise self._failure(filter, hook, error) from error
        return result

    def _failure(self, filter: Filter[Any], hook: str, cause: Exception) -> HookError:
        return HookError(type(filter).__name__, hook, self.route.name, cause)

    def _having(self, hook: str) -> list[Filter[Any]]:
        return [filter for filter in self.filters if hook in filter.hooks()]


class _Stage:
    """A chunk hook on one body's way."""

    def __init__(self, harness: Harness, filter: Filter[Any], hook: str) -> None:
        self._harness = harness
        self._filter = filter
        self._hook = hook

    async def run(self, exchange: Exchange, chunk: bytes) -> Sequence[bytes]:
        """What becomes of a chunk; an ``EndOfBody`` ends the body."""
        result = await self._call((bytes, Iterable), exchange, chunk)
        if result is None:
            return [chunk]
        return [result] if isinstance(result, bytes) else list(result)

    async def _call(self, kind: Any, exchange: Exchange, passing: object) -> Any:
        return await self._harness._call(self._filter, self._hook, kind, exchange, passing)


class _EventStage(_Stage):
    """An event hook, fed with chunks."""

    def __init__(self, harness: Harness, filter: Filter[Any], hook: str) -> None:
        super().__init__(harness, filter, hook)
        self._parser = EventParser()

    async def run(self, exchange: Exchange, chunk: bytes) -> Sequence[bytes]:
        passed: list[bytes] = []
        for event in self._parser.feed(chunk):
            result = await self._call((ServerSentEvent, Iterable), exchange, event)
            events = [event] if result is None else [result] if isinstance(result, ServerSentEvent) else result
            passed.extend(kept.encode() for kept in events)
        return passed


async def _pass(stages: Sequence[_Stage], exchange: Exchange, chunks: Sequence[bytes], sent: list[bytes]) -> None:
    """Take a body through its stages, chunk by chunk; what comes out is added to ``sent``."""
    for item in (*chunks, EndOfBody()):
        items: list[bytes] = [item]
        ended = isinstance(item, EndOfBody)
        for stage in stages:
            passed: list[bytes] = []
            for each in items:
                pieces = await stage.run(exchange, each)
                passed.extend(bytes(piece) for piece in pieces if piece)
                if any(isinstance(piece, EndOfBody) for piece in pieces):
                    ended = True
                    break
            items = [*passed, EndOfBody()] if ended else passed
        sent.extend(bytes(each) for each in items if each)
        if ended:
            return


async def _settle(result: R | Awaitable[R]) -> R:
    return await result if inspect.isawaitable(result) else result


def _make_streaming(request: Request, body: list[bytes]) -> None:
    """Hooks meet a body on its way, as in the gateway, and read it if they want it whole."""
    if not body:
        return
    request.has_body = True
    request.body = None

    async def read(limit: int) -> bytes:
        if (request.content_length or 0) > limit or sum(map(len, body)) > limit:
            raise BodyTooLarge(f"The request body is longer than {limit} bytes.")
        whole = b"".join(body)
        request.content_length = len(whole)
        return whole

    request._reader = read


def _reader(chunks: Sequence[bytes]) -> BodyReader:
    async def read(limit: int) -> bytes:
        # ``Response.read`` itself holds what it gets against the limit.
        return b"".join(chunks)

    return read
