"""Values with something of the exchange in them: ``{request.header.x-tenant}``, ``{path.id}``."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from gatewright_sdk import Exchange

Getter = Callable[[Exchange], str]

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")

_PLAIN: dict[str, Getter] = {
    "client.ip": lambda exchange: exchange.client.ip,
    "identity.subject": lambda exchange: exchange.identity.subject if exchange.identity is not None else "",
    "identity.tenant": lambda exchange: exchange.tenant or "",
    "request.id": lambda exchange: exchange.id,
    "request.method": lambda exchange: exchange.request.method,
    "request.host": lambda exchange: exchange.request.host,
    "request.path": lambda exchange: exchange.request.path,
    "request.query": lambda exchange: exchange.request.query,
    "request.scheme": lambda exchange: exchange.request.scheme,
    "route.name": lambda exchange: exchange.route.name,
    "response.status": lambda exchange: str(exchange.response.status) if exchange.response is not None else "",
}
#: Values that are percent-encoded already, as a path has to be.
_ENCODED = ("request.path", "path.")


class Template:
    """A compiled template. ``{{`` and ``}}`` stand for braces.

    Raises:
        ValueError: it names something that there is not, or its braces do not match.

    Attributes:
        constant: the text, where there is nothing to fill in; else None.
    """

    def __init__(self, text: str) -> None:
        self._pieces: list[str | tuple[str, Getter]] = []
        position = 0
        for found in _PIECE.finditer(text):
            self._pieces.append(text[position : found.start()])
            position = found.end()
            if found[0] in ("{{", "}}"):
                self._pieces.append(found[0][0])
            elif found[1] is None:
                raise ValueError(f"{text!r} has a lone {found[0]!r}; write it twice for a literal one")
            else:
                self._pieces.append((found[1], _getter(found[1])))
        self._pieces.append(text[position:])
        self.constant = (
            "".join(map(str, self._pieces)) if all(isinstance(piece, str) for piece in self._pieces) else None
        )

    def fill(self, exchange: Exchange) -> str:
        """The text, without control characters: no value can bring a line break along."""
        pieces = (piece if isinstance(piece, str) else piece[1](exchange) for piece in self._pieces)
        return _CONTROLS.sub("", "".join(pieces))

    def fill_path(self, exchange: Exchange) -> str:
        """The text as a path: values that are not percent-encoded are, slashes in them included."""
        return "".join(
            piece
            if isinstance(piece, str)
            else piece[1](exchange)
            if piece[0].startswith(_ENCODED)
            else quote(piece[1](exchange), safe="")
            for piece in self._pieces
        )


def _getter(name: str) -> Getter:
    plain = _PLAIN.get(name)
    if plain is not None:
        return plain
    for prefix, make in (("request.header.", _header), ("request.query.", _query), ("path.", _param)):
        if name.startswith(prefix) and len(name) > len(prefix):
            return make(name.removeprefix(prefix))
    known = ", ".join([*_PLAIN, "request.header.NAME", "request.query.NAME", "path.NAME"])
    raise ValueError(f"{{{name}}} is not known; there are {known}")


def _header(name: str) -> Getter:
    return lambda exchange: exchange.request.headers.get(name, "") or ""


def _query(name: str) -> Getter:
    return lambda exchange: next((value for key, value in exchange.request.query_params() if key == name), "")


def _param(name: str) -> Getter:
    return lambda exchange: exchange.params.get(name, "")
