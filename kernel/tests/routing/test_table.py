"""Which route takes a request."""

from __future__ import annotations

import ipaddress
import random
import re
import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.config.models import Match, Route
from gatewright.routing.explain import explain
from gatewright.routing.table import RouteTable, TableBuilder, _Recent, compile_route
from gatewright_sdk import Headers, Request


def route(name: str, *paths: str, priority: int = 0, **match: Any) -> Route:
    if paths:
        match["paths"] = list(paths)
    return Route.model_validate({"name": name, "priority": priority, "match": match})


def build(routes: Iterable[Route]) -> RouteTable[str]:
    builder: TableBuilder[str] = TableBuilder()
    for each in routes:
        builder.add(each, each.name)
    return builder.finish()


def winner(table: RouteTable[str], sent: Request, client: str = "192.0.2.1") -> str | None:
    found = table.match(sent, client)
    return None if found is None else found.value


def ask(url: str, method: str = "GET", **changes: Any) -> Request:
    """A request for ``HOST/PATH?QUERY``."""
    host, _, target = url.partition("/")
    path, _, query = target.partition("?")
    changes["headers"] = Headers(changes.pop("headers", ()))
    return Request(method, "/" + path, host=host, query=query, **changes)


PRECEDENCE = [
    # routes from the first to the last that takes the request
    ("priority", "h/a/b", [route("low", "/a/b", hosts=["h"]), route("high", "/*", priority=1)], ["high", "low"]),
    (
        "hosts",
        "a.b.example.com/x",
        [
            route("any", "/x"),
            route("star", "/x", hosts=["*"], methods=["GET"]),
            route("short", "/x", hosts=["*.example.com"]),
            route("long", "/x", hosts=["*.b.example.com"]),
            route("exact", "/*", hosts=["a.b.example.com"]),
        ],
        ["exact", "long", "short", "star", "any"],
    ),
    (
        "paths",
        "h/a/b/12",
        [
            route("all", "/*"),
            route("prefix", "/a/b/*"),
            route("template", "/a/b/{x}"),
            route("regex", "~/a/b/\\d+"),
            route("exact", "/a/b/12"),
            route("short", "/a/{x}/12"),
            route("shorter", "/{x}/b/12"),
        ],
        ["exact", "regex", "template", "prefix", "short", "shorter", "all"],
    ),
    (
        "more literal characters",
        "h/a/1/b/2",
        [route("one", "/a/{x}/b/{y}"), route("two", "/a/{x}/*")],
        ["one", "two"],
    ),
    (
        "more predicates, then the name",
        "h/?v=1",
        [
            route("d"),
            route("c"),
            route("b", methods=["GET"], schemes=["http"]),
            route("a", methods=["GET", "POST", "PUT"]),
            route("z", methods=["GET"], query={"v": "1"}, clients=["192.0.2.0/24"]),
        ],
        ["z", "b", "a", "c", "d"],
    ),
    (
        "the best of a route's own hosts and paths",
        "a.example.com/a/b",
        [
            route("one", "/*", "/a/b", hosts=["*.example.com"]),
            route("two", "/a/*", hosts=["other.org", "*.example.com"]),
            route("three", "/*", hosts=["a.example.com", "*"]),
        ],
        ["three", "one", "two"],
    ),
]


@pytest.mark.parametrize(("what", "url", "routes", "order"), PRECEDENCE, ids=[case[0] for case in PRECEDENCE])
def test_precedence(what: str, url: str, routes: list[Route], order: list[str]) -> None:
    """The winner, then the winner without it, and so on; whatever the order of definition."""
    for seed in range(6):
        left = random.Random(seed).sample(routes, len(routes))
        for name in order:
            assert winner(build(left), ask(url)) == name
            left = [each for each in left if each.name != name]
        assert winner(build(left), ask(url)) is None


HOSTS = [
    ("api.example.com", "exact"),
    ("api.example.com:8443", "exact"),
    ("api.example.com.", "exact"),
    ("x.example.com", "wildcard"),
    ("x.y.example.com:80", "wildcard"),
    (".example.com", None),
    ("example.com", None),
    ("xexample.com", None),
    ("[::1]", "v6"),
    ("[::1]:8080", "v6"),
    ("[0:0:0:0:0:0:0:1]", "v6"),
    ("", None),
]


