"""Which fields belong on a response, decided by the Fetch standard, section 3.3, without any I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatewright_cors.config import CorsConfig
from gatewright_sdk import Headers

RawField = tuple[bytes, bytes]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_METHOD = re.compile(_TOKEN)
_NAMES = re.compile(_TOKEN + rb"(?:[ \t]*,[ \t]*" + _TOKEN + rb")*")
# What an origin looks like when it comes from a browser. It also bounds what a pattern is run on.
_WELL_FORMED = re.compile(rb"[a-z][a-z0-9+.-]{0,31}://[a-z0-9._:\[\]-]{1,262}")
_LABELS = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"

_ALLOW_ORIGIN = b"Access-Control-Allow-Origin"
_REQUEST_METHOD = b"Access-Control-Request-Method"
_REQUEST_HEADERS = b"Access-Control-Request-Headers"
_REQUEST_PRIVATE = b"Access-Control-Request-Private-Network"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the response to a request gets.

    Attributes:
        is_allowed: the origin may read it, or there is none.
        vary: the names that the decision depends on.
        fields: ``Vary`` with these names, then the rest.
    """

    is_allowed: bool
    vary: tuple[bytes, ...]
    fields: tuple[RawField, ...]


class Policy:
    """A config, compiled."""

    def __init__(self, config: CorsConfig) -> None:
        self._is_any = "*" in config.origins
        self._exact = frozenset(origin.encode() for origin in config.origins if "*" not in origin)
        self._patterns = tuple(
            [_wildcard(origin) for origin in config.origins if "*." in origin]
            + [re.compile(pattern) for pattern in config.origin_patterns]
        )
        self._echoes_method = config.methods == ["*"]
        self._echoes_headers = config.headers == ["*"]
        self._private_network = config.private_network
        self._plain_rest = (*_credentials(config), *_list(b"Access-Control-Expose-Headers", config.expose_headers))
        self._preflight_rest = (
            *_credentials(config),
            *(() if self._echoes_method else _list(b"Access-Control-Allow-Methods", config.methods)),
            *(() if self._echoes_headers else _list(b"Access-Control-Allow-Headers", config.headers)),
            (b"Access-Control-Max-Age", b"%d" % config.max_age),
        )
        self._preflight_vary = (
            b"Origin", _REQUEST_METHOD, _REQUEST_HEADERS, *([_REQUEST_PRIVATE] if config.private_network else [])
        )  # fmt: skip
        #: For a request without an origin.
        self.absent = _decision(True, (b"Origin",), ())
        self._refused = _decision(False, (b"Origin",), ())
        self._refused_preflight = _decision(False, self._preflight_vary, ())
        self._known = {origin: self._allowed(origin) for origin in self._exact}

    def allows(self, origin: bytes) -> bool:
        """Whether an origin may read responses. Compared byte by byte, as browsers do."""
        if origin in self._exact:
            return True
        if origin == b"null" or not _WELL_FORMED.fullmatch(origin):
            return False
        if self._is_any:
            return True
        text = origin.decode()
        return any(pattern.fullmatch(text) for pattern in self._patterns)

    def plain(self, origin: bytes) -> Decision:
        """For a request that is no preflight."""
        known = self._known.get(origin)
        if known is not None:
            return known
        return self._allowed(origin) if self.allows(origin) else self._refused

    def preflight(self, origin: bytes, request: Headers) -> Decision:
        """For a preflight, with the lists that the browser holds against what it asked."""
        if not self.allows(origin):
            return self._refused_preflight
        fields = [(_ALLOW_ORIGIN, b"*" if self._is_any else origin), *self._preflight_rest]
        if self._echoes_method:
            fields.extend(_echo(b"Access-Control-Allow-Methods", request.get_bytes(_REQUEST_METHOD.lower()), _METHOD))
        if self._echoes_headers:
            fields.extend(_echo(b"Access-Control-Allow-Headers", request.get_bytes(_REQUEST_HEADERS.lower()), _NAMES))
        if self._private_network and request.get_bytes(_REQUEST_PRIVATE.lower()) == b"true":
            fields.append((b"Access-Control-Allow-Private-Network", b"true"))
        return _decision(True, self._preflight_vary, tuple(fields))

    def _allowed(self, origin: bytes) -> Decision:
        value = b"*" if self._is_any else origin
        return _decision(True, (b"Origin",), ((_ALLOW_ORIGIN, value), *self._plain_rest))


def apply(decision: Decision, raw: list[RawField]) -> None:
    """Put the fields on a response, in place of whatever the upstream said about origins."""
    has_vary = has_own = False
    for index, (name, value) in enumerate(raw):
        size = len(name)
        if size == 4 and not has_vary and name.lower() == b"vary":
            raw[index] = (name, with_members(value, decision.vary))
            has_vary = True
        elif size > 15 and _is_own(name):
            has_own = True
    if has_own:
        raw[:] = [field for field in raw if not _is_own(field[0])]
    raw.extend(decision.fields[1:] if has_vary else decision.fields)


def with_members(value: bytes, names: tuple[bytes, ...]) -> bytes:
    """A ``Vary`` value with ``names`` in it, unless it is ``*`` (RFC 9110 section 12.5.5)."""
    members = [member for part in value.split(b",") if (member := part.strip(b" \t"))]
    present = {member.lower() for member in members}
    if b"*" in present:
        return value
    return b", ".join([*members, *(name for name in names if name.lower() not in present)])


def _is_own(name: bytes) -> bool:
    return name[:15].lower() == b"access-control-"


def _decision(is_allowed: bool, vary: tuple[bytes, ...], fields: tuple[RawField, ...]) -> Decision:
    return Decision(is_allowed, vary, ((b"Vary", b", ".join(vary)), *fields))


def _credentials(config: CorsConfig) -> tuple[RawField, ...]:
    return ((b"Access-Control-Allow-Credentials", b"true"),) if config.credentials else ()


def _list(name: bytes, values: list[str]) -> tuple[RawField, ...]:
    return ((name, ", ".join(values).encode()),) if values else ()


def _echo(name: bytes, asked: bytes | None, shape: re.Pattern[bytes]) -> tuple[RawField, ...]:
    return ((name, asked),) if asked and shape.fullmatch(asked) else ()


def _wildcard(origin: str) -> re.Pattern[str]:
    scheme, _, rest = origin.partition("*")
    return re.compile(re.escape(scheme) + _LABELS + re.escape(rest))
