"""From the path that a route matched to the path that its upstream gets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gatewright.config.models import RegexRewrite, Route
from gatewright.routing.path import encode_path
from gatewright.routing.pattern import PathPattern
from gatewright_sdk import ClientError

#: The upstream's path, from the request's path and its parameters.
Rewrite = Callable[[str, Mapping[str, str]], str]

_CLEAN = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*+")
_TO_ENCODE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&'()*+,;=:@/%-]")
_DOT_SEGMENT = re.compile(r"(?:\A|/)(?:\.|%2[Ee]){1,2}(?:/|\Z)")


def make_rewrite(route: Route, pattern: PathPattern) -> Rewrite | None:
    """What a route does to paths that one of its patterns matched; None where it leaves them alone.

    The result starts with ``/`` and holds nothing that a path must not hold. A path that the pattern
    does not match, because a hook has put another in its place, stays as the hook left it. In a template
    ``{param}`` is taken from the parameters, which a hook may replace, and ``{rest}`` from the path.

    Calling it raises ``ClientError`` (400, code ``bad-path``) where the result would hold a dot segment
    that the path does not have: ``regex: ^/files(.*)`` with ``to: /public/\\1`` would make
    ``/public/../secret`` of ``/files../secret``.

    Raises:
        ValueError: the template cannot be a path.
    """
    if isinstance(route.rewrite, str):
        return _template(route.rewrite, pattern)
    strip = _strip(pattern) if route.strip_prefix and pattern.literal not in ("", "/") else None
    if route.rewrite is None:
        return strip
    return _replace(route.rewrite, pattern, strip)


def _strip(pattern: PathPattern) -> Rewrite:
    literal = pattern.literal
    is_folder = literal.endswith("/")
    size = len(literal)

    def strip(path: str, params: Mapping[str, str]) -> str:
        if pattern.match(path) is None:
            return path
        rest = path[size:]
        return _checked(rest if rest[:1] == "/" and not is_folder else "/" + rest, path)

    return strip


def _template(template: str, pattern: PathPattern) -> Rewrite:
    if "?" in template or "#" in template:
        raise ValueError(f"rewrite {template!r} must be a path, without a query or fragment")
    pieces = re.split(r"\{(\w+)\}", template)
    literals, names = [encode_path(piece) for piece in pieces[::2]], pieces[1::2]
    takes_rest = pattern.text.endswith("/*")

    def fill(path: str, params: Mapping[str, str]) -> str:
        matched = pattern.match(path)
        if matched is None:
            return path
        values = {**matched, **params}
        if takes_rest:
            values["rest"] = pattern.rest(path)
        filled = [literals[0]]
        for name, literal in zip(names, literals[1:], strict=True):
            filled += (values[name], literal)
        return _checked("".join(filled), path)

    return fill


def _replace(rewrite: RegexRewrite, pattern: PathPattern, strip: Rewrite | None) -> Rewrite:
    if "?" in rewrite.to or "#" in rewrite.to:
        raise ValueError(f"rewrite to {rewrite.to!r} must give a path, without a query or fragment")
    substitute = re.compile(rewrite.regex).sub
    to = rewrite.to

    def replace(path: str, params: Mapping[str, str]) -> str:
        if pattern.match(path) is None:
            return path
        return _checked(substitute(to, path if strip is None else strip(path, params)), path)

    return replace


def _checked(result: str, path: str) -> str:
    if not _CLEAN.fullmatch(result):
        result = _TO_ENCODE.sub(_escape, result)
        if result[:1] != "/":
            result = "/" + result
    if _DOT_SEGMENT.search(result) and not _DOT_SEGMENT.search(path):
        raise ClientError("The request path would be rewritten to one with a dot segment.", code="bad-path")
    return result


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in found[0].encode("utf-8", "replace"))
