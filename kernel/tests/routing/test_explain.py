"""Why a request goes where it goes."""

from __future__ import annotations

from typing import Any

import pytest

from gatewright.config.models import Route
from gatewright.routing.explain import Explanation, explain
from gatewright_sdk import Request


def explained(routes: list[dict[str, Any]], sent: Request, client: str = "192.0.2.1") -> Explanation:
    return explain([(Route.model_validate(each), None) for each in routes], sent, client)


def match(name: str, *paths: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "match": {**({"paths": list(paths)} if paths else {}), **keys}}


REASONS = [
    (match("x", hosts=["*.example.org"]), "host api.example.com is not one of *.example.org"),
    (match("x", hosts=["a.org", "b.org"]), "host api.example.com is not one of a.org, b.org"),
    (match("x", "/b/*"), "path /a/b does not match /b/*"),
    (match("x", "/b", "~/c.*"), "path /a/b matches none of /b, ~/c.*"),
    (match("x", methods=["GET"]), "method POST is not one of GET"),
    (match("x", schemes=["https"]), "scheme http is not one of https"),
    (match("x", headers={"x-beta": "1"}), "header x-beta is absent and must be '1'"),
    (match("x", query={"v": {"prefix": "2"}}), "query parameter v is '1' and must start with '2'"),
    (match("x", clients=["10.0.0.0/8"]), "client 192.0.2.1 is in none of 10.0.0.0/8"),
    (match("x", hosts=["*.com"]), "lost to 'vod' (longer wildcard host)"),
    (match("x", "/a/b"), "lost to 'vod' (more specific host)"),
    (match("x", "/*", hosts=["*.example.com"]), "lost to 'vod' (longer literal path)"),
    (match("x", "/a/{x}", hosts=["*.example.com"]), "lost to 'vod' (regex before template and prefix)"),
    (match("x", "~/a/.", hosts=["*.example.com"]), "lost to 'vod' (more literal characters in its path)"),
    (match("x", "~/a/.()b?", hosts=["*.example.com"]), "lost to 'vod' (more literal characters in its path)"),
    (match("x", "~/a/.?b", hosts=["*.example.com"]), "lost to 'vod' (name first in the alphabet)"),
    ({**match("x", "/a/b", hosts=["api.example.com"]), "priority": -1}, "lower priority than 'vod'"),
]


@pytest.mark.parametrize(("loser", "reason"), REASONS, ids=[reason for _, reason in REASONS])
def test_reasons(loser: dict[str, Any], reason: str) -> None:
    vod = match("vod", "~/a/.?b", hosts=["*.example.com"])
    for routes in ([vod, loser], [loser, vod]):
        found = explained(routes, Request("POST", "/a/b", host="api.example.com:80", query="v=1"))
        assert (found.winner, found.losers) == ("vod", (("x", reason),))


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (match("a", hosts=["h"]), match("b", hosts=["*"]), "lost to 'a' (exact host)"),
        (match("a", "/x"), match("b", "/{y}"), "lost to 'a' (exact path)"),
        (match("a", "/{x}"), match("b", "/*"), "lost to 'a' (template before prefix)"),
        (match("z", methods=["GET"]), match("b"), "lost to 'z' (more conditions)"),
    ],
)
def test_advantages(first: dict[str, Any], second: dict[str, Any], reason: str) -> None:
    found = explained([second, first], Request("GET", "/x", host="h"))
    assert (found.winner, found.losers) == (first["name"], ((second["name"], reason),))


def test_the_winner() -> None:
    vod = {**match("vod", "/vod/{id}/*"), "rewrite": "/v1/{id}/{rest}"}
    found = explained([vod], Request("GET", "/vod/7/a", host="h"))
    assert found == Explanation("vod", {"id": "7"}, "/v1/7/a", "", ())


def test_a_path_that_is_not_rewritten() -> None:
    assert explained([match("all")], Request("GET", "/x", host="h")).upstream_path == "/x"


def test_a_rewrite_that_is_refused() -> None:
    found = explained([{**match("r", "~/v.*"), "strip_prefix": True}], Request("GET", "/v../x", host="h"))
    assert (found.winner, found.upstream_path) == ("r", None)
    assert "dot segment" in found.refusal


def test_nobody_wins() -> None:
    found = explained([match("a", methods=["PUT"]), match("b", "/b")], Request("GET", "/x", host="h"))
    assert found.winner is None
    assert found.upstream_path is None
    assert found.losers == (("b", "path /x does not match /b"), ("a", "method GET is not one of PUT"))


def test_losers_stand_in_the_order_in_which_they_are_asked() -> None:
    routes = [
        match("any"),
        match("prefix", "/a/*"),
        {**match("first", methods=["PUT"]), "priority": 9},
        match("exact", "/a/b"),
        match("host", hosts=["h"]),
    ]
    found = explained(routes, Request("GET", "/a/b", host="h"))
    assert found.winner == "host"
    assert [name for name, _ in found.losers] == ["first", "exact", "prefix", "any"]
