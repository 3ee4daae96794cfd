"""Host and path patterns: what each matches, what it captures, and how specific it is.

Patterns are compared with normalised paths, so the literals of exact, prefix and template patterns are
brought into the same spelling first; a regular expression is taken as written.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from gatewright.routing.path import encode_path

#: The parameters of a pattern that has none.
NO_PARAMS: Mapping[str, str] = MappingProxyType({})

#: Smaller is more specific.
HostRank = tuple[int, int]
#: Exact paths first; longer literal start; regex, template, prefix; more literal characters in all.
PathRank = tuple[bool, int, int, int]

_REGEX, _TEMPLATE, _PREFIX = range(3)
_PARAMETER = re.compile(r"\{(\w+)\}")


def host_of(authority: str) -> str:
    """The host of an authority, without port and final dot; IPv6 literals in their short spelling.

    >>> host_of("api.example.com:8443"), host_of("[0:0::1]:80")
    ('api.example.com', '[::1]')
    """
    if authority.startswith("["):
        literal = authority[1:].partition("]")[0]
        try:
            return f"[{ipaddress.IPv6Address(literal)}]"
        except ValueError:
            return f"[{literal}]"
    return authority.partition(":")[0].removesuffix(".")


class HostPattern:
    """``api.example.com``, ``*.example.com`` (one or more labels in front) or ``*`` (any host, or none).

    Attributes:
        suffix: of a wildcard, ``.example.com``; else empty.
        rank: exact before wildcard before any; of wildcards the longer first.
    """

    __slots__ = ("is_exact", "rank", "suffix", "text")

    def __init__(self, text: str) -> None:
        self.is_exact = not text.startswith("*")
        self.text = host_of(text) if self.is_exact else text
        self.suffix = text[1:]
        self.rank: HostRank = (0, 0) if self.is_exact else (1, -len(text)) if self.suffix else (2, 0)
        if self.is_exact:
            self.suffix = ""

    def matches(self, host: str) -> bool:
        """Whether it takes ``host``, as ``host_of`` gives it."""
        if self.is_exact:
            return host == self.text
        return (host.endswith(self.suffix) and len(host) > len(self.suffix)) or not self.suffix


class PathPattern(Protocol):
    """One of a route's ``paths``.

    Attributes:
        text: as the manifest has it.
        literal: what every path that it matches starts with, as far as the pattern is plain text. A
            prefix pattern's ends with the slash, which the path may lack at its end.
        rank: smaller is more specific.
    """

    @property
    def text(self) -> str: ...
    @property
    def literal(self) -> str: ...
    @property
    def rank(self) -> PathRank: ...

    def match(self, path: str) -> Mapping[str, str] | None:
        """The parameters of a path that it matches, still percent-encoded; None if it does not."""
        ...

    def rest(self, path: str) -> str:
        """What ``*`` stands for in a path that it matches, without the slash in front."""
        ...


class ExactPath:
    """``/health``: this path and no other."""

    __slots__ = ("literal", "rank", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.literal = encode_path(text)
        self.rank: PathRank = (False, -len(self.literal), _PREFIX, -len(self.literal))

    def match(self, path: str) -> Mapping[str, str] | None:
        return NO_PARAMS if path == self.literal else None

    def rest(self, path: str) -> str:
        return ""


class PrefixPath:
    """``/vod/*``: ``/vod`` and whatever is below it, but never ``/vodka``. ``/*`` is every path."""

    __slots__ = ("_whole", "literal", "rank", "text")
    is_open = True

    def __init__(self, text: str) -> None:
        self.text = text
        self.literal = encode_path(text.removesuffix("*"))
        self._whole = self.literal[:-1]
        self.rank: PathRank = (True, -len(self.literal), _PREFIX, -len(self.literal))

    @property
    def segments(self) -> list[str]:
        return self.literal.split("/")[1:-1]

    def match(self, path: str) -> Mapping[str, str] | None:
        return NO_PARAMS if path.startswith(self.literal) or (path == self._whole and path) else None

    def rest(self, path: str) -> str:
        return path[len(self.literal) :]


class TemplatePath:
    """``/users/{id}/orders``, and ``/users/{id}/*`` for what is below.

    A parameter stands for a whole segment or for a part of one (``/v{version}/info``), is never empty
    and never holds a slash. Of several in a segment each takes as little as it can.

    Attributes:
        segments: for each segment its text, or None where a parameter is in it.
        is_open: it ends in ``/*``.
    """

    __slots__ = ("_parts", "is_open", "literal", "rank", "segments", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_open = text.endswith("*")
        names = _PARAMETER.findall(text)
        if len(set(names)) < len(names) or (self.is_open and "rest" in names):
            raise ValueError(f"path {text!r} uses a parameter's name twice (rest is what * stands for)")
        if "}{" in text:
            raise ValueError(f"path {text!r} has two parameters with nothing between them")
        self.literal = encode_path(text.partition("{")[0])
        parts = [_parse_segment(segment) for segment in text.removesuffix("/*").split("/")[1:]]
        self._parts = tuple(parts)
        self.segments = tuple(literals[0] if not names else None for literals, names in parts)
        length = sum(len(literal) for literals, _ in parts for literal in literals) + len(parts) + self.is_open
        self.rank: PathRank = (True, -len(self.literal), _TEMPLATE, -length)

    def match(self, path: str) -> Mapping[str, str] | None:
        size = len(self._parts)
        sent = path.split("/", size + 1)
        del sent[0]
        if len(sent) < size or (len(sent) > size and not self.is_open):
            return None
        params: dict[str, str] = {}
        for (literals, names), segment in zip(self._parts, sent, strict=False):
            if not (_match_segment(literals, names, segment, params) if names else literals[0] == segment):
                return None
        return MappingProxyType(params)

    def rest(self, path: str) -> str:
        sent = path.split("/", len(self._parts) + 1)
        return sent[-1] if len(sent) > len(self._parts) + 1 else ""


class RegexPath:
    """``~/items/\\d+``: the whole path matches; named groups are the parameters.

    The expression runs as the operator wrote it, against paths of any length that the listener takes:
    one that backtracks without bound, such as ``(a+)+``, is a way to stall the gateway.
    """

    __slots__ = ("_fullmatch", "_has_names", "literal", "rank", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        compiled = re.compile(text[1:])
        self._fullmatch = compiled.fullmatch
        self._has_names = bool(compiled.groupindex)
        self.literal, length = _regex_literals(text[1:])
        self.rank: PathRank = (True, -len(self.literal), _REGEX, -length)

    def match(self, path: str) -> Mapping[str, str] | None:
        # "*" is a request about the server as a whole (RFC 9110 section 7.1), not a path.
        found = self._fullmatch(path) if path[:1] == "/" else None
        if found is None:
            return None
        return MappingProxyType(found.groupdict("")) if self._has_names else NO_PARAMS

    def rest(self, path: str) -> str:
        return ""


def parse_path(text: str) -> PathPattern:
    """The pattern that one entry of ``paths`` stands for.

    Raises:
        ValueError: it is none; the message quotes it and says why.
    """
    if text.startswith("~"):
        return RegexPath(text)
    if text.endswith("*") and not text.endswith("/*"):
        raise ValueError(f"path {text!r} must have a slash before its *; write {text[:-1]}/* or a ~REGEX")
    if "{" in text:
        return TemplatePath(text)
    return PrefixPath(text) if text.endswith("*") else ExactPath(text)


Segment = tuple[tuple[str, ...], tuple[str, ...]]


def _parse_segment(segment: str) -> Segment:
    """The literals around the parameters, one more than there are parameters, and their names."""
    pieces = _PARAMETER.split(segment)
    return tuple(encode_path(piece) for piece in pieces[::2]), tuple(pieces[1::2])


def _match_segment(literals: tuple[str, ...], names: tuple[str, ...], segment: str, params: dict[str, str]) -> bool:
    """Match one segment in a single pass, however many parameters are in it, and note their values."""
    first, last = literals[0], literals[-1]
    end = len(segment) - len(last)
    if not segment.startswith(first) or not segment.endswith(last):
        return False
    start = len(first)
    for name, literal in zip(names[:-1], literals[1:-1], strict=True):
        found = segment.find(literal, start + 1, end)
        if found < 0:
            return False
        params[name] = segment[start:found]
        start = found + len(literal)
    params[names[-1]] = segment[start:end]
    return start < end


def _regex_literals(pattern: str) -> tuple[str, int]:
    """What every match starts with, and how many literal characters there are outside groups."""
    parsed: Any = re._parser.parse(pattern)  # type: ignore[attr-defined]
    if parsed.state.flags & re.IGNORECASE:
        return "", 0
    names = [str(operation) for operation, _ in parsed]
    start = 1 if names[:1] == ["AT"] else 0
    prefix: list[str] = []
    for operation, argument in list(parsed)[start:]:
        if str(operation) != "LITERAL":
            break
        prefix.append(chr(argument))
    return "".join(prefix), names.count("LITERAL")
