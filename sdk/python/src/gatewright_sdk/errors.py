"""What can go wrong with an exchange: who was at fault, and the status and code that say so.

Every error that reaches a client is a :class:`GatewayError` and becomes an RFC 9457
``application/problem+json`` document with a stable ``type`` and ``code``.
"""

from __future__ import annotations

from http import HTTPStatus

PROBLEM_BASE = "https://gatewright.dev/problems/"


def reason_phrase(status: int) -> str:
    """The registered phrase of a status code, or an empty string."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


class GatewrightError(Exception):
    """The root of every error that Gatewright raises on purpose."""


class PluginError(GatewrightError):
    """A plugin cannot be loaded, configured or started. The message says what to do about it."""


class GatewayError(GatewrightError):
    """An exchange failed. ``on_error`` hooks receive one of these.

    Attributes:
        status: the HTTP status the client gets unless a hook decides otherwise.
        code: a stable, kebab-case name of the failure; the last part of the problem's ``type``.
        detail: a sentence for the client. It never holds a secret, an address or a traceback.
        proxy_status: the error type of RFC 9209 section 2.3, or None where that has none.
    """

    status: int = 500
    code: str = "internal-error"
    proxy_status: str | None = None

    def __init__(
        self,
        detail: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code
        #: seconds after which another try makes sense, sent as ``Retry-After``
        self.retry_after = retry_after
        #: further members of the problem document
        self.extra = extra or {}

    @property
    def title(self) -> str:
        return reason_phrase(self.status)

    def problem(self, request_id: str) -> dict[str, object]:
        """The members of the problem document (RFC 9457 section 3.1)."""
        members: dict[str, object] = {
            "type": PROBLEM_BASE + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        return members | {name: value for name, value in self.extra.items() if name not in members}


class ClientError(GatewayError):
    """The client was wrong: 4xx."""

    status = 400
    code = "bad-request"
    proxy_status = "http_request_error"


class RequestTimeout(ClientError):
    """The client was too slow. ``code`` names the timeout that expired."""

    status = 408
    code = "client-body-timeout"


class BodyTooLarge(ClientError):
    """A body is larger than the route or a hook allows.

    Raised by ``Request.read`` (413 for the client) and ``Response.read`` (502: the upstream sent
    more than the route is prepared to hold).
    """

    status = 413
    code = "body-too-large"
    proxy_status = "http_request_denied"


class ClientDisconnected(GatewayError):
    """The client went away before the response was complete; nobody reads this one's response."""

    status = 499
    code = "client-disconnected"

    @property
    def title(self) -> str:
        return "Client Closed Request"


class RouteNotFound(ClientError):
    """No route matches the request."""

    status = 404
    code = "route-not-found"
    proxy_status = "destination_not_found"


class HookError(GatewayError):
    """A plugin's hook raised, or returned what no hook may return.

    The plugin, the route and the hook stand in the log; the client sees only the code and the id.
    """

    status = 500
    code = "plugin-error"
    proxy_status = "proxy_internal_error"

    def __init__(self, plugin: str, hook: str, route: str, cause: BaseException | None = None) -> None:
        super().__init__("The gateway could not process this request.")
        self.plugin = plugin
        self.hook = hook
        self.route = route
        self.__cause__ = cause

    def __str__(self) -> str:
        cause = self.__cause__
        what = f"{type(cause).__name__}: {cause}" if cause is not None else "returned an unexpected value"
        return f"plugin {self.plugin!r}, route {self.route!r}, hook {self.hook}: {what}"


class UpstreamError(GatewayError):
    """The upstream could not be reached or did not answer properly: 502."""

    status = 502
    code = "upstream-error"
    proxy_status = "destination_unavailable"


class ConnectFailed(UpstreamError):
    """No connection to the target. The request was not sent, so it may be sent elsewhere."""

    code = "upstream-connect-failed"
    proxy_status = "connection_refused"


class ConnectionLost(UpstreamError):
    """The upstream closed or reset the connection before its response was complete."""

    code = "upstream-connection-lost"
    proxy_status = "connection_terminated"


class BadUpstreamResponse(UpstreamError):
    """The upstream sent what is not an HTTP response."""

    code = "upstream-bad-response"
    proxy_status = "http_protocol_error"


class Overloaded(UpstreamError):
    """The pool of a target is full and its queue is too: 503."""

    status = 503
    code = "upstream-overloaded"
    proxy_status = "connection_limit_reached"


class NoTarget(UpstreamError):
    """The service has no target that can take the request: 503."""

    status = 503
    code = "no-target"
    proxy_status = "destination_unavailable"


class UpstreamTimeout(UpstreamError):
    """A timeout of the route expired: 504. ``timeout`` names it.

    One of ``connect``, ``tls``, ``first_byte``, ``between_bytes``, ``total``, ``idle_stream``.
    """

    status = 504
    proxy_status = "connection_timeout"

    def __init__(self, timeout: str, seconds: float) -> None:
        code = f"upstream-{timeout.replace('_', '-')}-timeout"
        super().__init__(
            f"The route's {timeout} timeout of {seconds:g} s expired.",
            code=code,
            extra={"timeout": timeout, "seconds": seconds},
        )
        self.timeout = timeout
        self.seconds = seconds
