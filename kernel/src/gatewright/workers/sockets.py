"""The listening sockets, held by the supervisor and shared with every worker."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable

from gatewright.config.models import Listener, parse_bind
from gatewright.errors import StartError


def bind_listener(listener: Listener) -> socket.socket:
    """A socket that is bound and listening.

    Raises:
        StartError: the address is in use, not allowed, or not this machine's.
    """
    host, port = parse_bind(listener.bind)
    sock: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # [::] takes IPv4 too, unless it is asked for by an address of its own.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        sock.bind(address)
        sock.listen(listener.backlog)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise StartError(_explain(listener.bind, error)) from error
    return sock


def address_of(sock: socket.socket) -> str:
    """``HOST:PORT`` that a socket has in fact."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Sockets:
    """The listening sockets of a gateway, by what the manifest calls their address."""

    def __init__(self) -> None:
        self._open: dict[str, socket.socket] = {}

    def bind_missing(self, listeners: Iterable[Listener]) -> dict[str, socket.socket]:
        """Bind those that are not open yet; ``keep`` or ``discard`` must follow.

        Raises:
            StartError: one cannot be bound; then none of them is.
        """
        made: dict[str, socket.socket] = {}
        try:
            for listener in listeners:
                if listener.bind not in self._open:
                    made[listener.bind] = bind_listener(listener)
        except StartError:
            discard(made)
            raise
        return made

    def keep(self, made: dict[str, socket.socket], listeners: Iterable[Listener]) -> None:
        """Take over what was bound, and close what is not among the listeners any more."""
        self._open.update(made)
        wanted = {listener.bind: listener for listener in listeners}
        for bind in self._open.keys() - wanted.keys():
            self._open.pop(bind).close()
        for bind, sock in self._open.items():
            # The kernel takes over a changed backlog from a second call.
            with contextlib.suppress(OSError):
                sock.listen(wanted[bind].backlog)

    def all(self) -> dict[str, socket.socket]:
        return dict(self._open)

    def addresses(self) -> dict[str, str]:
        return {bind: address_of(sock) for bind, sock in self._open.items()}

    def close(self) -> None:
        discard(self._open)


def discard(sockets: dict[str, socket.socket]) -> None:
    for sock in sockets.values():
        sock.close()
    sockets.clear()


def _explain(bind: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {bind}: the address is in use; stop the program that has it, or bind another port"
    if error.errno == errno.EACCES:
        return f"cannot listen on {bind}: not permitted; ports below 1024 need the capability CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {bind}: this machine does not have that address"
    if isinstance(error, socket.gaierror):
        return f"cannot listen on {bind}: the host does not resolve ({error.strerror})"
    return f"cannot listen on {bind}: {os.strerror(error.errno or 0)}"
