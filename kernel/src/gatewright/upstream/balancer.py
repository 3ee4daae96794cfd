"""Which endpoint of a service takes a request.

Pure: a balancer looks at weights and at counts of open requests that others keep, and draws from a source
of randomness that it is given.
"""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import reduce
from hashlib import blake2b
from heapq import heapify, heapreplace
from itertools import accumulate, cycle, islice
from typing import Generic, Protocol, TypeVar
from zlib import crc32

from gatewright.config import models
from gatewright_sdk import Exchange

#: A float in [0, 1).
Random = Callable[[], float]


class Endpoint(Protocol):
    """What a balancer sees of a target.

    Attributes:
        url: names it; the same target has the same url in every process.
        weight: its share relative to the others'; 0 takes none.
        active: requests that are with it now.
    """

    @property
    def url(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def active(self) -> int: ...


E = TypeVar("E", bound=Endpoint)
E_co = TypeVar("E_co", bound=Endpoint, covariant=True)


class Balancer(Protocol[E_co]):
    """Picks one of the endpoints that it was made for."""

    def pick(self, key: str | None, excluded: Collection[object]) -> E_co | None:
        """The endpoint for the next request; None if there is none.

        Args:
            key: what consistent hashing hashes; the others do not read it.
            excluded: endpoints not to pick, such as those that this request has failed on.
        """
        ...


def make_balancer(config: models.Balancer, endpoints: Sequence[E], draw: Random = random.random) -> Balancer[E]:
    """The balancer that a service's config asks for. Endpoints of weight 0 are left out."""
    usable = tuple(endpoint for endpoint in endpoints if endpoint.weight > 0)
    if len(usable) < 2:
        return Only(usable[0] if usable else None)
    if config.type == "least_requests":
        return LeastRequests(usable, draw)
    if config.type == "consistent_hash":
        return ConsistentHash(usable, draw)
    return round_robin(usable, draw)


class Only(Generic[E]):
    """The balancer of one endpoint, or of none."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: E | None) -> None:
        self._endpoint = endpoint

    def pick(self, key: str | None, excluded: Collection[object]) -> E | None:
        return None if excluded and self._endpoint in excluded else self._endpoint


# -- round robin ----------------------------------------------------------------------------------

#: A longer sequence, or one that takes more steps to work out, is not laid out in advance.
SEQUENCE_LENGTH = 512
SEQUENCE_STEPS = 8_192


def round_robin(endpoints: Sequence[E], draw: Random) -> Balancer[E]:
    """Each endpoint in turn, as often as its weight says, spread evenly.

    It starts at a random place, or else every worker would begin with the same endpoint after each reload.
    """
    divisor = reduce(math.gcd, (endpoint.weight for endpoint in endpoints))
    weights = [endpoint.weight // divisor for endpoint in endpoints]
    length = sum(weights)
    if length == len(weights):
        return Sequenced(endpoints, draw)
    if length <= SEQUENCE_LENGTH and length * len(weights) <= SEQUENCE_STEPS:
        return Sequenced([endpoints[index] for index in smooth_sequence(weights)], draw)
    return Scheduled(endpoints, draw)


def smooth_sequence(weights: Sequence[int]) -> list[int]:
    """Indexes, each as often as its weight, as far apart as they can be (nginx's smooth round robin).

    >>> smooth_sequence([5, 1, 1])
    [0, 0, 1, 0, 2, 0, 0]
    """
    total = sum(weights)
    credit = [0] * len(weights)
    sequence = []
    for _ in range(total):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        best = credit.index(max(credit))
        credit[best] -= total
        sequence.append(best)
    return sequence


class Sequenced(Generic[E]):
    """Round robin over a sequence that is laid out in advance."""

    __slots__ = ("_length", "_turns")

    def __init__(self, sequence: Sequence[E], draw: Random) -> None:
        start = int(draw() * len(sequence))
        self._length = len(sequence)
        self._turns: Iterator[E] = cycle([*sequence[start:], *sequence[:start]])

    def pick(self, key: str | None, excluded: Collection[object]) -> E | None:
        endpoint = next(self._turns)
        if not excluded or endpoint not in excluded:
            return endpoint
        return next((each for each in islice(self._turns, self._length - 1) if each not in excluded), None)


class Scheduled(Generic[E]):
    """Round robin by earliest deadline: whoever is picked is due again after the inverse of its weight."""

    __slots__ = ("_due", "_endpoints", "_periods")

    def __init__(self, endpoints: Sequence[E], draw: Random) -> None:
        self._endpoints = tuple(endpoints)
        self._periods = [1 / endpoint.weight for endpoint in endpoints]
        self._due = [((1 - draw()) * period, index) for index, period in enumerate(self._periods)]
        heapify(self._due)

    def pick(self, key: str | None, excluded: Collection[object]) -> E | None:
        due, index = self._due[0]
        if excluded and self._endpoints[index] in excluded:
            return self._pick_other(excluded)
        heapreplace(self._due, (due + self._periods[index], index))
        return self._endpoints[index]

    def _pick_other(self, excluded: Collection[object]) -> E | None:
        """The first in line that is not excluded; the others keep their places."""
        others = (item for item in self._due if self._endpoints[item[1]] not in excluded)
        first = min(others, default=None)
        if first is None:
            return None
        due, index = first
        self._due[self._due.index(first)] = (due + self._periods[index], index)
        heapify(self._due)
        return self._endpoints[index]


# -- least requests -------------------------------------------------------------------------------


class LeastRequests(Generic[E]):
    """Of two endpoints drawn at random, the one with fewer open requests for its weight.

    Two choices are almost as good as looking at all, and unlike looking at all they do not send every
    worker's next request to the same endpoint (Mitzenmacher, The Power of Two Choices, 2001). Endpoints
    are drawn by weight, so that an idle service gets its requests by weight too; where all weights are
    equal, the two are never the same.
    """

    __slots__ = ("_bounds", "_draw", "_endpoints", "_total")

    def __init__(self, endpoints: Sequence[E], draw: Random) -> None:
        self._endpoints = tuple(endpoints)
        self._draw = draw
        weights = [endpoint.weight for endpoint in endpoints]
        self._total = sum(weights)
        #: running totals of the weights; empty where they are equal
        self._bounds = list(accumulate(weights)) if len(set(weights)) > 1 else []

    def pick(self, key: str | None, excluded: Collection[object]) -> E | None:
        first, second = self._draw_two()
        if excluded and (first in excluded or second in excluded):
            return self._pick_among(excluded)
        # The first stays where the two are even, or else a heavier endpoint would win every tie.
        return second if second.active * first.weight < first.active * second.weight else first

    def _draw_two(self) -> tuple[E, E]:
        endpoints, draw, bounds = self._endpoints, self._draw, self._bounds
        if bounds:
            total = self._total
            return endpoints[bisect_right(bounds, draw() * total)], endpoints[bisect_right(bounds, draw() * total)]
        size = len(endpoints)
        first, second = int(draw() * size), int(draw() * (size - 1))
        return endpoints[first], endpoints[second + (second >= first)]

    def _pick_among(self, excluded: Collection[object]) -> E | None:
        """The least busy of all that are left; among equals, one at random."""
        left = [endpoint for endpoint in self._endpoints if endpoint not in excluded]
        return min(left, key=lambda endpoint: (endpoint.active / endpoint.weight, self._draw()), default=None)


# -- consistent hash ------------------------------------------------------------------------------

#: Keys are hashed into so many slots, each of which belongs to an endpoint.
_SLOT_BITS = 14


class ConsistentHash(Generic[E]):
    """The same endpoint for the same key, in every process, as long as the endpoints are the same.

    Weighted rendezvous hashing (draft-ietf-bess-weighted-hrw) over a fixed number of slots: each endpoint
    draws for each slot a number that depends on the two alone, and the best one, weight considered, has
    it. So what comes or goes moves only the slots that it gains or loses, about its share, and a changed
    weight moves about the difference; a key whose endpoint is excluded goes to the runner-up of its slot,
    and goes there again the next time. A slot's owner is worked out when a key first falls into it.
    """

    __slots__ = ("_draw", "_endpoints", "_owners", "_seeds")

    def __init__(self, endpoints: Sequence[E], draw: Random) -> None:
        self._endpoints = tuple(endpoints)
        self._draw = draw
        self._seeds = _seeds(endpoints)
        #: per slot the number of the owner, from 1; 0 is not known yet
        self._owners = array("I", bytes(4 << _SLOT_BITS))

    def pick(self, key: str | None, excluded: Collection[object]) -> E | None:
        slot = _slot(key) if key is not None else int(self._draw() * (1 << _SLOT_BITS))
        owner = self._owners[slot]
        if not owner:
            owner = self._owners[slot] = self._rank(slot, range(len(self._endpoints))) + 1
        endpoint = self._endpoints[owner - 1]
        if not excluded or endpoint not in excluded:
            return endpoint
        left = [index for index, each in enumerate(self._endpoints) if each not in excluded]
        return self._endpoints[self._rank(slot, left)] if left else None

    def _rank(self, slot: int, indexes: Sequence[int]) -> int:
        """Whose turn comes first in an exponential race with the weights as rates."""
        return min(
            indexes, key=lambda index: -math.log(_uniform(self._seeds[index], slot)) / self._endpoints[index].weight
        )


def _seeds(endpoints: Sequence[Endpoint]) -> list[int]:
    """A number for each endpoint, the same in every process; a url that stands twice gets two."""
    seen: dict[str, int] = {}
    seeds = []
    for endpoint in endpoints:
        count = seen[endpoint.url] = seen.get(endpoint.url, 0) + 1
        seeds.append(int.from_bytes(blake2b(f"{endpoint.url} {count}".encode(), digest_size=8).digest()))
    return seeds


def _slot(key: str) -> int:
    # Keys that differ in a digit have CRCs that differ in a pattern; the high bits of the product depend on all bits.
    return (crc32(key.encode("utf-8", "surrogatepass")) * 0x9E3779B1 & 0xFFFFFFFF) >> (32 - _SLOT_BITS)


def _uniform(seed: int, slot: int) -> float:
    """A number in (0, 1) that depends on both alike (the finaliser of SplitMix64)."""
    mixed = (seed + (slot + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return (((mixed ^ (mixed >> 31)) >> 12) + 0.5) / (1 << 52)


def hash_key(config_key: str) -> Callable[[Exchange], str]:
    """What a service's ``balancer.key`` takes from an exchange.

    Where the header, cookie or query parameter is absent it is the client's address: a constant would
    send all such requests to one endpoint.
    """
    kind, _, name = config_key.partition(":")
    if kind == "path":
        return lambda exchange: exchange.request.path
    if kind == "header":
        return lambda exchange: exchange.request.headers.get(name) or exchange.client.ip
    if kind == "cookie":
        return lambda exchange: exchange.request.cookies().get(name) or exchange.client.ip
    if kind == "query":
        return lambda exchange: dict(reversed(exchange.request.query_params())).get(name) or exchange.client.ip
    return lambda exchange: exchange.client.ip
