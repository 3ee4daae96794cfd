"""From the path that matched to the path that the upstream gets."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.config.models import Paths, Route
from gatewright.routing.path import PathNormaliser
from gatewright.routing.pattern import parse_path
from gatewright.routing.rewrite import make_rewrite
from gatewright_sdk import ClientError


def rewrite(pattern: str, how: dict[str, Any], path: str, params: dict[str, str] | None = None) -> str:
    route = Route.model_validate({"name": "r", "match": {"paths": [pattern]}, **how})
    parsed = parse_path(pattern)
    made = make_rewrite(route, parsed)
    return path if made is None else made(path, {**(parsed.match(path) or {}), **(params or {})})


STRIP: dict[str, Any] = {"strip_prefix": True}

CASES = [
    ("/vod/*", STRIP, "/vod/a/b", "/a/b"),
    ("/vod/*", STRIP, "/vod/", "/"),
    ("/vod/*", STRIP, "/vod", "/"),
    ("/vod/*", STRIP, "/vod//a", "//a"),
    ("/*", STRIP, "/a", "/a"),
    ("/health", STRIP, "/health", "/"),
    ("/users/{id}/x", STRIP, "/users/7/x", "/7/x"),
    ("~/api(/.*)?", STRIP, "/api/x", "/x"),
    ("~/api(/.*)?", STRIP, "/api", "/"),
    ("~.*", STRIP, "/a", "/a"),
    ("/vod/*", {"rewrite": "/v1/{rest}"}, "/vod/a/b", "/v1/a/b"),
    ("/vod/*", {"rewrite": "/v1/{rest}"}, "/vod", "/v1/"),
    ("/vod/*", {"rewrite": "/fixed"}, "/vod/a", "/fixed"),
    ("/u/{id}/o/{o}", {"rewrite": "/o/{o}/of/{id}"}, "/u/7/o/a%2Fb", "/o/a%2Fb/of/7"),
    ("/u/{id}/*", {"rewrite": "/x/{rest}/{id}"}, "/u/7/a/b", "/x/a/b/7"),
    ("~/u/(?P<id>\\d+)", {"rewrite": "/users/{id}"}, "/u/7", "/users/7"),
    ("/a", {"rewrite": "/é|x"}, "/a", "/%C3%A9%7Cx"),
    ("/*", {"rewrite": {"regex": "^/old/(\\w+)", "to": "/new/\\1"}}, "/old/a/b", "/new/a/b"),
    ("/*", {"rewrite": {"regex": "^/old/(?P<x>\\w+)", "to": "/\\g<x>/new"}}, "/old/a/b", "/a/new/b"),
    ("/*", {"rewrite": {"regex": "_", "to": "-"}}, "/a_b_c", "/a-b-c"),
    ("/*", {"rewrite": {"regex": "^/old", "to": "/new"}}, "/a", "/a"),
    ("/*", {"rewrite": {"regex": "^/", "to": "é \\n|"}}, "/a", "/%C3%A9%20%0A%7Ca"),
    ("/*", {"rewrite": {"regex": "^/a", "to": ""}}, "/a", "/"),
    ("/v1/*", {"strip_prefix": True, "rewrite": {"regex": "^/", "to": "/v2/"}}, "/v1/a", "/v2/a"),
]


@pytest.mark.parametrize(("pattern", "how", "path", "result"), CASES)
def test_rewrites(pattern: str, how: dict[str, Any], path: str, result: str) -> None:
    assert rewrite(pattern, how, path) == result


@pytest.mark.parametrize(
    ("pattern", "how"),
    [("/*", {}), ("/*", STRIP), ("~.*", STRIP)],
)
def test_nothing_to_do_is_none(pattern: str, how: dict[str, Any]) -> None:
    route = Route.model_validate({"name": "r", "match": {"paths": [pattern]}, **how})
    assert make_rewrite(route, parse_path(pattern)) is None


@pytest.mark.parametrize(
    ("params", "result"),
    [
        ({}, "/o/7"),
        ({"id": "8"}, "/o/8"),
        ({"id": "a b\r\n?#%zz%2f\u20ac\ud800"}, "/o/a%20b%0D%0A%3F%23%25zz%2f%E2%82%AC%3F"),
    ],
)
def test_a_hook_may_replace_parameters(params: dict[str, str], result: str) -> None:
    assert rewrite("/u/{id}", {"rewrite": "/o/{id}"}, "/u/7", params) == result


@pytest.mark.parametrize("how", [STRIP, {"rewrite": "/o/{id}"}, {"rewrite": {"regex": "a", "to": "b"}}])
def test_a_path_that_a_hook_put_in_its_place_is_left_alone(how: dict[str, Any]) -> None:
    assert rewrite("/u/{id}", how, "/a/7", {"id": "7"}) == "/a/7"


@pytest.mark.parametrize(
    ("pattern", "how", "path", "params"),
    [
        ("/*", {"rewrite": {"regex": "^/files(.*)", "to": "/public/\\1"}}, "/files../secret", {}),
        ("~/v.*", STRIP, "/v../secret", {}),
        ("/v{n}/x", STRIP, "/v../x", {}),
        ("/v{n}", {"rewrite": "/{n}"}, "/v..", {}),
        ("/u/{id}", {"rewrite": "/o/{id}"}, "/u/7", {"id": ".."}),
        ("/u/{id}", {"rewrite": "/o/{id}/x"}, "/u/7", {"id": "%2E%2e"}),
        ("/u/{id}", {"rewrite": "/o/{id}/x"}, "/u/7", {"id": "x/../../y"}),
    ],
)
def test_no_rewrite_makes_a_dot_segment(pattern: str, how: dict[str, Any], path: str, params: dict[str, str]) -> None:
    with pytest.raises(ClientError) as caught:
        rewrite(pattern, how, path, params)
    assert (caught.value.status, caught.value.code) == (400, "bad-path")


def test_a_dot_segment_that_was_kept_passes() -> None:
    assert rewrite("/vod/*", STRIP, "/vod/../a") == "/../a"


@pytest.mark.parametrize("to", ["/a?b", "/a#b", {"regex": "a", "to": "/b?c"}, {"regex": "a", "to": "/b#c"}])
def test_a_rewrite_is_a_path(to: object) -> None:
    with pytest.raises(ValueError, match="query or fragment"):
        rewrite("/a", {"rewrite": to}, "/a")


patterns = st.sampled_from(["/*", "/a/*", "/a/{x}", "/{x}-{y}/*", "~/a(?P<x>.*)", "~(?P<x>.*)"])
hows = st.sampled_from(
    [STRIP, {"rewrite": "/q/{x}"}, {"rewrite": "/q{rest}"}, {"rewrite": {"regex": "a", "to": "\\g<0> \n"}},
     {"rewrite": {"regex": "^/.", "to": ""}}]
)  # fmt: skip


@given(pattern=patterns, how=hows, target=st.text("a-./%2", max_size=10), value=st.text(max_size=5))
def test_whatever_goes_in_a_path_comes_out(pattern: str, how: dict[str, Any], target: str, value: str) -> None:
    try:
        path, _ = PathNormaliser(Paths())(b"/" + target.encode())
        result = rewrite(pattern, how, path, {"x": value})
    except (ClientError, ValueError):
        return
    assert re.fullmatch(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*", result)
    assert not {".", ".."} & set(result.split("/"))
