"""One request's whole journey, from the head that came in to the last byte that went out.

Everything here runs on the worker's loop and nothing waits: a step either does its work or leaves a
callback behind. A hook that returns an awaitable moves the rest of its step into a task; while that
task runs, bytes of the body that come in are held, and past ``HELD_BYTES`` their sender is paused.

    start -> request hooks -> forward -> on_connection -> on_response -> present (response hooks)
          -> emit -> on_response_body ... -> finish -> complete hooks
    and from anywhere: fail -> error hooks -> present
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from gatewright.errors import drop_tracebacks
from gatewright.events import Event, InternalFault
from gatewright.fields import without_codec_fields
from gatewright.pipeline.chain import ChunkStages
from gatewright.snapshot.model import CompiledRoute, Endpoint, Snapshot
from gatewright.timers import NEVER, Timed, Wheel
from gatewright.upstream.http1 import RawField, UpstreamConnection, request_head
from gatewright.upstream.pool import Pool
from gatewright_sdk import (
    BodyTooLarge,
    ClientAddress,
    ClientDisconnected,
    Exchange,
    GatewayError,
    Headers,
    NoTarget,
    Request,
    RequestTimeout,
    Response,
    Retry,
    RouteNotFound,
    UpstreamTimeout,
)

HELD_BYTES = 64 * 1024
#: Methods that may be sent twice (RFC 9110 section 9.2.2).
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
MAX_ATTEMPTS = 8

_monotonic = time.monotonic


class Stream(Timed, Protocol):
    """The client's side of an exchange, whatever the protocol.

    Attributes:
        forwarded: field lines that tell the upstream who is asking, set for each request.
        body_timeout: seconds between two pieces of a request body.
        is_blocked: the client does not read.
    """

    forwarded: bytes
    client: ClientAddress
    body_timeout: float
    is_blocked: bool

    def send_informational(self, status: int, fields: list[RawField]) -> None: ...
    def send_response(self, response: Response, body: bytes, length: int | None, ended: bool) -> None: ...
    def send_body(self, data: bytes) -> None: ...
    def send_end(self, trailers: Headers | None) -> None: ...
    def send_continue(self) -> None: ...
    def pause_request(self) -> None: ...
    def resume_request(self) -> None: ...
    def abort(self) -> None: ...
    def on_exchange_over(self) -> None: ...


class Traffic:
    """What the exchanges of one worker share.

    Attributes:
        snapshot: the config that new exchanges begin with.
        active, total: exchanges under way, and ever begun.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wheel: Wheel, emit: Callable[[Event], None]) -> None:
        self.loop = loop
        self.wheel = wheel
        self.emit = emit
        self.snapshot: Snapshot | None = None
        self.active = 0
        self.total = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self._completed: list[Journey] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def complete(self, journey: Journey) -> None:
        """Run the complete hooks, after the loop has sent what is to be sent."""
        if not self._completed:
            self.loop.call_soon(self.run_completed)
        self._completed.append(journey)

    def run_completed(self) -> None:
        completed, self._completed = self._completed, []
        for journey in completed:
            rest = journey.route.chain.run_complete(journey.exchange)
            if rest is None:
                journey.leave_snapshot()
            else:
                self.spawn(self._complete_later(journey, rest))

    async def _complete_later(self, journey: Journey, rest: Awaitable[None]) -> None:
        await rest
        journey.leave_snapshot()


