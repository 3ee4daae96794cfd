"""Where a redirect leads: a template that was checked when the config was loaded.

Two things must not happen. A request must not choose the host that it is sent to (an open redirect),
so the template names scheme and host itself, or takes them from the request's own URL, and a
relative one never begins with ``//``. And a value must not break out of its place, so each is
encoded for the part of the URL that it stands in (RFC 3986 sections 3.3 and 3.4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote_to_bytes

from gatewright_sdk import ClientError, Request

Params = Mapping[str, str]
Value = Callable[[Request, Params], str]
Part = str | Value

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PARAM = re.compile(r"params\.([A-Za-z_][A-Za-z0-9_]*)")
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_ABSOLUTE = re.compile(
    r"(?P<scheme>https?|\{scheme\})://"
    r"(?P<authority>(?:(?:[A-Za-z0-9._-]|\{host\})+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)"
    r"(?P<path>(?:/|\{path\}).*)?"
)
_RELATIVE = re.compile(r"(?:/(?!/)|\{path\}).*")
_HOST = re.compile(r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_PORT = re.compile(r":[0-9]{1,5}$")

# What stands unencoded in a path and in a query; escapes stay as they are.
_IN_PATH = "/%:@!$&'()*+,;=~"
_IN_QUERY = _IN_PATH + "?"


class Location:
    """A compiled template.

    Attributes:
        places_query: the template says itself where the request's query goes.

    Raises:
        ValueError: the template is malformed, or would let the request choose the host.
    """

    def __init__(self, to: str) -> None:
        url, _, fragment = to.partition("#")
        place, _, query = url.partition("?")
        absolute = _ABSOLUTE.fullmatch(place)
        if absolute is None and not _RELATIVE.fullmatch(place):
            raise ValueError(
                f"{to!r} is not a place to redirect to; write https://HOST/PATH or /PATH (of placeholders, only"
                " {host} may stand in the host and {scheme} in the scheme)"
            )
        self._origin: list[Part] = []
        if absolute is not None:
            scheme, authority = absolute["scheme"], absolute["authority"]
            # A port that the request named cannot stand in the middle of a host, nor before another port.
            is_last = re.fullmatch(r"[^{]*\{host\}", authority)
            host = _host if is_last else _host_without_port
            self._origin = _compile(to, f"{scheme}://{authority}", {"scheme": _scheme, "host": host})
            place = absolute["path"] or ""
        self._path = _compile(to, place, _PATH_VALUES, _param_in_path)
        self._query = _compile(to, query, _QUERY_VALUES, _param_as_value)
        self._fragment = _compile(to, fragment, _FRAGMENT_VALUES, _param_as_value)
        self.places_query = _query in self._query

    def render(self, request: Request, params: Params, *, keep_query: bool) -> str:
        """The URL for one request, in ASCII without white space or control characters.

        Raises:
            ClientError: the template needs the request's host, and that is missing or malformed.
            LookupError: the route's path has no such parameter.
        """
        origin, path, query, fragment = (
            "".join(part if isinstance(part, str) else part(request, params) for part in parts)
            for parts in (self._origin, self._path, self._query, self._fragment)
        )
        if not origin and path.startswith("//"):
            # A network-path reference (RFC 3986 section 4.2) would name a host.
            path = "/" + path.lstrip("/")
        if keep_query and request.query and not self.places_query:
            query = f"{query}&{_query(request, params)}" if query else _query(request, params)
        return "".join((origin, path, "?" if query else "", query, "#" if fragment else "", fragment))


def _compile(
    to: str, text: str, values: Mapping[str, Value], param: Callable[[str], Value] | None = None
) -> list[Part]:
    """Literals and values in turn, for one part of the URL."""
    parts: list[Part] = []
    for index, piece in enumerate(_PLACEHOLDER.split(text)):
        if index % 2 == 0:
            if not _LITERAL.fullmatch(piece):
                raise ValueError(f"{to!r} holds what no URL may hold, in {piece!r}; percent-encode it")
            parts.append(piece)
        elif piece in values:
            parts.append(values[piece])
        elif param is not None and (found := _PARAM.fullmatch(piece)):
            parts.append(param(found[1]))
        elif piece == "query":
            raise ValueError(f"{to!r} has {{query}} outside of the query; write ?{{query}}, or leave it to keep_query")
        else:
            raise ValueError(
                f"{to!r} uses {{{piece}}}; there are {{path}}, {{query}}, {{host}}, {{scheme}} and {{params.NAME}}"
            )
    return parts


def _path(request: Request, params: Params) -> str:
    # The target of OPTIONS * has no path. A path begins with a slash, or it would prolong the host.
    return "/" + quote(request.path.lstrip("*").removeprefix("/"), safe=_IN_PATH)


def _path_as_value(request: Request, params: Params) -> str:
    return quote(request.path, safe="/")


def _query(request: Request, params: Params) -> str:
    return quote(request.query, safe=_IN_QUERY)


def _scheme(request: Request, params: Params) -> str:
    return "https" if request.scheme == "https" else "http"


def _host(request: Request, params: Params) -> str:
    if not _HOST.fullmatch(request.host):
        raise ClientError("A redirect needs the Host of the request.", code="bad-host")
    return request.host


def _host_without_port(request: Request, params: Params) -> str:
    return _PORT.sub("", _host(request, params))


def _host_as_value(request: Request, params: Params) -> str:
    return quote(request.host, safe=":")


def _param_in_path(name: str) -> Value:
    return lambda request, params: quote(_lookup(params, name), safe=_IN_PATH)


def _param_as_value(name: str) -> Value:
    return lambda request, params: quote(unquote_to_bytes(_lookup(params, name)), safe="")


def _lookup(params: Params, name: str) -> str:
    if name not in params:
        raise LookupError(f"the redirect uses {{params.{name}}}, which the route's path does not have")
    return params[name]


_PATH_VALUES: Mapping[str, Value] = {"path": _path, "host": _host_as_value, "scheme": _scheme}
_FRAGMENT_VALUES: Mapping[str, Value] = {"path": _path_as_value, "host": _host_as_value, "scheme": _scheme}
_QUERY_VALUES: Mapping[str, Value] = {**_FRAGMENT_VALUES, "query": _query}
