"""What host and path patterns match, capture and rank."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.routing.pattern import HostPattern, host_of, parse_path


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("example.com", "example.com"),
        ("example.com:8443", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:8080", "[::1]"),
        ("[0:0:0:0:0:0:0:1]:8080", "[::1]"),
        ("[v1.x]:1", "[v1.x]"),
        ("", ""),
    ],
)
def test_host_of(authority: str, host: str) -> None:
    assert host_of(authority) == host


HOSTS = [
    ("api.example.com", ["api.example.com"], ["example.com", "x.api.example.com", ""]),
    (
        "*.example.com",
        ["a.example.com", "a.b.example.com"],
        ["example.com", ".example.com", "aexample.com", "a.example.org", ""],
    ),
    ("*", ["a", "a.b", "[::1]", ""], []),
    ("[::1]", ["[::1]"], ["::1", "[::2]"]),
    ("[0:0::1]", ["[::1]"], []),
]


@pytest.mark.parametrize(("text", "yes", "no"), HOSTS)
def test_hosts(text: str, yes: list[str], no: list[str]) -> None:
    pattern = HostPattern(text)
    assert [host for host in (*yes, *no) if pattern.matches(host)] == yes


def test_hosts_by_rank() -> None:
    texts = ["a.b.example.com", "*.b.example.com", "*.example.com", "*"]
    scrambled = sorted(texts)
    assert scrambled != texts
    assert sorted(scrambled, key=lambda text: HostPattern(text).rank) == texts


PATHS = [
    ("/health", {"/health": {}}, ["/health/", "/healthy", "/", "*"]),
    ("/", {"/": {}}, ["/a", "*", ""]),
    ("/caf%c3%a9/ü|", {"/caf%C3%A9/%C3%BC%7C": {}}, ["/café/ü|"]),
    ("/*", {"/": {}, "/a": {}, "/a/b": {}}, ["*", ""]),
    ("/vod/*", {"/vod": {}, "/vod/": {}, "/vod/a/b": {}}, ["/vodka", "/vo", "/", "/a/vod/b"]),
    ("/users/{id}", {"/users/7": {"id": "7"}, "/users/a%2Fb": {"id": "a%2Fb"}}, ["/users/", "/users", "/users/7/"]),
    ("/users/{id}", {}, ["/users/7/x", "/x/users/7"]),
    ("/users/{id}/", {"/users/7/": {"id": "7"}}, ["/users/7", "/users//"]),
    ("/{a}/x/{b}", {"/1/x/2": {"a": "1", "b": "2"}}, ["/1/y/2", "/1/x/", "//x/2"]),
    ("/u/{id}/*", {"/u/7": {"id": "7"}, "/u/7/": {"id": "7"}, "/u/7/x/y": {"id": "7"}}, ["/u/", "/u", "/u//x"]),
    ("/v{n}/x", {"/v1/x": {"n": "1"}, "/v12/x": {"n": "12"}}, ["/v/x", "/w1/x", "/v1/y"]),
    ("/{name}.json", {"/a.json": {"name": "a"}, "/a.json.json": {"name": "a.json"}}, ["/.json", "/a.xml"]),
    ("/{a}-{b}", {"/1-2": {"a": "1", "b": "2"}, "/1-2-3": {"a": "1", "b": "2-3"}}, ["/1-", "/-1", "/-", "/--"]),
    ("/{a}-{b}", {"/--1": {"a": "-", "b": "1"}}, []),
    ("/{a}aa{b}", {"/xaay": {"a": "x", "b": "y"}, "/aaaa": {"a": "a", "b": "a"}}, ["/aaa", "/xaa"]),
    ("~/items/\\d+", {"/items/42": {}}, ["/items/", "/items/42/", "/x/items/42"]),
    ("~^/v(?P<n>\\d)(?P<tail>/.*)?$", {"/v1": {"n": "1", "tail": ""}, "/v1/a": {"n": "1", "tail": "/a"}}, ["/v12"]),
    ("~.*", {"/": {}, "/a": {}}, ["*"]),
    ("~(?i)/ABC", {"/abc": {}, "/ABC": {}}, ["/ab"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "yes", "no"), PATHS)
def test_paths(text: str, yes: dict[str, dict[str, str]], no: list[str]) -> None:
    pattern = parse_path(text)
    for path, params in yes.items():
        assert pattern.match(path) == params, path
        assert path.startswith(pattern.literal) or path + "/" == pattern.literal
    assert [path for path in no if pattern.match(path) is not None] == []


@pytest.mark.parametrize(
    ("text", "path", "rest"),
    [
        ("/vod/*", "/vod/a/b", "a/b"), ("/vod/*", "/vod/", ""), ("/vod/*", "/vod", ""), ("/*", "/a", "a"),
        ("/u/{id}/*", "/u/7/a/b", "a/b"), ("/u/{id}/*", "/u/7/", ""), ("/u/{id}/*", "/u/7", ""),
        ("/a", "/a", ""), ("/u/{id}", "/u/7", ""), ("~/a.*", "/abc", ""),
    ],
)  # fmt: skip
def test_rest(text: str, path: str, rest: str) -> None:
    assert parse_path(text).rest(path) == rest


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("/a/b", "/a/b"), ("/a/*", "/a/"), ("/a/{x}/b", "/a/"), ("/v{x}", "/v"), ("/ü/{x}", "/%C3%BC/"),
        ("~/a/\\d+", "/a/"), ("~^/a\\.b$", "/a.b"), ("~/ab?", "/a"), ("~/ab*", "/a"), ("~/ab+", "/a"), ("~/a|/b", "/"),
        ("~a|b", ""), ("~(?i)/a", ""), ("~/a(b)", "/a"), ("~.*", ""), ("~/a[bc]", "/a"), ("~(?x)/a b", "/ab"),
    ],
)  # fmt: skip
def test_literal(text: str, literal: str) -> None:
    assert parse_path(text).literal == literal


def test_paths_by_rank() -> None:
    texts = [
        "/a/b/c", "~/a/b/\\d+x", "~/a/b/\\d+", "/a/b/{x}/d", "/a/b/{x}", "/a/b/*", "/a/{x}/c", "/a/{x}", "/a/*",
        "~/[^/]+", "/{x}", "/*", "~.*",
    ]  # fmt: skip
    scrambled = sorted(texts)
    assert scrambled != texts
    assert sorted(scrambled, key=lambda text: parse_path(text).rank) == texts


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("/vod*", "write /vod/*"),
        ("/a/{x}*", "slash before its"),
        ("/{x}/{x}", "twice"),
        ("/{rest}/*", "rest is what"),
        ("/{a}{b}", "nothing between"),
        ("/a%zz", "no path may hold"),
        ("/a%zz/{x}", "no path may hold"),
        ("~(", "unterminated"),
    ],
)
def test_refuses(text: str, complaint: str) -> None:
    with pytest.raises((ValueError, re.error), match=re.escape(complaint)):
        parse_path(text)


def test_many_parameters_in_a_segment_are_found_in_one_pass() -> None:
    pattern = parse_path("/{a}-{b}-{c}-{d}-{e}-{f}!")
    before = time.process_time()
    assert pattern.match("/" + "-" * 8_000) is None
    assert pattern.match("/" + "x-" * 4_000 + "!") is not None
    assert time.process_time() - before < 1


template_text = st.lists(st.sampled_from(["a", "b", "-", "/", "{p}", "{q}"]), max_size=7).map("".join)


@given(text=template_text, path=st.text("ab-/", max_size=9))
def test_templates_agree_with_a_regular_expression(text: str, path: str) -> None:
    """Each parameter is one non-empty run without slashes, as short as it can be."""
    text, path = "/" + text, "/" + path
    if text.count("{p}") > 1 or text.count("{q}") > 1 or "}{" in text:
        return
    found = re.fullmatch(re.sub(r"\{(\w)\}", r"(?P<\1>[^/]+?)", text), path)
    assert parse_path(text).match(path) == (None if found is None else found.groupdict())