@pytest.mark.parametrize(("host", "name"), HOSTS)
def test_hosts(host: str, name: str | None) -> None:
    routes = [
        route("exact", hosts=["api.example.com"]),
        route("wildcard", hosts=["*.example.com"]),
        route("v6", hosts=["[::1]"]),
    ]
    assert winner(build(routes), ask(f"{host}/x")) == name
    assert winner(build([*routes, route("any")]), ask(f"{host}/x")) == (name or "any")


def test_every_key_must_hold_and_any_value_does() -> None:
    table = build(
        [
            route(
                "r", "/a", "/b/*", hosts=["h", "i"], methods=["GET", "PUT"], schemes=["https"],
                headers={"x": "1", "y": "1"}, query={"q": "1"}, clients=["10.0.0.0/8", "::1"],
            )
        ]
    )  # fmt: skip
    good: dict[str, Any] = {"url": "h/a?q=1", "scheme": "https", "headers": [("x", "1"), ("y", "1")]}
    assert winner(table, ask(**good), "10.0.0.1") == "r"
    assert winner(table, ask(**good | {"url": "i/b/c?q=1", "method": "PUT"}), "::1") == "r"
    wrong: list[dict[str, Any]] = [
        {"url": "j/a?q=1"}, {"url": "h/c?q=1"}, {"url": "h/a?q=2"}, {"method": "POST"}, {"scheme": "http"},
        {"headers": [("x", "1")]}, {"headers": [("x", "1"), ("y", "2")]},
    ]  # fmt: skip
    for change in wrong:
        assert winner(table, ask(**good | change), "10.0.0.1") is None, change
    assert winner(table, ask(**good), "11.0.0.1") is None


def test_what_was_found() -> None:
    rewriting = Route.model_validate({"name": "r", "match": {"paths": ["/u/{id}", "/v/*"]}, "strip_prefix": True})
    builder: TableBuilder[object] = TableBuilder()
    value = object()
    builder.add(rewriting, value, compile_route(rewriting))
    table = builder.finish()
    for _ in range(2):
        found = table.match(ask("h/u/a%2Fb"), "::1")
        assert found is not None
        assert found.value is value
        assert found.params == {"id": "a%2Fb"}
        assert found.rewrite is not None
        assert found.rewrite("/u/a%2Fb", found.params) == "/a%2Fb"
        with pytest.raises(TypeError):
            found.params["id"] = "x"  # type: ignore[index]
    found = table.match(ask("h/v/x"), "::1")
    assert found is not None
    assert found.rewrite is not None
    assert (found.params, found.rewrite("/v/x", found.params)) == ({}, "/x")


def test_the_request_for_the_server_as_a_whole_has_no_route() -> None:
    assert build([route("all"), route("regex", "~.*")]).match(Request("OPTIONS", "*"), "::1") is None


def test_what_is_remembered_is_bounded() -> None:
    table = build([route("a", "/a/*"), route("hot", "/hot")])
    recent = table._recent = _Recent(8)
    for number in range(100):
        assert winner(table, ask(f"h/a/{number}")) == "a"
        assert winner(table, ask("h/hot")) == "hot"
        assert winner(table, ask(f"h/{number}")) is None
        assert len(recent.young) <= 8
        assert len(recent.old) <= 8
        assert ("h", "/hot") in recent.young | recent.old, "what is in use stays"


@pytest.mark.parametrize("url", ["h/a/" + "x" * 300, "h" * 300 + "/a/b"])
def test_what_is_long_is_not_remembered(url: str) -> None:
    table = build([route("a", "/a/*")])
    assert winner(table, ask(url)) == "a"
    assert not table._recent.young


def test_a_host_of_many_labels_is_no_work() -> None:
    table = build([route(f"r{depth}", hosts=["*" + ".x" * depth]) for depth in (1, 3)])
    host = "x." * 16_000 + "x"
    before = time.process_time()
    for number in range(50):
        assert winner(table, ask(f"{host}/{number}")) == "r3"
    assert time.process_time() - before < 0.5


