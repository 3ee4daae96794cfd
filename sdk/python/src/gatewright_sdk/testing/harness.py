"""Exchanges through filters without sockets: what a plugin's own tests are written with."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

from gatewright_sdk.config import PluginConfig
from gatewright_sdk.errors import BodyTooLarge, GatewayError, HookError
from gatewright_sdk.exchange import ClientAddress, Exchange, Identity, RouteInfo
from gatewright_sdk.filters import EndOfBody, Filter, Plugin, Retry, implemented_hooks
from gatewright_sdk.headers import FieldSource, Headers
from gatewright_sdk.message import BodyReader, Request, Response
from gatewright_sdk.sse import EventParser
from gatewright_sdk.testing.clock import FakeClock
from gatewright_sdk.testing.context import FakeContext

R = TypeVar("R")
Answer = Response | GatewayError


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
            answer = next(self._script)
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

    Hooks run with the gateway's semantics: request hooks in order until one answers, response hooks
    in reverse order on every response, ``on_error`` where a hook or the upstream failed.

        harness = Harness(Stamp(StampConfig(value="x")), upstream=FakeUpstream())
        exchange = await harness.send(Request("GET", "/"))
        assert exchange.response.headers["x-stamp"] == "x"

    After ``send`` the exchange's response holds the whole body, and ``harness.sent`` the pieces in
    which the client would have got it.
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
        client: str = "198.51.100.7",
        identity: Identity | None = None,
        chunks: list[bytes] | None = None,
        headers: FieldSource = (),
    ) -> Exchange:
        """Send a request through, and return its exchange with the response in it."""
        request = request or Request(headers=Headers(headers), host="example.test")
        exchange = Exchange(request, ClientAddress(client, 40000, client), self.clock.monotonic())
        exchange.route = self.route
        exchange.service = self.route.service
        exchange.identity = identity
        self.sent = []
        body = list(chunks) if chunks is not None else [request.body] if request.body else []
        if body and request.body is None:
            request.has_body = True
        if request.body is None:
            request._reader = _reader(body)
        response = await self._respond(exchange, body)
        await self._finish(exchange, response)
        exchange.completed_at = self.clock.monotonic()
        for filter in self._having("on_complete"):
            await _settle(filter.on_complete(exchange))
        return exchange

    async def _respond(self, exchange: Exchange, body: list[bytes]) -> Response:
        try:
            for filter in self._having("on_request"):
                try:
                    answer = await _settle(filter.on_request(exchange))
                except GatewayError:
                    raise
                except Exception as error:
                    raise HookError(type(filter).__name__, "on_request", self.route.name, error) from error
                if answer is not None:
                    return answer
            if exchange.request.body is not None:
                body = [exchange.request.body] if exchange.request.body else []
            sent = await self._pass_chunks("on_request_chunk", exchange, body, reverse=False)
            exchange.attempts += 1
            exchange.upstream_at = self.clock.monotonic()
            response = self.upstream.serve(exchange.request, b"".join(sent))
            exchange.first_byte_at = self.clock.monotonic()
            return response
        except GatewayError as error:
            return await self._recover(exchange, error, body)

    async def _recover(self, exchange: Exchange, error: GatewayError, body: list[bytes]) -> Response:
        exchange.error = error
        for filter in self._having("on_error"):
            answer = await _settle(filter.on_error(exchange, error))
            if isinstance(answer, Response):
                return answer
            if isinstance(answer, Retry) and exchange.attempts < 10:
                self.clock.advance(answer.after)
                return await self._respond(exchange, body)
        return Response.problem(error, exchange.id)

    async def _finish(self, exchange: Exchange, response: Response) -> None:
        exchange.response = response
        streamed = not response.is_local
        pieces = [response.body] if response.body else []
        if streamed:
            pieces = self.upstream.chunks if self.upstream.chunks is not None else pieces
            response.body = None
            response._reader = _reader(pieces)
        for filter in reversed(self._having("on_response")):
            answer = await _settle(filter.on_response(exchange))
            if answer is not None:
                exchange.response = answer
        assert exchange.response is not None
        if exchange.response.body is not None:
            pieces = [exchange.response.body] if exchange.response.body else []
        self.sent = await self._pass_chunks("on_response_chunk", exchange, pieces, reverse=True)
        if exchange.response.headers.get("content-type", "") == "text/event-stream":
            self.sent = await self._pass_events(exchange, self.sent)
        exchange.response.body = b"".join(self.sent)
        exchange.bytes_out = len(exchange.response.body)

    async def _pass_chunks(self, hook: str, exchange: Exchange, chunks: list[bytes], *, reverse: bool) -> list[bytes]:
        filters = self._having(hook)
        for filter in reversed(filters) if reverse else filters:
            passed: list[bytes] = []
            for chunk in [*chunks, EndOfBody()]:
                result = await _settle(getattr(filter, hook)(exchange, chunk))
                if result is None:
                    passed.append(chunk)
                elif isinstance(result, bytes):
                    passed.append(result)
                    if isinstance(result, EndOfBody):
                        break
                else:
                    passed.extend(result)
            chunks = [bytes(chunk) for chunk in passed if chunk]
        return chunks

    async def _pass_events(self, exchange: Exchange, chunks: list[bytes]) -> list[bytes]:
        for filter in reversed(self._having("on_response_event")):
            parser, passed = EventParser(), []
            for chunk in chunks:
                for event in parser.feed(chunk):
                    result = await _settle(filter.on_response_event(exchange, event))
                    events = [event] if result is None else result if isinstance(result, Iterable) else [result]
                    passed.extend(kept.encode() for kept in events)
            chunks = passed
        return chunks

    def _having(self, hook: str) -> list[Filter[Any]]:
        return [filter for filter in self.filters if hook in implemented_hooks(type(filter))]


async def _settle(result: R | Awaitable[R]) -> R:
    return await result if inspect.isawaitable(result) else result


def _reader(chunks: list[bytes]) -> BodyReader:
    async def read(limit: int) -> bytes:
        body = b"".join(chunks)
        if len(body) > limit:
            raise BodyTooLarge(f"The body is longer than {limit} bytes.")
        return body

    return read
