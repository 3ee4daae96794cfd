"""The tree of errors: who was at fault, and what the client is told."""

from __future__ import annotations

import pytest

import gatewright_sdk
from gatewright_sdk import (
    BadUpstreamResponse,
    BodyTooLarge,
    ClientDisconnected,
    ClientError,
    ConnectFailed,
    ConnectionLost,
    GatewayError,
    GatewrightError,
    HookError,
    NoTarget,
    Overloaded,
    PluginError,
    RequestTimeout,
    RouteNotFound,
    UpstreamError,
    UpstreamTimeout,
)
from gatewright_sdk.errors import reason_phrase

ERRORS = [
    (GatewayError(), 500, "internal-error", GatewrightError),
    (ClientError(), 400, "bad-request", GatewayError),
    (RequestTimeout(), 408, "client-body-timeout", ClientError),
    (BodyTooLarge(), 413, "body-too-large", ClientError),
    (RouteNotFound(), 404, "route-not-found", ClientError),
    (ClientDisconnected(), 499, "client-disconnected", GatewayError),
    (HookError("p", "on_request", "r"), 500, "plugin-error", GatewayError),
    (UpstreamError(), 502, "upstream-error", GatewayError),
    (ConnectFailed(), 502, "upstream-connect-failed", UpstreamError),
    (ConnectionLost(), 502, "upstream-connection-lost", UpstreamError),
    (BadUpstreamResponse(), 502, "upstream-bad-response", UpstreamError),
    (Overloaded(), 503, "upstream-overloaded", UpstreamError),
    (NoTarget(), 503, "no-target", UpstreamError),
    (UpstreamTimeout("idle_stream", 3), 504, "upstream-idle-stream-timeout", UpstreamError),
]


@pytest.mark.parametrize(("error", "status", "code", "parent"), ERRORS, ids=lambda value: getattr(value, "code", None))
def test_status_and_code_say_who_was_at_fault(
    error: GatewayError, status: int, code: str, parent: type[GatewayError]
) -> None:
    assert (error.status, error.code) == (status, code)
    assert isinstance(error, parent)
    problem = error.problem("id")
    assert problem["type"] == f"https://gatewright.dev/problems/{code}"
    assert (problem["status"], problem["code"], problem["request_id"]) == (status, code, "id")
    assert problem["title"]


def test_the_table_has_every_error_of_the_sdk() -> None:
    kinds = {
        kind for kind in vars(gatewright_sdk).values() if isinstance(kind, type) and issubclass(kind, GatewayError)
    }
    assert {type(error) for error, *_ in ERRORS} == kinds


def test_an_error_may_differ_from_its_class() -> None:
    error = ClientError("No.", status=403, code="not-yours", retry_after=2.0)
    assert (error.status, error.code, error.retry_after, str(error)) == (403, "not-yours", 2.0, "No.")
    assert ClientError.status == 400


def test_further_members_never_replace_those_of_the_standard() -> None:
    problem = GatewayError("No.", extra={"limit": 5, "status": 200, "type": "x"}).problem("id")
    assert (problem["limit"], problem["status"], problem["code"]) == (5, 500, "internal-error")
    assert problem["type"] != "x"


def test_a_hook_error_tells_the_operator_and_not_the_client() -> None:
    cause = RuntimeError("password=hunter2")
    error = HookError("jwt", "on_request", "vod", cause)
    assert "jwt" in str(error)
    assert "vod" in str(error)
    assert "RuntimeError: password=hunter2" in str(error)
    assert error.__cause__ is cause
    assert "hunter2" not in str(error.problem("id"))
    assert "unexpected value" in str(HookError("jwt", "on_request", "vod"))


def test_a_plugin_error_is_no_response() -> None:
    assert not issubclass(PluginError, GatewayError)


@pytest.mark.parametrize(("status", "phrase"), [(200, "OK"), (404, "Not Found"), (299, ""), (499, "")])
def test_reason_phrase(status: int, phrase: str) -> None:
    assert reason_phrase(status) == phrase