def test_ten_thousand_routes_are_ready_at_once() -> None:
    builder: TableBuilder[int] = TableBuilder()
    for number in range(10_000):
        builder.add(route(f"r{number}", f"/s{number}/*"), number)
    before = time.perf_counter()
    table = builder.finish()
    assert time.perf_counter() - before < 0.005
    found = table.match(ask("h/s9999/x"), "::1")
    assert found is not None
    assert found.value == 9_999


# -- what must hold of any routes -----------------------------------------------------------------

HOST_NAMES = ["a.com", "b.a.com", "c.b.a.com", "b.org"]
hosts = st.lists(st.sampled_from([*HOST_NAMES, "*.a.com", "*.b.a.com", "*"]), max_size=3)
paths = st.lists(
    st.sampled_from(
        [
            "/*", "/", "/a", "/a/", "/a/*", "/a/b", "/a/b/*", "/{x}", "/{x}/b", "/a/{x}", "/a/{x}/*", "/{x}/{y}",
            "/a{x}", "~/a.*", "~/[ab]", "~.*", "~/a/(?P<x>.)", "~/a|/b",
        ]
    ),
    min_size=1,
    max_size=3,
)  # fmt: skip
values = st.sampled_from(["1", {"prefix": "1"}, {"regex": "1|2"}, {"present": True}, {"present": False}])
matches = st.fixed_dictionaries(
    {"hosts": hosts, "paths": paths},
    optional={
        "methods": st.lists(st.sampled_from(["GET", "PUT"]), max_size=2),
        "headers": st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=2),
        "query": st.dictionaries(st.sampled_from(["q", "r"]), values, max_size=2),
        "clients": st.lists(st.sampled_from(["10.0.0.0/8", "::/0", "10.1.0.0/16"]), max_size=2),
        "schemes": st.lists(st.sampled_from(["http", "https"]), max_size=1),
    },
)
routes_strategy = st.lists(st.tuples(matches, st.sampled_from([0, 0, 0, 1, -1])), max_size=8).map(
    lambda found: [
        Route.model_validate({"name": f"r{index}", "match": match, "priority": priority})
        for index, (match, priority) in enumerate(found)
    ]
)
requests = st.builds(
    lambda host, port, path, method, scheme, sent, query: Request(
        method, path, host=host + port, scheme=scheme, query=query, headers=Headers(sent)
    ),
    st.sampled_from([*HOST_NAMES, "d.c.b.a.com", "org", ""]),
    st.sampled_from(["", ":80"]),
    st.sampled_from(["/", "/a", "/b", "/a/", "/a/b", "/a/c", "/b/b", "/a/b/c", "/ab", "/a/b/"]),
    st.sampled_from(["GET", "PUT", "POST"]),
    st.sampled_from(["http", "https"]),
    st.lists(st.tuples(st.sampled_from(["X", "y"]), st.sampled_from(["1", "12", "2"])), max_size=2),
    st.sampled_from(["", "q=1", "q=2&r=12", "r", "q=3&q=1"]),
)
clients = st.sampled_from(["10.1.2.3", "10.2.2.3", "::1", "192.0.2.1"])


@given(routes=routes_strategy, sent=requests, client=clients, seed=st.integers(0, 99))
def test_the_order_of_definition_does_not_matter(routes: list[Route], sent: Request, client: str, seed: int) -> None:
    shuffled = random.Random(seed).sample(routes, len(routes))
    assert winner(build(shuffled), sent, client) == winner(build(routes), sent, client)


@given(routes=routes_strategy, other=st.tuples(matches, st.integers(-2, 2)), sent=requests, client=clients)
def test_a_route_for_another_host_changes_nothing(
    routes: list[Route], other: tuple[dict[str, Any], int], sent: Request, client: str
) -> None:
    foreign = Route.model_validate(
        {"name": "another", "priority": other[1], "match": other[0] | {"hosts": ["other.example", "more.example"]}}
    )
    before = build(routes).match(sent, client)
    after = build([*routes, foreign]).match(sent, client)
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert (after.value, after.params) == (before.value, before.params)


