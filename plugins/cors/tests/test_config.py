"""What the config model takes and refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gatewright_cors.config import CorsConfig

APP = "https://app.example.com"


@pytest.mark.parametrize(
    "origin",
    [
        APP,
        "http://localhost:3000",
        "https://*.example.com",
        "https://*.example.com:8443",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "capacitor://localhost",
        "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
        "https://xn--bcher-kva.example",
        "null",
        "*",
    ],
)
def test_origins(origin: str) -> None:
    assert CorsConfig(origins=[origin]).origins == [origin]


def test_an_origin_is_lower_case_as_browsers_send_it() -> None:
    assert CorsConfig(origins=["HTTPS://App.Example.com"]).origins == [APP]


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({}, "no origin is allowed; give origins or origin_patterns"),
        ({"origins": []}, "no origin is allowed"),
        ({"origins": ["app.example.com"]}, r"is not an origin; write SCHEME://HOST"),
        ({"origins": ["https://app.example.com/"]}, "is not an origin"),
        ({"origins": ["https://app.example.com/x"]}, "is not an origin"),
        ({"origins": ["https://user@app.example.com"]}, "is not an origin"),
        ({"origins": ["https://app.*.com"]}, "is not an origin"),
        ({"origins": ["https://*app.example.com"]}, "is not an origin"),
        ({"origins": ["https://*.*.example.com"]}, "is not an origin"),
        ({"origins": ["https://*"]}, "is not an origin"),
        ({"origins": ["*.example.com"]}, "is not an origin"),
        ({"origins": ["https://bücher.example"]}, "in ASCII"),
        ({"origins": ["https://app.example.com:443"]}, "leave out the default port"),
        ({"origins": ["http://app.example.com:80"]}, "leave out the default port"),
        ({"origins": ["*", APP]}, "allows every origin already"),
        ({"origins": ["*"], "origin_patterns": ["x"]}, "allows every origin already"),
        ({"origin_patterns": ["("]}, "is not a regular expression"),
        ({"origins": ["*"], "credentials": True}, "credentials with origin \\* would let every site"),
        ({"origin_patterns": [".*"], "credentials": True}, "matches any origin"),
        ({"origin_patterns": ["https?://.+"], "credentials": True}, "matches any origin"),
        ({"origin_patterns": ["https://[a-z.]+"], "credentials": True}, "matches any origin"),
        ({"origins": [APP], "credentials": True, "expose_headers": ["*"]}, "take \\* in expose_headers for a name"),
        ({"origins": [APP], "methods": ["get"]}, "methods are upper case"),
        ({"origins": [APP], "methods": ["GET,POST"]}, "is not a method"),
        ({"origins": [APP], "methods": ["*", "GET"]}, "\\* in methods stands for all"),
        ({"origins": [APP], "headers": ["X Y"]}, "is not a header name"),
        ({"origins": [APP], "headers": ["X-A\r\nB"]}, "is not a header name"),
        ({"origins": [APP], "headers": ["*", "X-A"]}, "\\* in headers stands for all"),
        ({"origins": [APP], "expose_headers": ["a:b"]}, "is not a header name"),
        ({"origins": [APP], "expose_headers": ["*", "X"]}, "\\* in expose_headers stands for all"),
        ({"origins": [APP], "max_age": -1}, "is not a duration"),
        ({"origins": [APP], "on_disallowed": "drop"}, "reject"),
        ({"origins": [APP], "allow_origin": APP}, "not permitted"),
    ],
)
def test_what_is_refused(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        CorsConfig.model_validate(document)


@pytest.mark.parametrize(
    "document",
    [
        {"origins": ["*", "null"]},
        {"origin_patterns": [".*"]},
        {"origin_patterns": [r"https://[a-z]+\.example\.com"], "credentials": True},
        {"origins": ["*"], "expose_headers": ["*"]},
        {"origins": [APP], "credentials": True, "headers": ["*"], "methods": ["*"]},
        {"origins": [APP], "max_age": "2h"},
    ],
)
def test_what_is_taken(document: dict[str, Any]) -> None:
    CorsConfig.model_validate(document)


def test_every_option_is_described() -> None:
    assert all(field.description for field in CorsConfig.model_fields.values())
