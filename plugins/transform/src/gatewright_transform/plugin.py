"""The filter: applies the compiled rules to requests and responses."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from gatewright_sdk import (
    BodyTooLarge,
    ClientError,
    EndOfBody,
    Exchange,
    Filter,
    Headers,
    Phase,
    Request,
    Response,
    ServerSentEvent,
    StateKey,
    UpstreamError,
)
from gatewright_transform.codings import Codec, TooLarge, Undecodable, UnknownCoding
from gatewright_transform.config import Body, TransformConfig
from gatewright_transform.document import DocumentRules, InvalidJson
from gatewright_transform.fields import HeaderRules, QueryRules
from gatewright_transform.streams import Coded, Events, Lines, changed_event
from gatewright_transform.templates import Template

_LINES = frozenset(("application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-seq"))
_EVENTS = "text/event-stream"
#: What says something of the bytes of a body, and is wrong once they have changed.
_DIGESTS = ("Content-MD5", "Digest", "Content-Digest", "Repr-Digest", "Accept-Ranges")


class Transform(Filter[TransformConfig]):
    """Changes headers, query, path and JSON bodies."""

    phase = Phase.TRANSFORM

    def __init__(self, config: TransformConfig) -> None:
        super().__init__(config)
        request, response = config.request, config.response
        self._request_headers = HeaderRules(request.headers)
        self._response_headers = HeaderRules(response.headers)
        self._query = QueryRules(request.query)
        self._path = Template(request.path) if request.path is not None else None
        self._request_body, self._response_body = request.body, response.body
        self._request_document = DocumentRules(request.body) if request.body is not None else None
        self._response_document = DocumentRules(response.body) if response.body is not None else None
        self._statuses = frozenset(
            status for pattern in response.when.status for status in range(_first(pattern), _last(pattern) + 1)
        )
        self._stream = StateKey[Coded | Lines]("transform.stream")
        self._is_event_stream = StateKey[bool]("transform.events")

    def hooks(self) -> tuple[str, ...]:
        """Those that the config has something to do for."""
        found = []
        has_url = self._path is not None or not self._query.is_empty
        if not self._request_headers.is_empty or has_url or self._request_body is not None:
            found.append("on_request")
        if not self._response_headers.is_empty or self._response_body is not None:
            found.append("on_response")
        if self._response_body is not None:
            found += ["on_response_chunk", "on_response_event"]
        return tuple(found)

    # -- the request ------------------------------------------------------------------------------

    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        request = exchange.request
        if not self._request_headers.is_empty:
            self._request_headers.apply(request.headers.raw, exchange)
        if not self._query.is_empty:
            request.query = self._query.apply(request.query, exchange)
        if self._path is not None:
            request.path = _checked_path(self._path.fill_path(exchange))
        if self._request_body is not None and request.has_body and _is_json(request.headers):
            return self._change_request(exchange, request, self._request_body)
        return None

    async def _change_request(self, exchange: Exchange, request: Request, body: Body) -> None:
        assert self._request_document is not None
        try:
            codec = Codec(request.headers.get_list("content-encoding"))
            data = codec.decode(await request.read(body.max_size), body.max_size)
            changed = self._request_document.apply(data.decode(), exchange)
        except UnknownCoding:
            return
        except (TooLarge, BodyTooLarge):
            if body.on_oversize == "error":
                raise BodyTooLarge(f"The request body is longer than {body.max_size} bytes.") from None
            return
        except (Undecodable, InvalidJson, UnicodeDecodeError) as error:
            if body.on_invalid == "error":
                raise ClientError("The request body is not valid JSON.", code="invalid-json") from error
            return
        if changed is not None:
            request.body = codec.whole(changed)
            _forget_digests(request.headers)

    # -- the response -----------------------------------------------------------------------------

    def on_response(self, exchange: Exchange) -> Awaitable[None] | None:
        response = exchange.response
        assert response is not None
        if self._statuses and response.status not in self._statuses:
            return None
        if not self._response_headers.is_empty:
            self._response_headers.apply(response.headers.raw, exchange)
        body = self._response_body
        if body is None or response.status in (204, 206, 304) or exchange.request.method == "HEAD":
            return None
        kind = _media_type(response.headers)
        if _is_json_type(kind):
            return self._change_response(exchange, response, body)
        if kind in _LINES or kind == _EVENTS:
            self._begin_stream(exchange, response, body, kind)
        return None

    async def _change_response(self, exchange: Exchange, response: Response, body: Body) -> None:
        assert self._response_document is not None
        try:
            codec = Codec(response.headers.get_list("content-encoding"))
            data = codec.decode(await response.read(body.max_size), body.max_size)
            changed = self._response_document.apply(data.decode(), exchange)
        except UnknownCoding:
            return
        except (TooLarge, BodyTooLarge):
            if body.on_oversize == "error":
                raise UpstreamError(
                    f"The upstream's body is longer than {body.max_size} bytes.", code="upstream-body-too-large"
                ) from None
            return
        except (Undecodable, InvalidJson, UnicodeDecodeError) as error:
            if body.on_invalid == "error":
                raise UpstreamError("The upstream's body is not valid JSON.", code="upstream-invalid-json") from error
            return
        if changed is not None:
            response.body = codec.whole(changed)
            _weaken(response.headers)

    def _begin_stream(self, exchange: Exchange, response: Response, body: Body, kind: str) -> None:
        try:
            codings = response.headers.get_list("content-encoding")
            codec = Codec(codings)
        except UnknownCoding:
            return
        _weaken(response.headers)

        def change(text: str) -> bytes | None:
            return self._change_event(text, exchange)

        if kind == _EVENTS and not codings:
            self._is_event_stream.set(exchange, True)
            return
        inner: Any = Events(change, body.max_size) if kind == _EVENTS else Lines(change, body.max_size)
        self._stream.set(exchange, Coded(inner, codec, body.max_size) if codings else inner)

    def on_response_chunk(self, exchange: Exchange, chunk: bytes) -> bytes | None:
        stream = self._stream.get(exchange)
        if stream is None:
            return None
        try:
            return stream.finish() if isinstance(chunk, EndOfBody) else stream.feed(chunk)
        except (TooLarge, Undecodable) as error:
            raise UpstreamError("The upstream's stream cannot be decoded.", code="upstream-invalid-coding") from error

    def on_response_event(self, exchange: Exchange, event: ServerSentEvent) -> ServerSentEvent | None:
        if not self._is_event_stream.get(exchange):
            return None
        changed = changed_event(event, lambda text: self._change_event(text, exchange))
        return None if changed is event else changed

    def _change_event(self, text: str, exchange: Exchange) -> bytes | None:
        """An event that is no JSON, such as ``[DONE]``, passes as it is."""
        body, document = self._response_body, self._response_document
        assert body is not None
        assert document is not None
        if len(text) > body.max_size:
            return None
        try:
            return document.apply(text, exchange)
        except InvalidJson:
            return None


def _first(pattern: str) -> int:
    return int(pattern.replace("x", "0"))


def _last(pattern: str) -> int:
    return int(pattern.replace("x", "9"))


def _media_type(headers: Headers) -> str:
    return (headers.get("content-type", "") or "").partition(";")[0].strip().lower()


def _is_json(headers: Headers) -> bool:
    return _is_json_type(_media_type(headers))


def _is_json_type(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _checked_path(path: str) -> str:
    """A path that was put together must not climb: dot segments were resolved before routing."""
    if not path.startswith("/"):
        path = "/" + path
    if any(segment.lower().replace("%2e", ".") in (".", "..") for segment in path.split("/")):
        raise ClientError("The path that the request is changed to has dot segments.", code="bad-path")
    return path


def _forget_digests(headers: Headers) -> None:
    for name in _DIGESTS:
        headers.remove(name)


def _weaken(headers: Headers) -> None:
    """Other bytes than the upstream's: its strong validator would be wrong (RFC 9110 section 8.8.1)."""
    _forget_digests(headers)
    tag = headers.get("etag")
    if tag is not None and not tag.startswith("W/"):
        headers.set("ETag", f"W/{tag}")
