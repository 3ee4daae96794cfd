"""Names to addresses, looked up again and again, and kept while the name service is down."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from typing import Any

from gatewright_sdk import ConnectFailed

#: What getaddrinfo gives for one address.
AddressInfo = tuple[Any, Any, int, str, Any]

KEEP_SECONDS = 10.0


class Resolver:
    """Resolves host names for the pools of one worker.

    An answer is used for ten seconds; ``getaddrinfo`` tells no TTL. One look-up is under way per name.
    When a look-up fails, the last answer goes on being used.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[float, list[AddressInfo]]] = {}
        self._pending: dict[tuple[str, int], asyncio.Task[list[AddressInfo]]] = {}

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """Every address of a name, as the system orders them.

        Raises:
            ConnectFailed: the name does not resolve and never has.
        """
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        key = (host, port)
        known = self._known.get(key)
        if known is not None and self._clock() - known[0] < KEEP_SECONDS:
            return known[1]
        task = self._pending.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._look_up(key))
            self._pending[key] = task
        try:
            return await asyncio.shield(task)
        except OSError as error:
            if known is not None:
                return known[1]
            failure = ConnectFailed("The upstream's name does not resolve.", code="upstream-name-unresolved")
            failure.proxy_status = "dns_error"
            raise failure from error

    async def _look_up(self, key: tuple[str, int]) -> list[AddressInfo]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                key[0], key[1], type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
            )
            if not found:
                raise OSError("no addresses")
            self._known[key] = (self._clock(), list(found))
            return list(found)
        finally:
            del self._pending[key]


def _literal(host: str, port: int) -> AddressInfo | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))
