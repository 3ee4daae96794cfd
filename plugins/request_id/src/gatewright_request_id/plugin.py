"""The filter: finds or makes the id, and carries it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

from gatewright_request_id.config import RequestIdConfig
from gatewright_request_id.identifiers import Clock, hex_ids, uuid4_ids, uuid7_ids
from gatewright_sdk import Exchange, Filter, Phase, PluginContext

# What may stand in a log line, a URL or a shell argument without harm.
_SAFE = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}")


class RequestId(Filter[RequestIdConfig]):
    """Gives every exchange an id, and sends it both ways."""

    phase = Phase.EDGE

    def __init__(self, config: RequestIdConfig) -> None:
        super().__init__(config)
        self._name = config.header.encode()
        self._key = self._name.lower()
        self._trusts_proxies = config.trust == "trusted_proxies"
        self._trusts_all = config.trust == "always"
        self._next = _maker(config.format, time.time)

    def hooks(self) -> tuple[str, ...]:
        return ("on_request", "on_response") if self.config.respond else ("on_request",)

    def start(self, context: PluginContext) -> None:
        self._next = _maker(self.config.format, context.time)

    def on_request(self, exchange: Exchange) -> None:
        headers = exchange.request.headers
        given = headers.get_bytes(self._key)
        if given is None:
            exchange.id = made = self._next()
            headers.raw.append((self._name, made.encode()))
            return
        is_trusted = self._trusts_all or (self._trusts_proxies and exchange.client.is_trusted)
        if is_trusted and _SAFE.fullmatch(given):
            exchange.id = given.decode()
        else:
            exchange.id = self._next()
        # Replaces every line of the field, so an id that was not believed goes no further.
        headers.set(self._name, exchange.id)

    def on_response(self, exchange: Exchange) -> None:
        assert exchange.response is not None
        headers = exchange.response.headers
        current = exchange.id
        if headers.get_bytes(self._key) is None and current.isprintable():
            headers.raw.append((self._name, current.encode("latin-1")))
        else:
            headers.set(self._name, current)


def _maker(format: str, clock: Clock) -> Callable[[], str]:
    if format == "uuid7":
        return uuid7_ids(os.urandom, clock).__next__
    return (uuid4_ids if format == "uuid4" else hex_ids)(os.urandom).__next__
