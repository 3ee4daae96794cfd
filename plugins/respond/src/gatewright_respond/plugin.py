"""The filter: one mode per attachment, chosen when the config is compiled."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from gatewright_respond.config import Content, Maintenance, Redirect, RespondConfig
from gatewright_respond.location import Location
from gatewright_sdk import Exchange, Filter, GatewayError, Headers, Phase, Response

Answer = Callable[[Exchange], Response | None]


class UnderMaintenance(GatewayError):
    """The operator has closed the route for a while."""

    status = 503
    code = "maintenance"
    proxy_status = "destination_unavailable"


class Respond(Filter[RespondConfig]):
    """Answers requests, or failures, without the upstream.

    It runs in phase ``route``, so that a request is authenticated, authorised and limited first.
    """

    phase = Phase.ROUTE

    def __init__(self, config: RespondConfig) -> None:
        super().__init__(config)
        self._answer = _mode(config)
        self._fallback = _Page(config.fallback, keeps_problem=False) if config.fallback is not None else None

    def hooks(self) -> tuple[str, ...]:
        return ("on_request",) if self._fallback is None else ("on_error",)

    def on_request(self, exchange: Exchange) -> Response | None:
        return self._answer(exchange)

    def on_error(self, exchange: Exchange, error: GatewayError) -> Response | None:
        fallback = self.config.fallback
        if self._fallback is None or fallback is None:
            return None
        if error.status not in fallback.statuses and error.code not in fallback.codes:
            return None
        response = self._fallback.put_on(Response.problem(error, exchange.id))
        response.status = fallback.status or error.status
        return response


def _mode(config: RespondConfig) -> Answer:
    if config.redirect is not None:
        return _redirect(config.redirect)
    if config.maintenance is not None:
        return _maintenance(config.maintenance)
    return _fixed(config.status or 200, config)


def _fixed(status: int, content: Content) -> Answer:
    raw, body = content.fields().raw, content.payload()

    def answer(exchange: Exchange) -> Response:
        # A copy, because response hooks change the list.
        return Response(status, Headers.from_raw(raw.copy()), body)

    return answer


def _redirect(config: Redirect) -> Answer:
    location, keep_query = Location(config.to), config.keep_query

    def answer(exchange: Exchange) -> Response:
        place = location.render(exchange.request, exchange.params, keep_query=keep_query)
        return Response(config.status, [("Location", place)])

    return answer


def _maintenance(config: Maintenance) -> Answer:
    networks = [ipaddress.ip_network(network) for network in config.allow]
    page = _Page(config, keeps_problem=not config.has_body)

    def answer(exchange: Exchange) -> Response | None:
        if networks:
            address = exchange.client.address
            if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            if any(address in network for network in networks):
                return None
        error = UnderMaintenance("This service is under maintenance.", retry_after=config.retry_after)
        return page.put_on(Response.problem(error, exchange.id))

    return answer


class _Page:
    """Configured content on a problem response, whose other fields stay."""

    def __init__(self, content: Content, *, keeps_problem: bool) -> None:
        self._fields = content.fields()
        self._names = {name.lower() for name in self._fields}
        self._body = None if keeps_problem else content.payload()

    def put_on(self, response: Response) -> Response:
        headers = response.headers
        if self._body is not None:
            response.body = self._body
            headers.remove("content-type")
        for name in self._names:
            headers.remove(name)
        headers.raw.extend(self._fields.raw)
        return response
