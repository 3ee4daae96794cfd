"""One exchange as one line of JSON.

A line is put together from getters that are chosen once, when the config is compiled; each returns its
member as text. Values that need no escape, nearly all, cost one search of a compiled pattern.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable

from gatewright_access_log.config import AccessLogConfig
from gatewright_sdk import Exchange

Getter = Callable[[Exchange], str]

#: Fields whose values are credentials: never logged in clear, not even when asked for.
SECRET_HEADERS = frozenset(
    (
        "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-auth-token",
        "x-amz-security-token", "x-csrf-token", "x-goog-api-key",
    )
)  # fmt: skip
#: Query parameters whose values are credentials or stand for one.
SECRET_PARAMETERS = frozenset(
    (
        "access_token", "refresh_token", "id_token", "token", "api_key", "apikey", "key", "password", "passwd",
        "secret", "client_secret", "sig", "signature", "x-amz-signature", "x-amz-security-token", "code", "auth",
    )
)  # fmt: skip
REDACTED = "[redacted]"

_needs_escape = re.compile(r"[^ !#-\[\]-~]").search


def quote(text: str) -> str:
    """A JSON string (RFC 8259 section 7), in ASCII."""
    return json.dumps(text) if _needs_escape(text) else f'"{text}"'


class Clock:
    """Wall time of monotonic moments, as RFC 3339 in UTC with milliseconds; the date part is made once a second."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._second = -1
        self._text = ""
        self.set()

    def set(self) -> None:
        """Follow the wall clock, which may have been moved."""
        self._offset = self._wall() - self._monotonic()

    def text(self, moment: float) -> str:
        now = moment + self._offset
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{int((now - second) * 1000):03d}Z"


class LineFormat:
    """Makes the lines of one attachment."""

    def __init__(self, config: AccessLogConfig, clock: Clock) -> None:
        self._limit = config.max_value
        self._clock = clock
        self._secret_query = SECRET_PARAMETERS | {name.lower() for name in config.redact.query}
        secret = SECRET_HEADERS | {name.lower() for name in config.redact.headers}
        getters = [getattr(self, f"_{name}") for name in config.fields]
        getters += self._headers("request", config.headers.request, secret)
        getters += self._headers("response", config.headers.response, secret)
        self._getters: tuple[Getter, ...] = tuple(getters)

    def line(self, exchange: Exchange) -> str:
        """The line, without its end."""
        return "{" + ",".join([member for get in self._getters if (member := get(exchange))]) + "}"

    def _text(self, value: str) -> str:
        if len(value) > self._limit:
            value = value[: self._limit] + "…"
        return quote(value)

    def _headers(self, side: str, names: Iterable[str], secret: frozenset[str]) -> list[Getter]:
        return [self._header(side, name.lower(), name.lower() in secret) for name in names]

    def _header(self, side: str, name: str, is_secret: bool) -> Getter:
        label = f"{quote(f'{side}.{name}')}:"

        def get(exchange: Exchange) -> str:
            message = exchange.request if side == "request" else exchange.response
            values = message.headers.get_all(name) if message is not None else []
            if not values:
                return ""
            return label + (quote(REDACTED) if is_secret else self._text(", ".join(values)))

        return get

    def redacted(self, query: str) -> str:
        """A query in which the values of secret parameters are masked."""
        parts = query.split("&")
        for index, part in enumerate(parts):
            name, separator, _ = part.partition("=")
            if separator and name.lower() in self._secret_query:
                parts[index] = f"{name}={REDACTED}"
        return "&".join(parts)

    # -- the fields -------------------------------------------------------------------------------

    def _time(self, exchange: Exchange) -> str:
        return f'"time":"{self._clock.text(exchange.received_at)}"'

    def _id(self, exchange: Exchange) -> str:
        return f'"id":{quote(exchange.id)}'

    def _client(self, exchange: Exchange) -> str:
        return f'"client":"{exchange.client.ip}"'

    def _method(self, exchange: Exchange) -> str:
        return f'"method":{quote(exchange.request.method)}'

    def _scheme(self, exchange: Exchange) -> str:
        return f'"scheme":"{exchange.request.scheme}"'

    def _host(self, exchange: Exchange) -> str:
        return f'"host":{self._text(exchange.request.host)}'

    def _path(self, exchange: Exchange) -> str:
        return f'"path":{self._text(exchange.request.path)}'

    def _query(self, exchange: Exchange) -> str:
        query = exchange.request.query
        return f'"query":{self._text(self.redacted(query))}' if query else ""

    def _protocol(self, exchange: Exchange) -> str:
        return f'"protocol":"HTTP/{exchange.request.http_version}"'

    def _status(self, exchange: Exchange) -> str:
        return f'"status":{status_of(exchange)}'

    def _bytes_in(self, exchange: Exchange) -> str:
        return f'"bytes_in":{exchange.bytes_in}'

    def _bytes_out(self, exchange: Exchange) -> str:
        return f'"bytes_out":{exchange.bytes_out}'

    def _duration_ms(self, exchange: Exchange) -> str:
        return f'"duration_ms":{(exchange.completed_at - exchange.received_at) * 1e3:.3f}'

    def _upstream(self, exchange: Exchange) -> str:
        return f'"upstream":{quote(exchange.target)}' if exchange.target else ""

    def _upstream_ms(self, exchange: Exchange) -> str:
        if not exchange.first_byte_at:
            return ""
        return f'"upstream_ms":{(exchange.first_byte_at - exchange.upstream_at) * 1e3:.3f}'

    def _attempts(self, exchange: Exchange) -> str:
        return f'"attempts":{exchange.attempts}'

    def _route(self, exchange: Exchange) -> str:
        return f'"route":{quote(exchange.route.name)}' if exchange.route.name else ""

    def _service(self, exchange: Exchange) -> str:
        name = exchange.service or exchange.route.service
        return f'"service":{quote(name)}' if name else ""

    def _error(self, exchange: Exchange) -> str:
        return f'"error":{quote(exchange.error.code)}' if exchange.error is not None else ""

    def _aborted(self, exchange: Exchange) -> str:
        return '"aborted":true' if exchange.is_aborted else ""

    def _user_agent(self, exchange: Exchange) -> str:
        value = exchange.request.headers.get("user-agent")
        return f'"user_agent":{self._text(value)}' if value else ""

    def _referer(self, exchange: Exchange) -> str:
        value = exchange.request.headers.get("referer")
        if not value:
            return ""
        page, separator, query = value.partition("?")
        return f'"referer":{self._text(page + separator + self.redacted(query))}'

    def _subject(self, exchange: Exchange) -> str:
        return f'"subject":{self._text(exchange.identity.subject)}' if exchange.identity is not None else ""

    def _tenant(self, exchange: Exchange) -> str:
        return f'"tenant":{self._text(exchange.tenant)}' if exchange.tenant else ""


def status_of(exchange: Exchange) -> int:
    """The status that the client got; 499 where it left before there was one."""
    return exchange.response.status if exchange.response is not None else 499