class Journey:
    """The state of one exchange between the hooks, the pool and the client.

    Attributes:
        is_request_over: the client's message has been received whole, or what is left is not wanted.
    """

    _connection: UpstreamConnection | None = None
    _endpoint: Endpoint | None = None
    _waiting_pool: Pool | None = None
    _task: asyncio.Task[None] | None = None
    _reader: asyncio.Future[None] | None = None
    _in_stages: ChunkStages | None = None
    _out_stages: ChunkStages | None = None
    _upstream_response: Response | None = None
    _is_over = False
    _is_presenting = False
    _is_passing_in = False
    _is_passing_out = False
    _request_started = False
    _response_started = False
    _retried_stale = False
    _replay: list[bytes] | None = None
    _total_deadline = NEVER
    _phase = ""
    _seconds = 0.0

    def __init__(self, traffic: Traffic, stream: Stream, request: Request) -> None:
        # The class has the starting values: most exchanges never leave them, so none is set here.
        self.traffic = traffic
        self.stream = stream
        self.exchange = Exchange(request, stream.client, _monotonic())
        self.is_request_over = not request.has_body or request.body is not None

    # -- the request, inwards ---------------------------------------------------------------------

    def start(self) -> None:
        """The head is in: find the route and run its request hooks."""
        traffic, exchange = self.traffic, self.exchange
        request = exchange.request
        snapshot = traffic.snapshot
        assert snapshot is not None
        self._snapshot = snapshot
        snapshot.active += 1
        traffic.active += 1
        traffic.total += 1
        found = snapshot.table.match(request, exchange.client.ip)
        if found is None:
            self.route: CompiledRoute = snapshot.unmatched
            self._rewrite = None
        else:
            self.route = found.value
            self._rewrite = found.rewrite
            exchange.params = found.params
        route = self.route
        exchange.route = route.info
        exchange.service = route.info.service
        if route.total:
            self._total_deadline = traffic.wheel.base + route.total
        if request.has_body and request.body is None:
            self._held: list[bytes] = []
            self._held_bytes = 0
            self._replay = []
            self._replay_bytes = 0
            request._reader = self._read_request
        chain = route.chain
        if chain.request:
            self._arm("", 0.0)
            try:
                outcome = chain.run_request(exchange)
            except GatewayError as error:
                self.fail(error)
                return
            if outcome is not None:
                if isinstance(outcome, Response):
                    self._present(outcome, [], True)
                else:
                    self._spawn(self._start_later(outcome))
                return
        self._forward()

    async def _start_later(self, outcome: Awaitable[Response | None]) -> None:
        answer = await outcome
        self._task = None
        if answer is None:
            self._forward()
        else:
            self._present(answer, [], True)

    def _forward(self) -> None:
        """Pick a target and get a connection to it."""
        exchange, route = self.exchange, self.route
        try:
            limit = route.body_bytes
            if limit and (exchange.request.content_length or 0) > limit:
                raise BodyTooLarge(f"The request body is longer than {limit} bytes.")
            service = route.service
            if exchange.service != route.info.service:
                service = self._snapshot.services.get(exchange.service or "")
            if service is None:
                raise _no_service(route, exchange)
            key = exchange.balance_key
            if key is None and service.hash_key is not None:
                key = service.hash_key(exchange)
            endpoint = service.balancer.pick(key, ())
            if endpoint is None:
                raise NoTarget("The service has no target that can take this request.")
            self._endpoint = endpoint
            endpoint.active += 1
            exchange.target = endpoint.url
            connection = endpoint.pool.acquire(self)
        except GatewayError as error:
            self.fail(error)
            return
        if connection is not None:
            self.on_connection(connection)
        else:
            self._waiting_pool = endpoint.pool
            tls = route.tls if endpoint.url.startswith("https:") else 0.0
            self._arm("connect", route.connect and route.connect + tls)

    @property
    def connect_timeouts(self) -> tuple[float, float]:
        return self.route.connect, self.route.tls

    def on_connect_failed(self, error: GatewayError) -> None:
        self._waiting_pool = None
        self.fail(error)

    def on_connection(self, connection: UpstreamConnection) -> None:
        """Send the request's head, and what there is of its body, in one write."""
        self._waiting_pool = None
        self._connection = connection
        exchange, route = self.exchange, self.route
        request = exchange.request
        exchange.attempts += 1
        exchange.upstream_at = _monotonic()
        path = request.path if self._rewrite is None else self._rewrite(request.path, exchange.params)
        target = f"{path}?{request.query}" if request.query else path
        endpoint = self._endpoint
        assert endpoint is not None
        host = request.host.encode("latin-1") if route.preserve_host else route.host or endpoint.host
        fields = request.headers.raw
        if route.chain.request:
            fields = without_codec_fields(fields)
        head, ended = b"", True
        body = request.body
        if body is None and not request.has_body:
            framing = b""
        else:
            framing, body, ended = self._frame_request(request, body)
        head = request_head(request.method.encode(), target.encode(), host, fields, self.stream.forwarded, framing)
        self._request_started = True
        connection.send(self, head + body if body else head, ended=ended, bodyless=request.method == "HEAD")
        if ended:
            self._arm("first_byte", route.first_byte)
        else:
            self._pass_request_body(request)

    def _frame_request(self, request: Request, whole: bytes | None) -> tuple[bytes, bytes, bool]:
        """How the body is delimited, what of it goes with the head, and whether that is all."""
        chain = self.route.chain
        if chain.request_chunk:
            hooks, owners = chain.request_chunk, chain.request_chunk_from
            self._in_stages = ChunkStages(chain, self.exchange, hooks, owners, "on_request_chunk")
        elif whole is not None:
            return b"Content-Length: %d\r\n" % len(whole), whole, True
        elif request.content_length is not None:
            self._is_chunked = False
            return b"Content-Length: %d\r\n" % request.content_length, b"", False
        self._is_chunked = True
        return b"Transfer-Encoding: chunked\r\n", b"", False

    def _pass_request_body(self, request: Request) -> None:
        """Send what has come so far, and let the client send on."""
        if request.body is not None:
            self._pass_in([request.body], True)
            return
        chunks = self._held if self.exchange.attempts == 1 or self._replay is None else list(self._replay)
        self._held, self._held_bytes = [], 0
        self._pass_in(chunks, self.is_request_over)
        if not self.is_request_over:
            self.stream.resume_request()

    def on_request_body(self, data: bytes) -> None:
        """The client sent a piece of its body."""
        if self._is_over:
            return
        self.exchange.bytes_in += len(data)
        limit = self.route.body_bytes
        if limit and self.exchange.bytes_in > limit:
            self.fail(BodyTooLarge(f"The request body is longer than {limit} bytes."))
            return
        self._keep_for_replay(data)
        if self._request_started and self._connection is not None and not self._is_passing_in:
            self._pass_in([data], False)
        else:
            self._hold(data)

    def on_request_end(self, trailers: Headers | None) -> None:
        """The client's body is complete."""
        self.is_request_over = True
        if self._is_over:
            return
        self.exchange.request.trailers = trailers
        if self._reader is not None and not self._reader.done() and not self._is_presenting:
            self._reader.set_result(None)
        elif self._request_started and self._connection is not None and not self._is_passing_in:
            self._pass_in([], True)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        reader = self._reader
        if reader is not None and not self._is_presenting:
            if not reader.done():
                reader.set_result(None)
        elif self._held_bytes > HELD_BYTES:
            self.stream.pause_request()

    def _keep_for_replay(self, data: bytes) -> None:
        if self._replay is not None:
            self._replay_bytes += len(data)
            if self._replay_bytes > HELD_BYTES:
                self._replay = None
            else:
                self._replay.append(data)

    def _pass_in(self, chunks: list[bytes], ended: bool) -> None:
        """Take pieces of the request's body through the chunk hooks and send them."""
        stages = self._in_stages
        if stages is not None:
            try:
                passed = stages.run(chunks, ended)
            except GatewayError as error:
                self.fail(error)
                return
            if not isinstance(passed, list):
                self._is_passing_in = True
                self.stream.pause_request()
                self._spawn(self._pass_in_later(passed))
                return
            chunks, ended = passed, stages.is_ended
        self._send_request_body(chunks, ended)

    async def _pass_in_later(self, passing: Awaitable[list[bytes]]) -> None:
        chunks = await passing
        self._task = None
        self._is_passing_in = False
        assert self._in_stages is not None
        if self._in_stages.is_ended:
            self._send_request_body(chunks, True)
            return
        self._send_request_body(chunks, False)
        held, self._held, self._held_bytes = self._held, [], 0
        if held or self.is_request_over:
            self._pass_in(held, self.is_request_over)
        if not self._is_passing_in and not self._is_over:
            self.stream.resume_request()

    def _send_request_body(self, chunks: list[bytes], ended: bool) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._is_chunked:
            data = b"".join([b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks])
            if ended:
                data += _last_chunk(self.exchange.request.trailers)
        else:
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if ended:
            self.is_request_over = True
            connection.write(data)
            if not self._response_started:
                self._arm("first_byte", self.route.first_byte)
            connection.end()
        else:
            if not self._response_started:
                self._arm("client_body", 0.0)
            connection.write(data)

    async def _read_request(self, limit: int) -> bytes:
        """What ``Request.read`` waits for."""
        request = self.exchange.request
        if (request.content_length or 0) > limit:
            raise BodyTooLarge(f"The request body is longer than {limit} bytes.")
        if request.headers.remove(b"expect"):
            self.stream.send_continue()
        while not self.is_request_over and self._held_bytes <= limit:
            self._arm("client_body", 0.0)
            self._reader = self.traffic.loop.create_future()
            self.stream.resume_request()
            try:
                await self._reader
            finally:
                self._reader = None
        if self._held_bytes > limit:
            raise BodyTooLarge(f"The request body is longer than {limit} bytes.")
        self._arm("", 0.0)
        body = b"".join(self._held)
        self._held, self._held_bytes = [], 0
        request.content_length = len(body)
        return body

    # -- the response, outwards -------------------------------------------------------------------

    def on_informational(self, status: int, fields: list[RawField]) -> None:
        if not self._response_started and (status != 100 or "expect" in self.exchange.request.headers):
            self.stream.send_informational(status, fields)

    def on_response(self, response: Response, length: int | None, chunks: list[bytes], ended: bool) -> None:
        """The upstream's response head is in."""
        if self._is_over:
            return
        self.exchange.first_byte_at = _monotonic()
        self._upstream_response = response
        self._out_length = length
        if ended:
            self._leave_upstream(response)
        if self.route.chain.response:
            self._present(response, chunks, ended)
            return
        self.exchange.response = response
        self._out_chunks = chunks
        self._out_ended = ended
        self._emit()

    def _present(self, response: Response, chunks: list[bytes], ended: bool) -> None:
        """Run the response hooks, then send the head."""
        exchange = self.exchange
        exchange.response = response
        self._out_chunks = chunks
        self._out_ended = ended
        chain = self.route.chain
        if chain.response:
            if response.body is None:
                response._reader = self._read_response
            rest = chain.run_response(exchange)
            if rest is not None:
                self._is_presenting = True
                self._arm("", 0.0)
                if self._connection is not None:
                    self._connection.pause_reading()
                self._spawn(self._present_later(rest))
                return
        self._emit()

    async def _present_later(self, rest: Awaitable[None]) -> None:
        await rest
        self._task = None
        self._is_presenting = False
        self._emit()
        if self._connection is not None:
            self._connection.resume_reading()

    def _emit(self) -> None:
        """The head goes out, with what there is of the body."""
        exchange, chain, stream = self.exchange, self.route.chain, self.stream
        response = exchange.response
        assert response is not None
        chunks, ended, length = self._out_chunks, self._out_ended, None
        if response is self._upstream_response and response.body is None:
            length = self._out_length
        else:
            chunks, ended = [response.body] if response.body else [], True
            if self._connection is not None:
                self._abort_upstream()
        if exchange.request.method == "HEAD" or response.status in _BODYLESS:
            if response.body:
                length = len(response.body)
            self._response_started = True
            stream.send_response(response, b"", length, True)
            self._finish()
            return
        if chain.response_chunk or chain.response_stream:
            stages = self._out_stages = self._choose_stages(response)
            if stages is not None and ended:
                self._present_whole(response, stages, chunks)
                return
            if stages is not None:
                self._response_started = True
                stream.send_response(response, b"", None, False)
                self._pass_out(chunks, False)
                return
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        exchange.bytes_out = len(body)
        self._response_started = True
        if ended:
            if response.trailers is None:
                stream.send_response(response, body, len(body), True)
            else:
                stream.send_response(response, body, None, False)
                stream.send_end(response.trailers)
            self._finish()
            return
        stream.send_response(response, body, length, False)
        self._arm_body()

    def _present_whole(self, response: Response, stages: ChunkStages, chunks: list[bytes]) -> None:
        """A body that is there whole keeps a length, whatever the chunk hooks make of it."""
        try:
            passed = stages.run(chunks, True)
        except GatewayError as error:
            self._out_stages = None
            self.fail(error)
            return
        self._response_started = True
        if isinstance(passed, list) and response.trailers is None:
            body = b"".join(passed)
            self.exchange.bytes_out = len(body)
            self.stream.send_response(response, body, len(body), True)
            self._finish()
            return
        self.stream.send_response(response, b"", None, False)
        if isinstance(passed, list):
            self._send_response_body(passed, True)
        else:
            self._is_passing_out = True
            self._out_chunks, self._out_ended = [], True
            self._spawn(self._pass_out_later(passed))

    def _choose_stages(self, response: Response) -> ChunkStages | None:
        chain = self.route.chain
        hooks, owners = chain.response_chunk, chain.response_chunk_from
        if chain.response_stream and _is_event_stream(response):
            hooks, owners = chain.response_stream, chain.response_stream_from
        return ChunkStages(chain, self.exchange, hooks, owners, "on_response_chunk") if hooks else None

    def on_response_body(self, chunks: list[bytes], ended: bool) -> None:
        """More of the upstream's body."""
        if self._is_over:
            return
        if ended:
            self._leave_upstream(self._upstream_response)
        if self._is_presenting or self._is_passing_out:
            self._out_chunks.extend(chunks)
            self._out_ended = ended
            if self._reader is not None and not self._reader.done():
                self._reader.set_result(None)
        elif self._out_stages is not None:
            self._pass_out(chunks, ended)
        else:
            self._send_response_body(chunks, ended)

    def _pass_out(self, chunks: list[bytes], ended: bool) -> None:
        """Take pieces of the response's body through the chunk hooks and send them."""
        stages = self._out_stages
        assert stages is not None
        try:
            passed = stages.run(chunks, ended)
        except GatewayError as error:
            self.fail(error)
            return
        if isinstance(passed, list):
            self._send_response_body(passed, stages.is_ended)
            return
        self._is_passing_out = True
        self._out_chunks, self._out_ended = [], ended
        if self._connection is not None:
            self._connection.pause_reading()
        self._spawn(self._pass_out_later(passed))

    async def _pass_out_later(self, passing: Awaitable[list[bytes]]) -> None:
        passed = await passing
        self._task = None
        self._is_passing_out = False
        assert self._out_stages is not None
        if self._out_stages.is_ended:
            self._send_response_body(passed, True)
            return
        self._send_response_body(passed, False)
        chunks, ended = self._out_chunks, self._out_ended
        if chunks or ended:
            self._pass_out(chunks, ended)
        if self._connection is not None and not self._is_passing_out:
            self._connection.resume_reading()

    def _send_response_body(self, chunks: list[bytes], ended: bool) -> None:
        stream = self.stream
        if chunks:
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self.exchange.bytes_out += len(data)
            stream.send_body(data)
        if not ended:
            self._arm_body()
            return
        response = self.exchange.response
        assert response is not None
        if self._connection is not None:
            self._abort_upstream()
        stream.send_end(response.trailers)
        self._finish()

    async def _read_response(self, limit: int) -> bytes:
        """What ``Response.read`` waits for."""
        if self._response_started:
            raise RuntimeError("the response is on its way already; read it in on_response")
        while True:
            size = sum(map(len, self._out_chunks))
            if size > limit:
                raise BodyTooLarge(
                    f"The upstream's body is longer than {limit} bytes.", status=502, code="upstream-body-too-large"
                )
            if self._out_ended:
                body = b"".join(self._out_chunks)
                self._out_chunks = []
                return body
            self._arm("between_bytes", self.route.between_bytes)
            self._reader = self.traffic.loop.create_future()
            if self._connection is not None:
                self._connection.resume_reading()
            try:
                await self._reader
            finally:
                self._reader = None

    # -- backpressure -----------------------------------------------------------------------------

    def on_upstream_blocked(self) -> None:
        self.stream.pause_request()
        self._arm("idle_stream", self.route.idle_stream)

    def on_upstream_drained(self) -> None:
        if not self._is_over and not self._is_passing_in:
            self.stream.resume_request()
            if not self.is_request_over and not self._response_started:
                self._arm("client_body", 0.0)

    def on_client_blocked(self) -> None:
        """The client does not read."""
        if self._connection is not None:
            self._connection.pause_reading()
        if not self._is_over:
            self._arm("idle_stream", self.route.idle_stream)

    def on_client_drained(self) -> None:
        """It reads again."""
        if self._connection is not None and not self._is_passing_out:
            self._connection.resume_reading()
        if not self._is_over and self._response_started:
            self._arm_body()

    # -- ends -------------------------------------------------------------------------------------

    def on_client_gone(self) -> None:
        """The client left before its response was complete."""
        if self._is_over:
            return
        self.is_request_over = True
        self.exchange.error = ClientDisconnected("The client closed the connection.")
        self.exchange.is_aborted = True
        self._cancel_task()
        self._abort_upstream()
        self._finish()

    def on_upstream_lost(self, error: GatewayError) -> None:
        """The upstream failed; where nothing of an answer had come, the request may go again."""
        connection, self._connection = self._connection, None
        self._leave_endpoint()
        if self._is_over:
            return
        if self._upstream_response is None:
            stale = connection is not None and connection.is_untouched
            if stale and not self._retried_stale and self._is_repeatable(self.exchange.request):
                self._retried_stale = True
                self._forward()
                return
        elif self._reader is not None and not self._reader.done():
            self._reader.set_exception(error)
            return
        self.fail(error)

    def _is_repeatable(self, request: Request) -> bool:
        if request.method not in IDEMPOTENT:
            return False
        return self._can_send_again(request)

    def _can_send_again(self, request: Request) -> bool:
        if not request.has_body or request.body is not None:
            return True
        return self._replay is not None and not self.route.chain.request_chunk

    def fail(self, error: GatewayError) -> None:
        """Something went wrong: answer with what the error hooks or else the error itself say."""
        if self._is_over:
            return
        self._cancel_task()
        self._abort_upstream()
        drop_tracebacks(error)
        exchange = self.exchange
        exchange.error = error
        if self._response_started:
            exchange.is_aborted = True
            self.stream.abort()
            self._finish()
        elif self.route.chain.error:
            self._arm("", 0.0)
            self._spawn(self._fail_later(error))
        else:
            self._present(Response.problem(error, exchange.id), [], True)

    async def _fail_later(self, error: GatewayError) -> None:
        exchange = self.exchange
        answer = await self.route.chain.run_error(exchange, error)
        if isinstance(answer, Retry) and exchange.attempts < MAX_ATTEMPTS and self._can_send_again(exchange.request):
            await asyncio.sleep(answer.after)
            self._task = None
            self._upstream_response = None
            self._forward()
            return
        self._task = None
        self._present(answer if isinstance(answer, Response) else Response.problem(error, exchange.id), [], True)

    def on_fault(self, error: Exception) -> None:
        """A defect of the kernel: this exchange ends, the others go on."""
        exchange = self.exchange
        text = "".join(traceback.format_exception(error))
        self.traffic.emit(InternalFault(exchange.id, f"{type(error).__name__}: {error}", text))
        failure = GatewayError("The gateway could not process this request.")
        failure.proxy_status = "proxy_internal_error"
        drop_tracebacks(error)
        if self._response_started:
            self.fail(failure)
        elif not self._is_over:
            self._cancel_task()
            self._abort_upstream()
            exchange.error = failure
            exchange.response = response = Response.problem(failure, exchange.id)
            self._response_started = True
            self.stream.send_response(response, response.body or b"", len(response.body or b""), True)
            self._finish()

    def expire(self, now: float) -> None:
        """The deadline has passed; ``_phase`` says which one it was."""
        route, phase = self.route, self._phase
        if self._total_deadline <= now:
            self.fail(UpstreamTimeout("total", route.total))
        elif phase == "client_body":
            seconds = self.stream.body_timeout
            self.fail(
                RequestTimeout(
                    f"No piece of the request body came within {seconds:g} s.", extra={"timeout": "client_body"}
                )
            )
        elif phase:
            self.fail(UpstreamTimeout(phase, self._seconds))

    def _arm(self, phase: str, seconds: float) -> None:
        if phase == "client_body":
            seconds = self.stream.body_timeout
        self._phase = phase
        self._seconds = seconds
        wheel, stream = self.traffic.wheel, self.stream
        deadline = wheel.base + seconds if seconds else NEVER
        if self._total_deadline < deadline:
            deadline = self._total_deadline
        stream.deadline = deadline
        if deadline < stream.due:
            wheel.place(stream)

    def _arm_body(self) -> None:
        """While a body passes: silence of the upstream is limited, in a stream of either side."""
        if self.stream.is_blocked or (
            self._upstream_response is not None and _is_event_stream(self._upstream_response)
        ):
            self._arm("idle_stream", self.route.idle_stream)
        else:
            self._arm("between_bytes", self.route.between_bytes)

    def _finish(self) -> None:
        """The exchange is over, one way or the other."""
        self._is_over = True
        exchange, traffic = self.exchange, self.traffic
        exchange.completed_at = _monotonic()
        if self._connection is not None:
            self._abort_upstream()
        exchange.request._reader = None
        if exchange.response is not None:
            exchange.response._reader = None
        traffic.active -= 1
        if self.route.chain.complete:
            traffic.complete(self)
        else:
            self._snapshot.leave()
        self.stream.on_exchange_over()

    def leave_snapshot(self) -> None:
        """The complete hooks have run."""
        self._snapshot.leave()

    def _leave_upstream(self, response: Response | None) -> None:
        """The upstream's part is complete and the connection is the pool's again."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.trailers is not None and response is not None:
            response.trailers, connection.trailers = connection.trailers, None
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.active -= 1

    def _leave_endpoint(self) -> None:
        if self._endpoint is not None:
            self._endpoint.active -= 1
            self._endpoint = None

    def _abort_upstream(self) -> None:
        if self._waiting_pool is not None:
            self._waiting_pool.cancel(self)
            self._waiting_pool = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
        self._leave_endpoint()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = self.traffic.spawn(self._guard(work))

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except GatewayError as error:
            self._task = None
            self.fail(error)
        except Exception as error:  # noqa: BLE001 - a defect must not vanish in a task
            self._task = None
            self.on_fault(error)

    def _cancel_task(self) -> None:
        task, self._task = self._task, None
        self._is_presenting = self._is_passing_in = self._is_passing_out = False
        if task is not None and not task.done():
            task.cancel()


_BODYLESS = frozenset((204, 205, 304))


def _no_service(route: CompiledRoute, exchange: Exchange) -> GatewayError:
    if not route.info.name:
        return RouteNotFound("No route matches this request.")
    if exchange.service is None:
        return NoTarget("The route has no service, and no plugin answered.", code="no-service")
    return NoTarget(f"There is no service named {exchange.service!r}.", code="no-service")


def _is_event_stream(response: Response) -> bool:
    """Whether events can be read from the body: not if it is compressed; then chunk hooks get it as it is."""
    content_type = response.headers.get_bytes(b"content-type")
    if content_type is None or content_type.partition(b";")[0].strip().lower() != b"text/event-stream":
        return False
    return response.headers.get_bytes(b"content-encoding") is None


def _last_chunk(trailers: Headers | None) -> bytes:
    if trailers is None:
        return b"0\r\n\r\n"
    fields = without_codec_fields(trailers.raw)
    return b"".join((b"0\r\n", *(b"%b: %b\r\n" % field for field in fields), b"\r\n"))
