"""Request paths in one spelling, decided before anything looks at them.

Whatever reads a path after this (the router, hooks, the upstream) sees the same one, so that none of
``/a/%2e%2e/admin``, ``//admin`` and ``/%61dmin`` can be one thing to a route's plugins and another to
the upstream behind them. In the result

- every character is one of RFC 3986's path characters, and the rest stands percent-encoded;
- unreserved characters stand as themselves and escapes have upper-case digits (section 6.2.2);
- nothing is decoded twice: ``%252e`` is the text ``%2e`` and stays ``%252e``.

An escape that is none, a control character in either spelling, a space and a ``#`` are refused: what
they would mean differs from one upstream to the next.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Literal

from gatewright.config.models import Paths
from gatewright_sdk import ClientError

EncodedSlashes = Literal["keep", "reject", "decode"]

# RFC 3986 sections 2.3 and 3.3. Runs are possessive, so that a path is read once however long it is.
_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_PATH_BYTES = _UNRESERVED + b"!$&'()*+,;=:@/"
_NOT_DOT = rb"A-Za-z0-9_~!$&'()*+,;=:@-"
_PLAIN_PATH = re.compile(rb"(?:/[%b][.%b]*+)*+/?" % (_NOT_DOT, _NOT_DOT))
_NOT_PLAIN = re.compile(rb"%%[0-9A-Fa-f]{2}|[^/.%b]" % _NOT_DOT)
_SLASHES = re.compile(rb"/{2,}")
# A dot segment to those who decode %2F and %5C first, or who cut ;parameters off first.
_HIDDEN_DOTS = re.compile(rb"(?:/|%2F|%5C)\.\.?(?:%2F|%5C|;)|(?:%2F|%5C)\.\.?(?:/|\Z)")
# Browsers send the other characters in a query as they are, and servers read them so.
_PLAIN_QUERY = re.compile(rb"[!$-;=?-~]*+")
_QUERY_TO_ENCODE = re.compile(rb"[\"<>\x80-\xff]")
_CONTROLS = frozenset((*range(0x20), 0x7F))


class PathNormaliser:
    """Path and query of a request target, as a manifest's ``paths`` says.

    >>> PathNormaliser(Paths())(b"/a/./b/%7euser?x=1")
    ('/a/b/~user', 'x=1')

    ``dot_segments: resolve`` is RFC 3986 section 5.2.4, after ``//`` has become ``/`` where
    ``merge_slashes`` is on. A backslash is taken for its escape, ``%5C``; with ``encoded_slashes:
    decode`` both it and ``%2F`` become ``/``. A dot segment that only shows once an upstream has decoded
    ``%2F`` or cut a ``;parameter`` off (``/a/..%2Fb``, ``/a/..;/b``) is refused, unless dot segments
    are to be kept.

    A path that is in order already, which is nearly every path, costs one match of a compiled
    expression.
    """

    __slots__ = ("_dot_segments", "_merge_slashes", "_spellings")

    def __init__(self, settings: Paths) -> None:
        self._dot_segments = settings.dot_segments
        self._merge_slashes = settings.merge_slashes
        self._spellings = _spellings(settings.encoded_slashes)

    def __call__(self, target: bytes) -> tuple[str, str]:
        """Path and query of a target in origin form (RFC 9112 section 3.2.1), or of ``*``.

        The query stays as it was sent, but for bytes that no query may have: those are encoded.

        Raises:
            ClientError: 400 with code ``bad-path``.
        """
        if _PLAIN_PATH.fullmatch(target) and target:
            return target.decode("ascii"), ""
        if target == b"*":
            return "*", ""
        path, _, query = target.partition(b"?")
        if not (path and _PLAIN_PATH.fullmatch(path)):
            path = self._normalise(path)
        if not _PLAIN_QUERY.fullmatch(query):
            query = _normalise_query(query)
        return path.decode("ascii"), query.decode("ascii")

    def _normalise(self, path: bytes) -> bytes:
        if path[:1] != b"/":
            raise _refusal("The request path does not start with a slash.")
        path = _respell(path, self._spellings)
        if self._merge_slashes and b"//" in path:
            path = _SLASHES.sub(b"/", path)
        if b"." in path and self._dot_segments != "keep":
            path = self._without_dots(path)
        return path

    def _without_dots(self, path: bytes) -> bytes:
        if _HIDDEN_DOTS.search(path):
            raise _refusal("The request path holds a dot segment beside an encoded slash or a semicolon.")
        segments = path.split(b"/")[1:]
        if b"." not in segments and b".." not in segments:
            return path
        if self._dot_segments == "reject":
            raise _refusal("The request path holds a dot segment.")
        return _remove_dot_segments(segments)


def encode_path(text: str) -> str:
    """Text in the spelling of normalised paths, for literals that are compared with them.

    >>> encode_path("/café/%7e|")
    '/caf%C3%A9/~%7C'

    Raises:
        ValueError: it holds a control character, a space, ``?``, ``#`` or a ``%`` that begins no escape.
    """
    try:
        return _respell(text.encode(), _KEPT).decode("ascii")
    except ClientError:
        raise ValueError(
            f"{text!r} holds what no path may hold: a control character, a space, ?, # or a stray %"
        ) from None


def _respell(path: bytes, spellings: Mapping[bytes, bytes]) -> bytes:
    def respell(found: re.Match[bytes]) -> bytes:
        try:
            return spellings[found[0].upper()]
        except KeyError:
            raise _refusal(_complaint(found[0])) from None

    return _NOT_PLAIN.sub(respell, path)


@functools.cache
def _spellings(encoded_slashes: EncodedSlashes) -> Mapping[bytes, bytes]:
    """What stands for each escape and for each raw byte outside the grammar; what is absent is refused."""
    table: dict[bytes, bytes] = {}
    for octet in range(256):
        raw, escape = bytes([octet]), b"%%%02X" % octet
        if octet in _CONTROLS:
            continue
        table[escape] = raw if raw in _UNRESERVED else escape
        if raw not in _PATH_BYTES + b" #%?":
            table[raw.upper()] = escape
    slashes = (b"%2F", b"%5C", b"\\")
    if encoded_slashes == "decode":
        table.update(dict.fromkeys(slashes, b"/"))
    elif encoded_slashes == "reject":
        for slash in slashes:
            del table[slash]
    return table


_KEPT: Mapping[bytes, bytes] = _spellings("keep")


def _remove_dot_segments(segments: list[bytes]) -> bytes:
    """RFC 3986 section 5.2.4: what would climb above the root stays at the root."""
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def _normalise_query(query: bytes) -> bytes:
    if b"#" in query or b" " in query or not _CONTROLS.isdisjoint(query):
        raise _refusal("The query holds a control character, a space or a #.")
    return _QUERY_TO_ENCODE.sub(lambda found: b"%%%02X" % found[0][0], query)


def _complaint(token: bytes) -> str:
    if token == b"%":
        return "The request path holds an invalid percent-encoding."
    if token.upper() in (b"%2F", b"%5C", b"\\"):
        return "The request path holds an encoded slash."
    return "The request path holds a character that it must not hold."


def _refusal(detail: str) -> ClientError:
    return ClientError(detail, code="bad-path")
