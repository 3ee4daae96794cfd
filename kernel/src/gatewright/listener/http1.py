"""HTTP/1.1 from clients: strict in, re-serialised out, answers in the order of the requests.

The parser's callbacks only collect into ``_inbox``: a request head, pieces of its body, its end.
``_advance`` then hands them on, one exchange at a time. What was pipelined behind the exchange under
way waits in the inbox, and while anything waits there the client is not read from, so the inbox never
holds more than one read.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import httptools

from gatewright.dispatch import Journey
from gatewright.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    FORWARDED,
    HOST,
    KNOWN,
    NAMES_NO_FIELD,
    TRANSFER_ENCODING,
    UPGRADE,
    classify,
    drop_named,
    has_token,
    without_codec_fields,
)
from gatewright.listener.address import forwarded_lines, resolve_client
from gatewright.timers import NEVER
from gatewright_sdk import ClientAddress, ClientError, GatewayError, Headers, Request, RequestTimeout, Response
from gatewright_sdk.errors import reason_phrase

if TYPE_CHECKING:
    from gatewright.listener.server import Acceptor

WRITE_HIGH = 64 * 1024
#: After a response that left part of its request unread: how much more to read and throw away, and
#: for how long, so that the client gets to see the response before the connection resets.
LINGER_BYTES = 1 << 20
LINGER_SECONDS = 2.0
#: Chunk framing that a request may spend beyond this, and beyond 32 bytes a chunk, is an attack.
CHUNK_OVERHEAD = 16 * 1024

RawField = tuple[bytes, bytes]

_new = object.__new__

_METHODS = {method.encode(): method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
# RFC 3986 section 3.2: a host and a port; no userinfo (RFC 9110 section 4.2.4).
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_TOKEN_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64} ")
_END = object()
# The states in which Linux's TCP_INFO shows that the peer has closed: CLOSE, CLOSE_WAIT, LAST_ACK, CLOSING.
_PEER_LEFT = frozenset((7, 8, 9, 11))


class Http1Connection(asyncio.Protocol):
    """One client connection.

    Attributes:
        requests: how many it has sent.
        is_idle: no exchange is under way and nothing of a next one has come.
    """

    _transport: asyncio.Transport | None = None
    _parser: httptools.HttpRequestParser | None = None
    _journey: Journey | None = None
    _queued = 0
    _is_advancing = False
    _is_paused = False
    _is_closing = False
    _lingered = 0
    _close_after = False
    _is_http10 = False
    _is_chunked_response = False
    _in_body = False
    _head_open = False
    _fed = 0
    _chunks = 0
    _target = b""
    _host: bytes | None = None
    _host_sent = b""
    _connection = b""
    _has_connection = False
    _expect = False
    _content_length: int | None = None
    _is_chunked = False
    _upgrade = False
    _forwarded: list[RawField] | None = None
    deadline = NEVER
    due = NEVER
    requests = 0
    is_blocked = False
    forwarded = b""

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._traffic = acceptor.traffic
        self._wheel = acceptor.traffic.wheel
        self.body_timeout = acceptor.body_timeout
        self._inbox: deque[Any] = deque()
        self._fields: list[RawField] = []

    @property
    def is_idle(self) -> bool:
        return self._journey is None and not self._inbox and not self._head_open

    # -- asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are Transports in all but class.
        self._transport = transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        ip, port = (peer[0], peer[1]) if isinstance(peer, tuple) else ("127.0.0.1", 0)
        if ip.startswith("::ffff:"):
            ip = ip[7:]
        self._peer = ClientAddress(ip, port, ip, ip in self._acceptor.trusted)
        self.client = self._peer
        if not self._acceptor.admit(self, ip):
            self._is_closing = True
            transport.abort()
            return
        self._parser = httptools.HttpRequestParser(self)
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        self._wheel.arm(self, self._wheel.base + self._acceptor.keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        self._parser = None
        self._transport = None
        self._inbox.clear()
        self._acceptor.dismiss(self, self._peer.ip)
        journey, self._journey = self._journey, None
        if journey is not None:
            journey.on_client_gone()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.is_blocked = True
        if self._journey is not None:
            self._journey.on_client_blocked()

    def resume_writing(self) -> None:
        self.is_blocked = False
        if self._journey is not None:
            self._journey.on_client_drained()

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            self._linger(len(data))
            return
        self._fed += len(data)
        if not self._in_body:
            self._head_open = True
        failure: GatewayError | None = None
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]
        except httptools.HttpParserUpgrade:
            failure = self._refuse_upgrade()
        except httptools.HttpParserError as error:
            failure = self._describe(error, data)
        if self._fed and failure is None:
            failure = self._check_sizes(data)
        inbox = self._inbox
        if failure is not None:
            inbox.append(failure)
            self._close_after = True
        if inbox:
            if self._journey is None and len(inbox) == 1 and failure is None:
                self._begin(*inbox.popleft())
            else:
                self._advance()
        elif self._head_open and self._journey is None and self.deadline > self._wheel.base + self._acceptor.head:
            self._wheel.arm(self, self._wheel.base + self._acceptor.head)

    def _check_sizes(self, data: bytes) -> GatewayError | None:
        """Limits on what has come but is not complete: ``_fed`` counts all but the body's own bytes."""
        if self._in_body:
            if self._is_chunked and self._fed > CHUNK_OVERHEAD + 32 * self._chunks:
                return ClientError("The chunked body's framing is too large.", code="bad-chunk")
        elif self._fed > self._acceptor.head_bytes:
            return _too_large()
        return None

    # -- the parser's side ------------------------------------------------------------------------

    def on_url(self, target: bytes) -> None:
        self._target += target
        if len(self._target) > self._acceptor.url_bytes:
            raise ClientError("The request target is too long.", status=414, code="uri-too-long")

    def on_header(self, name: bytes, value: bytes) -> None:
        kind = KNOWN.get(name)
        if kind is None:
            kind = classify(name)
        if not kind:
            self._fields.append((name, value))
        elif kind == HOST and not self._in_body:
            if self._host is not None:
                raise ClientError("There is more than one Host field.", code="bad-host")
            self._host = value.rstrip(b" \t")
        else:
            self._on_special(kind, name, value.rstrip(b" \t"))

    def _on_special(self, kind: int, name: bytes, value: bytes) -> None:
        if self._in_body:
            # A trailer. What would have changed how the message is read must not come too late.
            if kind in (HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION):
                raise ClientError("A field of the message's framing stands in the trailers.", code="bad-trailer")
        elif kind == CONTENT_LENGTH:
            self._content_length = int(value)
        elif kind == CONNECTION:
            self._has_connection = True
            if value not in NAMES_NO_FIELD:
                self._connection = self._connection + b"," + value if self._connection else value
        elif kind == TRANSFER_ENCODING:
            if value.lower() != b"chunked":
                raise ClientError("The only transfer coding is chunked.", status=501, code="transfer-coding")
            self._is_chunked = True
        elif kind == EXPECT:
            if value.lower() != b"100-continue":
                raise ClientError("This expectation cannot be met.", status=417, code="expectation-failed")
            self._expect = True
        elif kind == FORWARDED:
            self._forwarded = [*(self._forwarded or ()), (name, value)]
        elif kind == UPGRADE:
            self._upgrade = True

    def on_headers_complete(self) -> None:
        acceptor, parser, fields = self._acceptor, self._parser, self._fields
        assert parser is not None
        self._head_open = False
        if self._fed > acceptor.head_bytes and _head_size(self._target, fields) > acceptor.head_bytes:
            raise _too_large()
        if len(fields) > acceptor.header_count:
            raise ClientError("The request has too many header fields.", status=431, code="head-too-large")
        keep_alive = parser.should_keep_alive()
        # Without a Connection field, HTTP/1.1 keeps alive and nothing else does.
        version = "1.1"
        if self._has_connection or not keep_alive:
            self._has_connection = False
            version = parser.get_http_version()
            if version != "1.1":
                self._check_version(version)
        raw = parser.get_method()
        method = _METHODS.get(raw) or _other_method(raw)
        target, host = self._target, self._host
        if target[:1] != b"/":
            target, host = self._absolute(target, method, host)
        if host not in acceptor.known_hosts:
            host = self._check_host(host, version)
        path, query = self._traffic.snapshot.normalise(target)  # type: ignore[union-attr]
        length = self._content_length
        request = _new(Request)
        request.method = method
        request.scheme = acceptor.scheme
        request.host = acceptor.known_hosts.get(host) or host.decode("latin-1").lower()  # type: ignore[union-attr]
        request.path = path
        request.query = query
        request.http_version = version
        request.headers = headers = _new(Headers)
        headers.raw = fields
        request.trailers = None
        request.body = None
        request._reader = None
        request.content_length = length
        request.has_body = self._is_chunked or length is not None
        self._target = b""
        self._host = None
        self._fields = []
        if request.has_body or self._connection or self._expect or self._upgrade:
            self._on_unusual(request, fields, length)
        self._queued += 1
        if self._queued > acceptor.pipeline_depth + 1:
            raise ClientError("Too many requests are pipelined.", status=429, code="pipeline-too-deep")
        self._inbox.append((request, keep_alive, self._forwarded, host))
        self._forwarded = None
        self._fed = 0

    def _on_unusual(self, request: Request, fields: list[RawField], length: int | None) -> None:
        """A body, an upgrade, an expectation, or fields that Connection names."""
        named, self._connection = self._connection, b""
        upgrade, self._upgrade = self._upgrade, False
        expect, self._expect = self._expect, False
        self._content_length = None
        if named:
            drop_named(fields, named)
        if length == 0:
            # Nothing will come, but the length is said: POST without a body has one (RFC 9110 section 8.6).
            request.body = b""
        has_body = request.has_body and length != 0
        if upgrade and has_body and has_token(named, b"upgrade"):
            raise ClientError("A request to upgrade must not have a body.", code="bad-upgrade")
        if expect and has_body and request.http_version == "1.1":
            fields.append((b"Expect", b"100-continue"))
        self._in_body = has_body
        self._chunks = 0

    def _check_host(self, host: bytes | None, version: str) -> bytes:
        """A host that was not seen before (RFC 9112 section 3.2)."""
        if host is None:
            if version == "1.1":
                raise ClientError("The Host field is missing.", code="bad-host")
            return b""
        if not _HOST.fullmatch(host):
            raise ClientError("The Host field is malformed.", code="bad-host")
        self._acceptor.remember_host(host)
        return host

    def _check_version(self, version: str) -> None:
        if version not in ("1.0", "1.1"):
            raise ClientError("This HTTP version is not supported here.", status=505, code="http-version")
        if self._is_chunked and version == "1.0":
            # RFC 9112 section 6.1: such a message is to be treated as having faulty framing.
            raise ClientError("HTTP/1.0 has no chunked bodies.", code="bad-framing")

    def _absolute(self, target: bytes, method: str, host: bytes | None) -> tuple[bytes, bytes | None]:
        """Path and host of an absolute-form target, which overrules Host (RFC 9112 section 3.2.2)."""
        if target == b"*" and method == "OPTIONS":
            return target, host
        found = _ABSOLUTE.fullmatch(target)
        if found is None or host is None:
            raise ClientError("The request target is malformed.", code="bad-target")
        rest = found[3]
        return (rest if rest[:1] == b"/" else b"/" + rest), found[2]

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, body: bytes) -> None:
        self._fed -= len(body)
        self._inbox.append(body)

    def on_message_complete(self) -> None:
        if self._in_body:
            self._in_body = self._is_chunked = False
            trailers = None
            if self._fields:
                if (
                    len(self._fields) > self._acceptor.header_count
                    or _head_size(b"", self._fields) > self._acceptor.head_bytes
                ):
                    raise ClientError("The request's trailers are too large.", status=431, code="head-too-large")
                trailers, self._fields = Headers.from_raw(self._fields), []
            self._inbox.append(_END if trailers is None else trailers)
        self._fed = 0

    def _refuse_upgrade(self) -> GatewayError | None:
        """An upgrade is not taken up, which is the server's right (RFC 9110 section 7.8)."""
        # llhttp has stopped at the end of the head. What follows would be read as the next request,
        # before the client knows that it was refused one protocol for the other: so nothing does.
        self._close_after = True
        for item in reversed(self._inbox):
            if isinstance(item, tuple):
                return None
        return ClientError("This gateway opens no tunnels.", status=501, code="method-not-implemented")

    def _describe(self, error: httptools.HttpParserError, data: bytes) -> GatewayError | None:
        cause = error.__context__
        if isinstance(cause, GatewayError):
            return cause
        text = str(error)
        if "Data after `Connection: close`" in text:
            return None
        if isinstance(error, httptools.HttpParserInvalidMethodError) and _TOKEN_LINE.match(data):
            return ClientError("This method is not implemented.", status=501, code="method-not-implemented")
        if isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
            raise cause
        return ClientError(f"The request is malformed: {text}.", code="bad-request")

    # -- exchanges, one after the other -----------------------------------------------------------

    def _advance(self) -> None:
        """Hand on what the parser has collected, as far as the exchange under way allows."""
        if self._is_advancing:
            return
        self._is_advancing = True
        inbox = self._inbox
        while inbox and not self._is_closing:
            item = inbox[0]
            journey = self._journey
            if journey is None:
                inbox.popleft()
                if isinstance(item, tuple):
                    self._begin(*item)
                elif isinstance(item, GatewayError):
                    self._refuse(item)
            elif isinstance(item, GatewayError) and not journey.is_request_over:
                inbox.popleft()
                self._close_after = True
                journey.fail(item)
            elif journey.is_request_over:
                break
            else:
                inbox.popleft()
                if isinstance(item, bytes):
                    journey.on_request_body(item)
                else:
                    journey.on_request_end(item if isinstance(item, Headers) else None)
        self._is_advancing = False
        if inbox and not self._is_closing:
            self.pause_request()

    def _begin(self, request: Request, keep_alive: bool, received: list[RawField] | None, host: bytes) -> None:
        acceptor = self._acceptor
        self.requests += 1
        self._queued -= 1
        self._is_http10 = request.http_version == "1.0"
        limit = acceptor.requests_per_connection
        self._close_after = (
            (self._close_after and not self._inbox)
            or not keep_alive
            or acceptor.is_draining
            or bool(limit and self.requests >= limit)
        )
        if received and self._peer.is_trusted:
            self.client = resolve_client(self._peer, acceptor.trusted, received)
            self.forwarded = forwarded_lines(self.client, acceptor.scheme, host, acceptor.via, received)
            for name, value in received:
                if name.lower() == b"x-forwarded-proto" and value in (b"http", b"https"):
                    request.scheme = value.decode()
        elif not self.forwarded or self.client is not self._peer or host != self._host_sent:
            self.client = self._peer
            self.forwarded = forwarded_lines(self._peer, acceptor.scheme, host, acceptor.via, ())
            self._host_sent = host
        journey = self._journey = Journey(self._traffic, self, request)
        try:
            journey.start()
        except Exception as error:  # noqa: BLE001 - a defect must not take other exchanges along
            journey.on_fault(error)

    def _refuse(self, error: GatewayError) -> None:
        """Answer what is no request, without an exchange, and close."""
        self._acceptor.count_refused(error)
        response = Response.problem(error, "")
        self._close_after = True
        self._is_http10 = False
        self.send_response(response, response.body or b"", len(response.body or b""), True)
        self._close_politely()

    def on_exchange_over(self) -> None:
        """The journey's last word."""
        journey, self._journey = self._journey, None
        if self._is_closing or journey is None:
            return
        if self._close_after or not journey.is_request_over:
            self._close_politely()
            return
        wheel = self._wheel
        self.deadline = deadline = wheel.base + self._acceptor.idle_seconds
        if deadline < self.due:
            wheel.place(self)
        if self._is_paused and not self._inbox:
            self.resume_request()
        if self._inbox and not self._is_advancing:
            self._advance()
            if self._is_paused and not self._inbox:
                self.resume_request()

    def _close_politely(self) -> None:
        """Close so that the client gets the response even if it is still sending (RFC 9112 section 9.6)."""
        transport = self._transport
        if transport is None or self._is_closing:
            return
        self._is_closing = True
        self._inbox.clear()
        if self._in_body or self._is_paused or self._head_open:
            if transport.can_write_eof():
                transport.write_eof()
            if self._is_paused:
                self._is_paused = False
                transport.resume_reading()
            self._acceptor.watch(self, False)
            self._wheel.arm(self, self._wheel.base + LINGER_SECONDS)
        else:
            transport.close()

    def _linger(self, size: int) -> None:
        self._lingered += size
        if self._lingered > LINGER_BYTES and self._transport is not None:
            self._transport.abort()

    def expire(self, now: float) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._is_closing:
            transport.abort()
        elif self._journey is not None:
            if not self._journey.is_request_over and self._journey._phase == "client_body":
                self._close_after = True
            self._journey.expire(now)
        elif self._head_open:
            seconds = self._acceptor.head
            self._refuse(
                RequestTimeout(
                    f"The request head did not come within {seconds:g} s.",
                    code="client-head-timeout",
                    extra={"timeout": "client_head", "seconds": seconds},
                )
            )
        else:
            self._is_closing = True
            transport.close()

    def start_draining(self, deadline: float) -> None:
        """No request after the one under way, or one that comes before the deadline."""
        # One whose response head has gone out without 'Connection: close' may still be used once more:
        # closing it behind that response would lose the request that the client sends meanwhile.
        if self.is_idle and not self._is_closing:
            self._wheel.arm(self, min(self.deadline, deadline))

    def close_now(self) -> None:
        if self._transport is not None:
            self._is_closing = True
            self._transport.abort()

    # -- the journey's side -----------------------------------------------------------------------

    def pause_request(self) -> None:
        if not self._is_paused and not self._is_closing and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
            self._acceptor.watch(self, True)

    def resume_request(self) -> None:
        if self._is_paused and not self._is_closing and self._transport is not None:
            self._is_paused = False
            self._acceptor.watch(self, False)
            self._transport.resume_reading()

    def check_peer(self) -> None:
        """While the client is not read from, the loop does not see it leave; the kernel does."""
        transport = self._transport
        if transport is None or self._is_closing:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
            if struct.unpack("B", info[:1])[0] in _PEER_LEFT:
                transport.abort()

    def send_continue(self) -> None:
        if self._transport is not None and not self._is_http10:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def send_informational(self, status: int, fields: list[RawField]) -> None:
        if self._transport is not None and not self._is_http10:
            head = (_status_line(status, reason_phrase(status)), *map(b": ".join, fields))
            self._transport.write(b"\r\n".join(head) + b"\r\n\r\n")

    def send_response(self, response: Response, body: bytes, length: int | None, ended: bool) -> None:
        """The head, and the body as far as it is there.

        Args:
            length: of the whole body, None if unknown; then the body is chunked, or ends with the
                connection for HTTP/1.0 (RFC 9112 section 6.3).
            ended: there is no more.
        """
        transport = self._transport
        if transport is None:
            return
        status = response.status
        fields = response.headers.raw
        journey = self._journey
        if response.is_local or (journey is not None and journey.route.chain.response):
            fields = without_codec_fields(fields)
            if response.is_local and response.headers.get_bytes(b"date") is None:
                fields = [*fields, (b"Date", self._acceptor.date)]
        self._is_chunked_response = False
        if length is not None and status != 204:
            framing = b"\r\nContent-Length: %d" % length
        elif ended:
            framing = b""
        elif self._is_http10:
            self._close_after = True
            framing = b""
        else:
            self._is_chunked_response = True
            framing = b"\r\nTransfer-Encoding: chunked"
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
        if journey is not None and not journey.is_request_over:
            self._close_after = True
        if self._close_after or self._acceptor.is_draining:
            self._close_after = True
            framing += b"\r\nConnection: close"
        elif self._is_http10:
            framing += b"\r\nConnection: keep-alive"
        line = _STATUS_LINES.get(status) if not response.reason else None
        if line is None:
            line = _status_line(status, response.reason)
        transport.write(
            b"\r\n".join((line, *map(b": ".join, fields), self._acceptor.via_line + framing + b"\r\n\r\n" + body))
        )

    def send_body(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked_response else data)

    def send_end(self, trailers: Headers | None) -> None:
        if self._transport is None or not self._is_chunked_response:
            return
        if trailers is None:
            self._transport.write(b"0\r\n\r\n")
            return
        fields = without_codec_fields(trailers.raw)
        self._transport.write(b"\r\n".join((b"0", *map(b": ".join, fields), b"\r\n")))

    def abort(self) -> None:
        """Cut the response off in a way that the client can tell from its end."""
        self._is_closing = True
        if self._transport is not None:
            self._transport.abort()


def _head_size(target: bytes, fields: list[RawField]) -> int:
    return len(target) + sum(len(name) + len(value) + 4 for name, value in fields)


def _too_large() -> GatewayError:
    return ClientError("The request head is too large.", status=431, code="head-too-large")


def _status_line(status: int, reason: str) -> bytes:
    return b"HTTP/1.1 %d %b" % (status, reason.encode("latin-1", "replace"))


def _other_method(raw: bytes) -> str:
    if raw == b"CONNECT":
        raise ClientError("This gateway opens no tunnels.", status=501, code="method-not-implemented")
    return raw.decode("latin-1")


_STATUS_LINES = {status: _status_line(status, reason_phrase(status)) for status in range(200, 600)}
