"""The filter: answers preflights and marks every response."""

from __future__ import annotations

from gatewright_cors.config import CorsConfig
from gatewright_cors.policy import Decision, Policy, apply
from gatewright_sdk import ClientError, Exchange, Filter, Phase, Request, Response, StateKey

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class OriginNotAllowed(ClientError):
    """The request comes from an origin that may not call this route."""

    status = 403
    code = "origin-not-allowed"
    proxy_status = "http_request_denied"


class Cors(Filter[CorsConfig]):
    """Cross-origin resource sharing.

    What a response gets is decided when the request comes in, before any other plugin may change
    the request, and applied to whatever response goes out, the gateway's own ones included.
    """

    phase = Phase.EDGE
    after = ("request-id",)

    def __init__(self, config: CorsConfig) -> None:
        super().__init__(config)
        self._policy = Policy(config)
        self._rejects = config.on_disallowed == "reject"
        self._answers = not config.preflight_continue
        self._decided = StateKey[Decision]("cors.decision")

    def on_request(self, exchange: Exchange) -> Response | None:
        request = exchange.request
        origin = request.headers.get_bytes(b"origin")
        if origin is None:
            self._decided.set(exchange, self._policy.absent)
            return None
        is_preflight = _is_preflight(request)
        decision = self._policy.preflight(origin, request.headers) if is_preflight else self._policy.plain(origin)
        self._decided.set(exchange, decision)
        if self._rejects and not decision.is_allowed and not _is_same_origin(request, origin):
            raise OriginNotAllowed("This origin may not call this route.")
        return Response(204) if is_preflight and self._answers else None

    def on_response(self, exchange: Exchange) -> None:
        decision = self._decided.get(exchange)
        if decision is None:
            # A filter before this one has answered.
            decision = self._decide(exchange.request)
        assert exchange.response is not None
        apply(decision, exchange.response.headers.raw)

    def _decide(self, request: Request) -> Decision:
        origin = request.headers.get_bytes(b"origin")
        if origin is None:
            return self._policy.absent
        return self._policy.preflight(origin, request.headers) if _is_preflight(request) else self._policy.plain(origin)


def _is_preflight(request: Request) -> bool:
    """CORS-preflight request, Fetch standard section 3.3.2; any other OPTIONS request is a plain one."""
    return request.method == "OPTIONS" and request.headers.get_bytes(b"access-control-request-method") is not None


def _is_same_origin(request: Request, origin: bytes) -> bool:
    """Browsers name the origin of the request's own URL too, in requests that are not cross-origin."""
    own = f"{request.scheme}://{request.host.removesuffix(_DEFAULT_PORTS[request.scheme])}"
    return bool(request.host) and origin.decode("latin-1") == own