@given(routes=routes_strategy, sent=st.lists(requests, min_size=1, max_size=4), client=clients)
@settings(max_examples=300)
def test_the_table_agrees_with_going_through_every_route(routes: list[Route], sent: list[Request], client: str) -> None:
    """Against ``explain``, and against rules written down here a second time. One table, so its memory too."""
    table = build(routes)
    for each in [*sent, *sent]:
        found = winner(table, each, client)
        assert found == first_of(routes, each, client)
        assert found == explain([(given, None) for given in routes], each, client).winner


def first_of(routes: list[Route], sent: Request, client: str) -> str | None:
    ranked = [(rank, each.name) for each in routes for rank in ranks(each, sent, client)]
    return min(ranked)[1] if ranked else None


def ranks(given: Route, sent: Request, client: str) -> list[tuple[Any, ...]]:
    match = given.match
    asked = len(match.headers) + len(match.query) + bool(match.methods) + bool(match.clients) + bool(match.schemes)
    if not predicates_hold(match, sent, client):
        return []
    host = sent.host.split(":")[0]
    return [
        (-given.priority, host_rank, path_rank, -asked, given.name)
        for host_rank in (rank_host(pattern, host) for pattern in match.hosts or ["*"])
        for path_rank in (rank_path(pattern, sent.path) for pattern in match.paths)
        if host_rank is not None and path_rank is not None
    ]


def predicates_hold(match: Match, sent: Request, client: str) -> bool:
    address = ipaddress.ip_address(client)
    fields: dict[str, list[str]] = {}
    for name, value in sent.headers.items():
        fields.setdefault(name.lower(), []).append(value)
    query: dict[str, list[str]] = {}
    for name, value in sent.query_params():
        query.setdefault(name, []).append(value)
    return (
        (not match.methods or sent.method in match.methods)
        and (not match.schemes or sent.scheme in match.schemes)
        and (not match.clients or any(address in ipaddress.ip_network(network) for network in match.clients))
        and all(value_holds(wanted, fields.get(name, [])) for name, wanted in match.headers.items())
        and all(value_holds(wanted, query.get(name, [])) for name, wanted in match.query.items())
    )


def value_holds(wanted: Any, found: list[str]) -> bool:
    if wanted.present is not None:
        return bool(found) == wanted.present
    return any(
        value == wanted.exact
        or (wanted.prefix is not None and value.startswith(wanted.prefix))
        or (wanted.regex is not None and re.fullmatch(wanted.regex, value) is not None)
        for value in found
    )


def rank_host(pattern: str, host: str) -> tuple[int, int] | None:
    if pattern == "*":
        return (2, 0)
    if pattern.startswith("*"):
        return (1, -len(pattern)) if host.endswith(pattern[1:]) and host != pattern[1:] else None
    return (0, 0) if host == pattern else None


#: Literal start and literal characters of the regular expressions used here, by hand.
REGEXES = {"~/a.*": (2, 2), "~/[ab]": (1, 1), "~.*": (0, 0), "~/a/(?P<x>.)": (3, 3), "~/a|/b": (1, 1)}


def rank_path(pattern: str, path: str) -> tuple[Any, ...] | None:
    if pattern.startswith("~"):
        start, total = REGEXES[pattern]
        return (1, -start, 0, -total) if re.fullmatch(pattern[1:], path) else None
    if pattern.endswith("/*") and "{" not in pattern:
        return (1, 1 - len(pattern), 2, 1 - len(pattern)) if (path + "/").startswith(pattern[:-1]) else None
    expression = re.sub(r"\{\w\}", "[^/]+", pattern.removesuffix("/*")) + ("(/.*)?" if pattern.endswith("/*") else "")
    if not re.fullmatch(expression, path):
        return None
    if "{" not in pattern:
        return (0, -len(pattern), 2, -len(pattern))
    return (1, -pattern.index("{"), 1, -len(re.sub(r"\{\w\}|\*", "", pattern)))
