"""Which origins are allowed, which fields they get, and what becomes of the upstream's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright_cors.config import CorsConfig
from gatewright_cors.policy import Policy, RawField, apply, with_members
from gatewright_sdk import Headers

APP = "https://app.example.com"
CONFIGS: dict[str, dict[str, Any]] = {
    "exact": {"origins": [APP, "http://localhost:3000"]},
    "wildcard": {"origins": ["https://*.example.com"]},
    "wildcard port": {"origins": ["https://*.example.com:8443"]},
    "any": {"origins": ["*"]},
    "null": {"origins": ["null"]},
    "any and null": {"origins": ["*", "null"]},
    "pattern": {"origin_patterns": [r"https://(a|b)\.example\.com", r"http://localhost:\d+"]},
    "pattern for all": {"origin_patterns": [".*"]},
}


def policy(**options: Any) -> Policy:
    return Policy(CorsConfig.model_validate(options))


@pytest.mark.parametrize(
    ("config", "origin", "is_allowed"),
    [
        ("exact", APP, True),
        ("exact", "http://localhost:3000", True),
        ("exact", "http://localhost", False),
        ("exact", "http://app.example.com", False),
        ("exact", "https://app.example.com:8443", False),
        ("exact", "https://app.example.com.evil.example", False),
        ("exact", "https://APP.example.com", False),
        ("exact", "null", False),
        ("exact", "", False),
        ("wildcard", "https://a.example.com", True),
        ("wildcard", "https://a.b-c.example.com", True),
        ("wildcard", "https://example.com", False),
        ("wildcard", "https://.example.com", False),
        ("wildcard", "https://a..example.com", False),
        ("wildcard", "https://aexample.com", False),
        ("wildcard", "https://a.example.com.evil.example", False),
        ("wildcard", "https://a.exampleXcom", False),
        ("wildcard", "https://evil.example/.example.com", False),
        ("wildcard", "https://evil.example:1.example.com", False),
        ("wildcard", "https://evil@a.example.com", False),
        ("wildcard", "https://a.example.com:8443", False),
        ("wildcard", "http://a.example.com", False),
        ("wildcard", "https://a.example.com\n", False),
        ("wildcard", "null", False),
        ("wildcard port", "https://a.example.com:8443", True),
        ("wildcard port", "https://a.example.com", False),
        ("any", APP, True),
        ("any", "chrome-extension://abc", True),
        ("any", "null", False),
        ("any", "not an origin", False),
        ("null", "null", True),
        ("null", "NULL", False),
        ("null", APP, False),
        ("any and null", "null", True),
        ("any and null", APP, True),
        ("pattern", "https://a.example.com", True),
        ("pattern", "https://b.example.com", True),
        ("pattern", "https://c.example.com", False),
        ("pattern", "https://a.example.com.evil.example", False),
        ("pattern", "xhttps://a.example.com", False),
        ("pattern", "http://localhost:1", True),
        ("pattern for all", "https://any.example", True),
        ("pattern for all", "null", False),
        ("pattern for all", "https://a b", False),
        ("pattern for all", "https://a,https://b", False),
        ("pattern for all", "https://" + "a" * 300, False),
    ],
)
def test_origins(config: str, origin: str, is_allowed: bool) -> None:
    under_test = policy(**CONFIGS[config])
    raw = origin.encode()
    assert under_test.allows(raw) is is_allowed
    plain, preflight = under_test.plain(raw), under_test.preflight(raw, Headers())
    assert plain.is_allowed is preflight.is_allowed is is_allowed
    value = b"*" if config.startswith("any") else raw
    for decision in (plain, preflight):
        allowed = [value for name, value in decision.fields if name == b"Access-Control-Allow-Origin"]
        assert allowed == ([value] if is_allowed else [])
        assert is_allowed or [name for name, _ in decision.fields] == [b"Vary"]


@settings(max_examples=200)
@given(st.text("abc.-*:/@ \0é", max_size=20).map(lambda text: f"https://{text}.example.com"))
def test_a_wildcard_allows_nothing_but_hosts_below_it(origin: str) -> None:
    if policy(**CONFIGS["wildcard"]).allows(origin.encode()):
        host = origin.removeprefix("https://")
        assert host.endswith(".example.com")
        assert not set(host) & set(":/@* \0é")
        assert all(host.split("."))


FULL: dict[str, Any] = {
    "origins": [APP],
    "methods": ["GET", "PUT"],
    "headers": ["X-A", "Authorization"],
    "expose_headers": ["X-Request-Id", "RateLimit"],
    "credentials": True,
    "max_age": "90s",
    "private_network": True,
}
VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
ASKS = {"Access-Control-Request-Method": "PURGE", "Access-Control-Request-Headers": "x-a, X-B"}


def text_of(fields: tuple[RawField, ...]) -> dict[str, str]:
    assert len({name for name, _ in fields}) == len(fields)
    return {name.decode(): value.decode() for name, value in fields}


def test_all_fields_of_a_response() -> None:
    assert text_of(policy(**FULL).plain(APP.encode()).fields) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "X-Request-Id, RateLimit",
    }


def test_all_fields_of_a_preflight() -> None:
    asked = Headers({**ASKS, "Access-Control-Request-Private-Network": "true"})
    assert text_of(policy(**FULL).preflight(APP.encode(), asked).fields) == {
        "Vary": VARY + ", Access-Control-Request-Private-Network",
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "GET, PUT",
        "Access-Control-Allow-Headers": "X-A, Authorization",
        "Access-Control-Max-Age": "90",
        "Access-Control-Allow-Private-Network": "true",
    }


@pytest.mark.parametrize(
    ("options", "asked", "fields"),
    [
        (
            {},
            {},
            {"Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE", "Access-Control-Max-Age": "600"},
        ),
        ({}, ASKS, {"Access-Control-Allow-Headers": "x-a, X-B"}),
        ({}, {"Access-Control-Request-Headers": "x-a, "}, {"Access-Control-Allow-Headers": None}),
        ({}, {"Access-Control-Request-Headers": "x-a x-b"}, {"Access-Control-Allow-Headers": None}),
        ({}, {"Access-Control-Request-Headers": "x-a: b"}, {"Access-Control-Allow-Headers": None}),
        ({"headers": []}, ASKS, {"Access-Control-Allow-Headers": None}),
        ({"headers": ["X-C"]}, ASKS, {"Access-Control-Allow-Headers": "X-C"}),
        ({"methods": ["*"]}, ASKS, {"Access-Control-Allow-Methods": "PURGE"}),
        ({"methods": ["*"]}, {"Access-Control-Request-Method": "A, B"}, {"Access-Control-Allow-Methods": None}),
        ({"methods": []}, ASKS, {"Access-Control-Allow-Methods": None}),
        ({"max_age": 0}, ASKS, {"Access-Control-Max-Age": "0"}),
        ({}, {"Access-Control-Request-Private-Network": "true"}, {"Access-Control-Allow-Private-Network": None}),
        ({"private_network": True}, ASKS, {"Access-Control-Allow-Private-Network": None}),
        (
            {"private_network": True},
            {"Access-Control-Request-Private-Network": "yes"},
            {"Access-Control-Allow-Private-Network": None},
        ),
        ({"expose_headers": ["X-C"]}, ASKS, {"Access-Control-Expose-Headers": None}),
        ({"credentials": False}, ASKS, {"Access-Control-Allow-Credentials": None}),
    ],
)
def test_fields_of_a_preflight(options: dict[str, Any], asked: dict[str, str], fields: dict[str, str | None]) -> None:
    sent = text_of(policy(origins=[APP], **options).preflight(APP.encode(), Headers(asked)).fields)
    assert {name: sent.get(name) for name in fields} == fields


def test_a_request_without_an_origin_gets_vary_and_nothing_else() -> None:
    decision = policy(**FULL).absent
    assert (decision.is_allowed, decision.fields) == (True, ((b"Vary", b"Origin"),))


UPSTREAMS = [
    ("access-control-allow-origin", "*"),
    ("Access-Control-Allow-Credentials", "true"),
    ("ACCESS-CONTROL-MAX-AGE", "5"),
    ("Access-Control-X", "later"),
]


@pytest.mark.parametrize("origin", [APP, "https://other.example", None])
def test_the_upstreams_fields_are_replaced(origin: str | None) -> None:
    headers = Headers([("Date", "now"), *UPSTREAMS, ("Access", "kept"), ("ETag", '"1"'), *UPSTREAMS])
    under_test = policy(origins=[APP])
    apply(under_test.absent if origin is None else under_test.plain(origin.encode()), headers.raw)
    expected = [("Date", "now"), ("Access", "kept"), ("ETag", '"1"'), ("Vary", "Origin")]
    assert list(headers.items()) == expected + [("Access-Control-Allow-Origin", APP)] * (origin == APP)


@pytest.mark.parametrize(
    ("lines", "after"),
    [
        ([], ["Origin"]),
        (["Accept-Encoding"], ["Accept-Encoding, Origin"]),
        (["Accept-Encoding "], ["Accept-Encoding, Origin"]),
        (["origin"], ["origin"]),
        (["*"], ["*"]),
        (["X-Origin"], ["X-Origin, Origin"]),
        (["A", "B"], ["A, Origin", "B"]),
        ([""], ["Origin"]),
    ],
)
def test_vary_is_merged(lines: list[str], after: list[str]) -> None:
    headers = Headers.from_raw([(b"vary", line.encode()) for line in lines])
    apply(policy(origins=[APP]).absent, headers.raw)
    assert headers.get_all("Vary") == after


@pytest.mark.parametrize(
    ("value", "names", "merged"),
    [
        (b"A", (b"B", b"C"), b"A, B, C"),
        (b"b,A", (b"B", b"C"), b"b, A, C"),
        (b"A, *", (b"B",), b"A, *"),
        (b" , ", (b"B",), b"B"),
    ],
)
def test_with_members(value: bytes, names: tuple[bytes, ...], merged: bytes) -> None:
    assert with_members(value, names) == merged
