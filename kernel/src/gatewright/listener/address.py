"""Who the client is, and what is said of it to the upstream.

One value for every plugin: the socket's peer, or, where that is a trusted proxy, the nearest hop to
the gateway that is not one, walking the forwarded addresses right to left. Whatever an untrusted
peer says about itself is dropped.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from gatewright_sdk import ClientAddress

RawField = tuple[bytes, bytes]


class TrustedProxies:
    """The networks whose forwarded fields are believed."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)

    def __contains__(self, ip: str) -> bool:
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def resolve_client(peer: ClientAddress, trusted: TrustedProxies, fields: Sequence[RawField]) -> ClientAddress:
    """The client behind a trusted peer, from its ``X-Forwarded-For`` fields (all lines, in order).

    A hop that is not an address ends the walk: what stands left of it cannot be checked.
    """
    hops = [
        hop.strip().decode("latin-1")
        for name, value in fields
        if name.lower() == b"x-forwarded-for"
        for hop in value.split(b",")
    ]
    ip = peer.peer
    for hop in reversed(hops):
        parsed = parse_hop(hop)
        if parsed is None:
            break
        ip = parsed
        if parsed not in trusted:
            break
    return ClientAddress(ip, peer.port if ip == peer.peer else 0, peer.peer, True)


def parse_hop(hop: str) -> str | None:
    """The address of one hop, which may carry a port or brackets; None where it is none."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return None


def forwarded_lines(client: ClientAddress, scheme: str, host: bytes, via: bytes, received: Sequence[RawField]) -> bytes:
    """The lines for the upstream, each with its CRLF.

    From a trusted peer, ``X-Forwarded-For`` is continued and the other fields are kept; else all of
    them are the gateway's own.
    """
    peer = client.peer.encode()
    kept = {name.lower(): value for name, value in received} if client.is_trusted else {}
    chain = b", ".join([value for name, value in received if name.lower() == b"x-forwarded-for"]) if kept else b""
    lines = [
        b"X-Forwarded-For: %b" % (b"%b, %b" % (chain, peer) if chain else peer),
        b"X-Forwarded-Proto: %b" % kept.get(b"x-forwarded-proto", scheme.encode()),
        b"X-Forwarded-Host: %b" % kept.get(b"x-forwarded-host", host),
    ]
    lines.extend(
        b"%b: %b" % (name.title(), kept[name]) for name in (b"x-forwarded-port", b"x-forwarded-prefix") if name in kept
    )
    lines.append(b"Via: %b" % via)
    return b"\r\n".join(lines) + b"\r\n"
