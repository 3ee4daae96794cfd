"""What routes ask of a request beyond host and path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.config.models import Match, ValueMatch
from gatewright.routing.predicate import make_predicates, query_values
from gatewright_sdk import Headers, Request


def request(**changes: Any) -> Request:
    given = {"method": "GET", "path": "/", "host": "h", **changes}
    given["headers"] = Headers(given.pop("headers", ()))
    return Request(**given)


CASES: list[tuple[dict[str, Any], Request, str, str]] = [
    # match, request, client, refusal (empty: takes it)
    ({"methods": ["GET", "POST"]}, request(method="POST"), "::1", ""),
    ({"methods": ["GET"]}, request(method="POST"), "::1", "method POST is not one of GET"),
    ({"methods": ["POST", "GET"]}, request(method="HEAD"), "::1", "method HEAD is not one of POST, GET"),
    ({"methods": ["GET"]}, request(method="get"), "::1", "method get is not one of GET"),
    ({"schemes": ["https"]}, request(scheme="https"), "::1", ""),
    ({"schemes": ["https"]}, request(), "::1", "scheme http is not one of https"),
    # headers: exact
    ({"headers": {"X-Beta": "1"}}, request(headers=[("x-beta", "1")]), "::1", ""),
    ({"headers": {"x-beta": "1"}}, request(headers=[("X-BETA", "0"), ("X-Beta", "1 ")]), "::1", ""),
    ({"headers": {"x-beta": "1"}}, request(), "::1", "header x-beta is absent and must be '1'"),
    (
        {"headers": {"x-beta": "1"}},
        request(headers=[("x-beta", "1, 2")]),
        "::1",
        "header x-beta is '1, 2' and must be '1'",
    ),
    ({"headers": {"x": "\xe9"}}, request(headers=[("x", "\xe9")]), "::1", ""),
    # headers: the other tests
    ({"headers": {"x": {"prefix": "ab"}}}, request(headers=[("x", "abc")]), "::1", ""),
    (
        {"headers": {"x": {"prefix": "ab"}}},
        request(headers=[("x", "xab")]),
        "::1",
        "header x is 'xab' and must start with 'ab'",
    ),
    ({"headers": {"x": {"regex": "a.c"}}}, request(headers=[("x", "abc")]), "::1", ""),
    (
        {"headers": {"x": {"regex": "a.c"}}},
        request(headers=[("x", "abcd")]),
        "::1",
        "header x is 'abcd' and must match 'a.c'",
    ),
    ({"headers": {"x": {"present": True}}}, request(headers=[("x", "")]), "::1", ""),
    ({"headers": {"x": {"present": True}}}, request(), "::1", "header x is absent and must be present"),
    ({"headers": {"x": {"present": False}}}, request(headers=[("y", "1")]), "::1", ""),
    (
        {"headers": {"x": {"present": False}}},
        request(headers=[("x", "1")]),
        "::1",
        "header x is '1' and must be absent",
    ),
    # query
    ({"query": {"v": "2"}}, request(query="a=1&v=2"), "::1", ""),
    ({"query": {"v": "2"}}, request(query="v=1&v=2"), "::1", ""),
    ({"query": {"v": "a b"}}, request(query="%76=a+b"), "::1", ""),
    ({"query": {"v": "2"}}, request(query="V=2"), "::1", "query parameter v is absent and must be '2'"),
    ({"query": {"v": "2"}}, request(query="v=22&v"), "::1", "query parameter v is '22', '' and must be '2'"),
    ({"query": {"v": {"present": True}}}, request(query="v"), "::1", ""),
    ({"query": {"v": {"present": False}}}, request(query=""), "::1", ""),
    ({"query": {"v": {"regex": "\\d+"}}}, request(query="v=12"), "::1", ""),
    # clients
    ({"clients": ["10.0.0.0/8"]}, request(), "10.255.0.1", ""),
    ({"clients": ["10.0.0.0/8"]}, request(), "11.0.0.1", "client 11.0.0.1 is in none of 10.0.0.0/8"),
    ({"clients": ["10.0.0.0/8", "192.0.2.7"]}, request(), "192.0.2.7", ""),
    ({"clients": ["192.0.2.7"]}, request(), "192.0.2.8", "client 192.0.2.8 is in none of 192.0.2.7/32"),
    ({"clients": ["0.0.0.0/0"]}, request(), "203.0.113.9", ""),
    ({"clients": ["0.0.0.0/0"]}, request(), "2001:db8::1", "client 2001:db8::1 is in none of 0.0.0.0/0"),
    ({"clients": ["2001:db8::/32"]}, request(), "2001:db8:1::1", ""),
    ({"clients": ["fe80::/10"]}, request(), "fe80::1%eth0", ""),
    ({"clients": ["::/0"]}, request(), "10.0.0.1", "client 10.0.0.1 is in none of ::/0"),
    ({"clients": ["10.0.0.0/8"]}, request(), "::ffff:10.1.2.3", ""),
    ({"clients": ["::ffff:10.0.0.0/104"]}, request(), "10.1.2.3", ""),
    ({"clients": ["0.0.0.0/0", "::/0"]}, request(), "", "client  is in none of 0.0.0.0/0, ::/0"),
    ({"clients": ["0.0.0.0/0", "::/0"]}, request(), "unix:", "client unix: is in none of 0.0.0.0/0, ::/0"),
]


@pytest.mark.parametrize(("match", "sent", "client", "refusal"), CASES)
def test_predicates(match: dict[str, Any], sent: Request, client: str, refusal: str) -> None:
    (predicate,) = make_predicates(Match.model_validate(match))
    assert predicate.test(sent, client) is (refusal == "")
    if refusal:
        assert predicate.refusal(sent, client) == refusal


def test_each_key_counts() -> None:
    match = Match(
        methods=["GET", "POST"],
        schemes=["http"],
        clients=["::/0"],
        headers={"a": ValueMatch(exact="1"), "b": ValueMatch(exact="1")},
        query={"c": ValueMatch(exact="1"), "d": ValueMatch(exact="1")},
    )
    assert len(make_predicates(match)) == 7
    assert make_predicates(Match()) == ()


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ({"x y": "1"}, "not a header name"),
        ({"x": "\u20ac"}, "ISO 8859-1"),
        ({"x": {"prefix": "\u20ac"}}, "ISO 8859-1"),
        ({"Host": "a"}, "hosts"),
    ],
)
def test_refuses(headers: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make_predicates(Match.model_validate({"headers": headers}))


@given(
    query=st.lists(st.sampled_from(["a", "b", "=", "&", "+", "%61", "%", "%3D", "%26", "1"]), max_size=12).map("".join)
)
def test_query_values_are_those_of_the_sdk(query: str) -> None:
    sent = Request(query=query)
    for name in ("a", "b", "", "aa", "a b", "="):
        assert query_values(query, name) == [value for key, value in sent.query_params() if key == name]
