"""The two messages of an exchange."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from gatewright_sdk.errors import BodyTooLarge, GatewayError, reason_phrase
from gatewright_sdk.headers import FieldSource, Headers

#: Collects a body that is still on its way, up to so many bytes. Set by the gateway.
BodyReader = Callable[[int], Awaitable[bytes]]


class Request:
    """The request as the upstream will get it; hooks change it in place.

    Attributes:
        method: as sent, case-sensitive (RFC 9110 section 9.1).
        scheme: ``http`` or ``https``: how the client reached the gateway.
        host: the authority that the client asked for, lower case, port kept if it was given.
        path: normalised, percent-encoded, starts with ``/`` (or is ``*``); what router and upstream see.
        query: raw, without ``?``; empty where there is none.
        http_version: ``1.0``, ``1.1``, ``2`` or ``3``.
        headers: the fields, less those that concern one connection only.
        trailers: the fields after a chunked body, once it has ended.
        has_body: whether a body follows, of whatever length.
        content_length: the declared length in bytes; None where it is not declared.
        body: None while the body streams past; the whole of it once a hook has read or set it.
    """

    __slots__ = (
        "_reader", "body", "content_length", "has_body", "headers", "host", "http_version",
        "method", "path", "query", "scheme", "trailers",
    )  # fmt: skip

    def __init__(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        query: str = "",
        scheme: str = "http",
        host: str = "",
        headers: Headers | None = None,
        body: bytes | None = None,
        http_version: str = "1.1",
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.scheme = scheme
        self.host = host
        self.headers = Headers() if headers is None else headers
        self.http_version = http_version
        self.body = body
        self.has_body = body is not None
        self.content_length: int | None = None if body is None else len(body)
        self.trailers: Headers | None = None
        self._reader: BodyReader | None = None

    async def read(self, limit: int) -> bytes:
        """Collect the whole body, at most ``limit`` bytes, and keep it in ``body``.

        Call it in a coroutine hook of the request phase. The gateway sends what ``body`` holds
        afterwards, with the right length.

        Raises:
            BodyTooLarge: the body is longer; the client gets 413.
            ClientDisconnected: the client left before the end.
        """
        if self.body is None:
            self.body = await self._reader(limit) if self._reader is not None else b""
        if len(self.body) > limit:
            raise BodyTooLarge(f"The request body is longer than {limit} bytes.")
        return self.body

    def query_params(self) -> list[tuple[str, str]]:
        """The query decoded as form fields, in order, duplicates kept."""
        return parse_qsl(self.query, keep_blank_values=True)

    def set_query_params(self, params: list[tuple[str, str]]) -> None:
        """Replace the query by these form fields."""
        self.query = urlencode(params)

    def cookies(self) -> dict[str, str]:
        """The cookies sent (RFC 6265 section 4.2); of equal names the first counts."""
        found: dict[str, str] = {}
        for line in self.headers.get_all("cookie"):
            for pair in line.split(";"):
                name, separator, value = pair.strip().partition("=")
                if separator:
                    found.setdefault(name, value.strip('"'))
        return found

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.host}{self.path}>"


class Response:
    """The response as the client will get it; hooks change it in place or return another.

    Attributes:
        status: three digits, 200 to 599.
        reason: the phrase of the status line; empty means the registered one.
        headers: the fields, less those that concern one connection only.
        trailers: the fields after the body, once it has ended.
        body: None while the body streams past from the upstream; the whole of it in a response that
            a hook or the gateway made, or once a hook has read or set it.
        is_local: made by the gateway or a plugin, not by the upstream.
        error: the failure that the gateway turned into this response, if that is where it is from.
    """

    __slots__ = ("_reader", "body", "error", "headers", "is_local", "reason", "status", "trailers")

    def __init__(
        self,
        status: int = 200,
        headers: Headers | FieldSource = (),
        body: bytes | None = b"",
        *,
        reason: str = "",
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.body = body
        self.trailers: Headers | None = None
        self.is_local = True
        self.error: GatewayError | None = None
        self._reader: BodyReader | None = None

    @classmethod
    def text(cls, status: int, text: str, headers: FieldSource = ()) -> Response:
        response = cls(status, headers, text.encode())
        response.headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        return response

    @classmethod
    def json(cls, status: int, document: Any, headers: FieldSource = ()) -> Response:
        response = cls(status, headers, json.dumps(document, separators=(",", ":")).encode())
        response.headers.setdefault("Content-Type", "application/json")
        return response

    @classmethod
    def problem(cls, error: GatewayError, request_id: str) -> Response:
        """The RFC 9457 document of an error, with ``Retry-After`` and ``Proxy-Status`` (RFC 9209)."""
        document = json.dumps(error.problem(request_id), separators=(",", ":")).encode()
        headers = [("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
        if error.proxy_status is not None:
            headers.append(("Proxy-Status", f"gatewright; error={error.proxy_status}"))
        if error.retry_after is not None:
            headers.append(("Retry-After", str(max(1, math.ceil(error.retry_after)))))
        response = cls(error.status, headers, document, reason="" if reason_phrase(error.status) else error.title)
        response.error = error
        return response

    async def read(self, limit: int) -> bytes:
        """Collect the whole body, at most ``limit`` bytes, and keep it in ``body``.

        Call it in a coroutine hook of the response phase.

        Raises:
            BodyTooLarge: the body is longer; the client gets 502.
            ConnectionLost: the upstream failed before the end.
        """
        if self.body is None:
            self.body = await self._reader(limit) if self._reader is not None else b""
        if len(self.body) > limit:
            raise BodyTooLarge(
                f"The upstream's body is longer than {limit} bytes.", status=502, code="upstream-body-too-large"
            )
        return self.body

    def __repr__(self) -> str:
        return f"<Response {self.status}>"
