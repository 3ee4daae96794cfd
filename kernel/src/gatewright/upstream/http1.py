"""HTTP/1.1 towards an upstream: one connection, one exchange at a time.

The parser's callbacks only collect; what has come is handed on once per read, so that a small
response is one call and one write. Requests are serialised from their parts, never copied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from gatewright.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    FORWARDED,
    KNOWN,
    NAMES_NO_FIELD,
    TRANSFER_ENCODING,
    classify,
    drop_named,
)
from gatewright.timers import NEVER
from gatewright_sdk import BadUpstreamResponse, ConnectionLost, GatewayError, Headers, Response

if TYPE_CHECKING:
    from gatewright.upstream.pool import Pool

HEAD_LIMIT = 64 * 1024
FIELD_LIMIT = 256
WRITE_HIGH = 64 * 1024

RawField = tuple[bytes, bytes]

_new = object.__new__


class Receiver(Protocol):
    """Whoever sent a request, as the connection sees it."""

    def on_informational(self, status: int, fields: list[RawField]) -> None:
        """A 1xx response came (RFC 9110 section 15.2)."""

    def on_response(self, response: Response, length: int | None, chunks: list[bytes], ended: bool) -> None:
        """The response head, and as much of the body as came with it."""

    def on_response_body(self, chunks: list[bytes], ended: bool) -> None:
        """More of the body."""

    def on_upstream_lost(self, error: GatewayError) -> None:
        """The response will not be complete. The connection is gone already."""

    def on_upstream_blocked(self) -> None:
        """The upstream does not read; stop sending."""

    def on_upstream_drained(self) -> None:
        """It reads again."""

    def on_fault(self, error: Exception) -> None:
        """One of the calls above raised what it must not: a defect of the kernel."""


class UpstreamConnection(asyncio.Protocol):
    """One connection of a pool.

    Attributes:
        requests: how many it has carried.
        trailers: the fields after the last body, valid at its end.
    """

    _transport: asyncio.Transport | None = None
    _receiver: Receiver | None = None
    _bodyless = False
    _request_ended = True
    _response_ended = True
    _head: Response | None = None
    _head_bytes = 0
    _connection = b""
    _length: int | None = None
    _started = False
    _ended = False
    _keep_alive = False
    _until_close = False
    _in_trailers = False
    _interim: list[tuple[int, list[RawField]]] | None = None
    deadline = NEVER
    due = NEVER
    requests = 0
    is_closed = False
    trailers: Headers | None = None

    def __init__(self, pool: Pool) -> None:
        # What one response leaves behind is put back by _finish; the class has the starting values.
        self.pool = pool
        self._fields: list[RawField] = []
        self._chunks: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    # -- the owner's side -------------------------------------------------------------------------

    def send(self, receiver: Receiver, data: bytes, *, ended: bool, bodyless: bool) -> None:
        """Begin a request: its head, and its body as far as it is there.

        Args:
            ended: nothing follows.
            bodyless: the response has no body whatever its fields say (HEAD).
        """
        self._receiver = receiver
        self._bodyless = bodyless
        self._request_ended = ended
        self._response_ended = False
        self.requests += 1
        self._transport.write(data)  # type: ignore[union-attr]

    @property
    def is_untouched(self) -> bool:
        """No byte of a response has come on a connection that had carried requests before."""
        return self._head_bytes == 0 and self.requests > 1

    def write(self, data: bytes) -> None:
        """More of the request's body, framed already."""
        if not self.is_closed and data:
            assert self._transport is not None
            self._transport.write(data)

    def end(self) -> None:
        """The request is complete."""
        self._request_ended = True
        if self._response_ended:
            self._finish()

    def pause_reading(self) -> None:
        if not self.is_closed and self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.is_closed and self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Give the exchange up: the connection is closed at once."""
        self._receiver = None
        self.close(abort=True)

    def close(self, *, abort: bool = False) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.pool.forget(self)
            if self._transport is not None:
                if abort:
                    self._transport.abort()
                else:
                    self._transport.close()

    def expire(self, now: float) -> None:
        """Nobody has used the connection for a while."""
        self.close()

    # -- asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are Transports in all but class.
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self.pool.forget(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            if self._until_close and exc is None:
                self._response_ended = True
                receiver.on_response_body([], True)
            else:
                receiver.on_upstream_lost(
                    ConnectionLost("The upstream closed the connection before its response was complete.")
                )
        self._parser = None  # type: ignore[assignment]  # breaks the cycle; nothing is fed any more
        self._transport = None

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.on_upstream_blocked()

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.on_upstream_drained()

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            # Bytes that nobody asked for: what they answer cannot be known.
            self.close(abort=True)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("The upstream switched protocols unasked.")
            return
        except httptools.HttpParserError as error:
            # A response that was complete before the rubbish stands; the connection does not.
            if not self._ended:
                self._fail(_describe(error))
                return
            self._keep_alive = False
        try:
            if self._started:
                self._deliver(receiver)
            else:
                self._await_head(receiver, len(data))
        except Exception as error:  # noqa: BLE001 - a defect must not take other exchanges along
            if self._receiver is receiver:
                self._receiver = None
                self.close(abort=True)
            receiver.on_fault(error)

    def _await_head(self, receiver: Receiver, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_LIMIT:
            self._fail("The upstream's response head is too large.")
            return
        self._deliver_interim(receiver)

    def _deliver_interim(self, receiver: Receiver) -> None:
        interim, self._interim = self._interim, None
        for status, fields in interim or ():
            receiver.on_informational(status, fields)

    def _deliver(self, receiver: Receiver) -> None:
        if self._interim is not None:
            self._deliver_interim(receiver)
        head, chunks = self._head, self._chunks
        if self._ended:
            length = self._length
            self._response_ended = True
            if self._request_ended:
                self._finish()
            if head is not None:
                receiver.on_response(head, length, chunks, True)
            else:
                receiver.on_response_body(chunks, True)
        elif head is not None:
            self._chunks = []
            self._head = None
            receiver.on_response(head, self._length, chunks, False)
        elif chunks:
            self._chunks = []
            receiver.on_response_body(chunks, False)

    def _finish(self) -> None:
        """The exchange is over both ways: back to the pool, or closed."""
        self._receiver = None
        if not self._keep_alive or self.is_closed:
            self.close()
            return
        if self._bodyless:
            # llhttp cannot be told that a response to HEAD has no body, so it waits for one.
            self._parser = httptools.HttpResponseParser(self)
        self._chunks = []
        self._head = None
        self._head_bytes = 0
        self._length = None
        self._started = self._ended = self._in_trailers = False
        self.pool.release(self)

    def _fail(self, detail: str) -> None:
        receiver, self._receiver = self._receiver, None
        self.close(abort=True)
        if receiver is not None:
            receiver.on_upstream_lost(BadUpstreamResponse(detail))

    # -- the parser's side ------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        kind = KNOWN.get(name)
        if kind is None:
            kind = classify(name)
        if not kind:
            self._fields.append((name, value))
        elif self._in_trailers:
            return
        elif kind == CONTENT_LENGTH:
            self._length = int(value)
        elif kind == CONNECTION:
            if value not in NAMES_NO_FIELD:
                self._connection = self._connection + b"," + value if self._connection else value
        elif kind == TRANSFER_ENCODING:
            if value.lower() != b"chunked":
                raise BadUpstreamResponse("The upstream used a transfer coding other than chunked.")
            self._length = -1
        elif kind in (FORWARDED, EXPECT):
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        status = parser.get_status_code()
        fields, self._fields = self._fields, []
        if len(fields) > FIELD_LIMIT:
            raise BadUpstreamResponse("The upstream sent too many header fields.")
        if self._connection:
            drop_named(fields, self._connection)
            self._connection = b""
        if status < 200:
            self._length = None
            self._interim = [*(self._interim or ()), (status, fields)]
            return
        self._keep_alive = parser.should_keep_alive()
        length = self._length
        if self._bodyless:
            self._ended = True
            # Where the length is unknown llhttp expects the end of the connection, but no body comes.
            self._keep_alive = self._keep_alive or (length is None and parser.get_http_version() == "1.1")
        elif length is None and status not in (204, 304):
            self._until_close = True
        if length == -1:
            self._length = None
            self._in_trailers = True
        response = _new(Response)
        response.status = status
        response.reason = ""
        response.headers = headers = _new(Headers)
        headers.raw = fields
        response.body = None
        response.trailers = None
        response.is_local = False
        response.error = None
        response._reader = None
        self._head = response
        self._started = True

    def on_body(self, body: bytes) -> None:
        if not self._bodyless:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self._started:
            self._ended = True
            if self._in_trailers:
                self.trailers = Headers.from_raw(self._fields) if self._fields else None
                self._fields = []


def _describe(error: httptools.HttpParserError) -> str:
    cause = error.__context__
    if isinstance(cause, BadUpstreamResponse):
        return cause.detail
    return "The upstream's response is malformed."


def request_head(
    method: bytes, target: bytes, host: bytes, fields: Sequence[RawField], extra: bytes, framing: bytes
) -> bytes:
    """The head of an HTTP/1.1 request (RFC 9112 section 3).

    Args:
        extra: further field lines, each with its CRLF, from the gateway itself.
        framing: as ``extra``: Content-Length, Transfer-Encoding or nothing.
    """
    start = b"%b %b HTTP/1.1\r\nHost: %b" % (method, target, host)
    return b"\r\n".join((start, *map(b": ".join, fields), extra + framing + b"\r\n"))
