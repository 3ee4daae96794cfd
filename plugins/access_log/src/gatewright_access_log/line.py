"""One exchange as one line of JSON. Values that need no escape, nearly all, cost one search of a pattern."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

from gatewright_access_log.config import AccessLogConfig
from gatewright_sdk import Exchange, Request, Response

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


#: Each field as an expression of its member's text, comma first; empty where there is nothing to say.
#: ``e`` is the exchange, ``r`` its request, ``p`` its response; the rest is what ``_compile`` gives.
_MEMBERS = {
    "time": """f',"time":"{moment(e.received_at)}"'""",
    "id": """f',"id":{text(e.id)}'""",
    "client": """f',"client":"{e.client.ip}"'""",
    "method": """f',"method":{text(r.method)}'""",
    "scheme": """f',"scheme":"{r.scheme}"'""",
    "host": """f',"host":{text(r.host)}'""",
    "path": """f',"path":{text(r.path)}'""",
    "query": """(f',"query":{text(redacted(r.query))}' if r.query else '')""",
    "protocol": """f',"protocol":"HTTP/{r.http_version}"'""",
    "status": """f',"status":{p.status if p is not None else 499}'""",
    "bytes_in": """f',"bytes_in":{e.bytes_in}'""",
    "bytes_out": """f',"bytes_out":{e.bytes_out}'""",
    "duration_ms": """f',"duration_ms":{(e.completed_at - e.received_at) * 1e3:.3f}'""",
    "upstream": """(f',"upstream":{text(e.target)}' if e.target else '')""",
    "upstream_ms": ("""(f',"upstream_ms":{(e.first_byte_at - e.upstream_at) * 1e3:.3f}' if e.first_byte_at else '')"""),
    "attempts": """f',"attempts":{e.attempts}'""",
    "route": """(f',"route":{text(e.route.name)}' if e.route.name else '')""",
    "service": """(f',"service":{text(e.service or e.route.service)}' if e.service or e.route.service else '')""",
    "error": """(f',"error":{text(e.error.code)}' if e.error is not None else '')""",
    "aborted": """(',"aborted":true' if e.is_aborted else '')""",
    "user_agent": """agent(r.headers.get_bytes(b'user-agent'))""",
    "referer": """referer(r.headers.get('referer'))""",
    "subject": """(f',"subject":{text(e.identity.subject)}' if e.identity is not None else '')""",
    "tenant": """(f',"tenant":{text(e.tenant)}' if e.tenant else '')""",
}
#: User agents whose text is kept; there are few that recur.
_AGENTS = 1024


class LineFormat:
    """Makes the lines of one attachment.

    The chosen fields become one expression, compiled once, because a call for each field would cost as
    much again as the line itself. The expression is put together from ``_MEMBERS`` alone.
    """

    def __init__(self, config: AccessLogConfig, clock: Clock) -> None:
        self._limit = config.max_value
        self._secret_query = SECRET_PARAMETERS | {name.lower() for name in config.redact.query}
        self._agents: dict[bytes | None, str] = {None: ""}
        secret = SECRET_HEADERS | {name.lower() for name in config.redact.headers}
        self._headers = [
            _Header(side, name.lower(), name.lower() in secret)
            for side, names in (("request", config.headers.request), ("response", config.headers.response))
            for name in names
        ]
        source = "lambda e, r, p: " + " + ".join(_MEMBERS[name] for name in config.fields)
        names = {"text": self._text, "redacted": self.redacted, "moment": clock.text}
        names |= {"agent": self._agent, "referer": self._referer}
        # Names of fields are checked by the config model; nothing that anybody wrote is in the source.
        self._members: Callable[[Exchange, Request, Response | None], str] = eval(source, names)  # noqa: S307

    def line(self, exchange: Exchange) -> str:
        """The line, without its end."""
        text = self._members(exchange, exchange.request, exchange.response)
        for header in self._headers:
            value = header.value(exchange)
            if value is not None:
                text += f",{header.label}:{self._text(value)}"
        return f"{{{text[1:]}}}"

    def _text(self, value: str) -> str:
        if len(value) > self._limit:
            value = value[: self._limit] + "…"
        return json.dumps(value) if _needs_escape(value) else f'"{value}"'

    def redacted(self, query: str) -> str:
        """A query in which the values of secret parameters are masked."""
        parts = query.split("&")
        for index, part in enumerate(parts):
            name, separator, _ = part.partition("=")
            if separator and name.lower() in self._secret_query:
                parts[index] = f"{name}={REDACTED}"
        return "&".join(parts)

    def _agent(self, value: bytes | None) -> str:
        known = self._agents.get(value)
        if known is None:
            if len(self._agents) >= _AGENTS:
                self._agents = {None: ""}
            assert value is not None
            known = f',"user_agent":{self._text(value.decode("latin-1"))}' if value else ""
            if len(value) <= self._limit:
                self._agents[value] = known
        return known

    def _referer(self, value: str | None) -> str:
        if not value:
            return ""
        page, separator, query = value.partition("?")
        return f',"referer":{self._text(page + separator + self.redacted(query))}'


class _Header:
    """A header field that is logged besides."""

    def __init__(self, side: str, name: str, is_secret: bool) -> None:
        self.label = quote(f"{side}.{name}")
        self._is_request = side == "request"
        self._name = name
        self._is_secret = is_secret

    def value(self, exchange: Exchange) -> str | None:
        message = exchange.request if self._is_request else exchange.response
        values = message.headers.get_all(self._name) if message is not None else []
        if not values:
            return None
        return REDACTED if self._is_secret else ", ".join(values)


def status_of(exchange: Exchange) -> int:
    """The status that the client got; 499 where it left before there was one."""
    return exchange.response.status if exchange.response is not None else 499
