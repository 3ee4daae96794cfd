"""Which endpoint takes a request."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.config import models
from gatewright.upstream.balancer import Balancer, ConsistentHash, hash_key, make_balancer, smooth_sequence
from gatewright_sdk import ClientAddress, Exchange, Headers, Request


@dataclass(eq=False)
class Target:
    url: str
    weight: int = 1
    active: int = 0


TYPES = ["round_robin", "least_requests", "consistent_hash"]


def targets(*weights: int) -> list[Target]:
    return [Target(f"http://10.0.0.{number}:80", weight) for number, weight in enumerate(weights)]


def balancer(kind: str, endpoints: Sequence[Target], seed: int = 1) -> Balancer[Target]:
    return make_balancer(models.Balancer.model_validate({"type": kind}), endpoints, random.Random(seed).random)


def shares(made: Balancer[Target], endpoints: Sequence[Target], picks: int) -> list[float]:
    """How often each endpoint is picked, each time for another key."""
    counted = Counter(made.pick(f"key {number}", ()) for number in range(picks))
    return [counted[endpoint] / picks for endpoint in endpoints]


# -- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (1, 1, 1, 1, 1), (5, 1, 0, 2), (300, 200), (70, 50, 40, 997)])
def test_weights_are_kept(kind: str, weights: tuple[int, ...]) -> None:
    endpoints = targets(*weights)
    found = shares(balancer(kind, endpoints), endpoints, 20_000)
    for share, weight in zip(found, weights, strict=True):
        assert share == pytest.approx(weight / sum(weights), rel=0.12)
        assert (share == 0) == (weight == 0)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("weights", [(), (0,), (0, 0)])
def test_nothing_to_pick(kind: str, weights: tuple[int, ...]) -> None:
    assert balancer(kind, targets(*weights)).pick("key", ()) is None


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("weights", [(1,), (7, 0)])
def test_one_endpoint(kind: str, weights: tuple[int, ...]) -> None:
    endpoints = targets(*weights)
    made = balancer(kind, endpoints)
    assert [made.pick(None, ()) for _ in range(3)] == [endpoints[0]] * 3
    assert made.pick(None, (endpoints[0],)) is None


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 1, 1), (70, 50, 997)])
def test_what_is_excluded_is_not_picked(kind: str, weights: tuple[int, ...]) -> None:
    endpoints = targets(*weights)
    made = balancer(kind, endpoints)
    for excluded in ({endpoints[0]}, [endpoints[1], endpoints[2]]):
        picked = {made.pick(f"key {number}", excluded) for number in range(200)}
        assert picked == set(endpoints) - set(excluded)
    for number in range(50):
        assert made.pick(f"key {number}", endpoints) is None
        assert made.pick(f"key {number}", ()) in endpoints


@pytest.mark.parametrize("kind", TYPES)
def test_no_key_spreads(kind: str) -> None:
    endpoints = targets(1, 1, 1)
    made = balancer(kind, endpoints)
    assert {made.pick(None, ()) for _ in range(100)} == set(endpoints)


@given(
    kind=st.sampled_from(TYPES),
    weights=st.lists(st.sampled_from([0, 1, 2, 3, 600, 65_535]), max_size=6),
    excluded=st.sets(st.integers(0, 5)),
    keys=st.lists(st.none() | st.text(max_size=4), min_size=1, max_size=20),
)
def test_a_pick_is_one_that_may_be_picked(
    kind: str, weights: list[int], excluded: set[int], keys: list[str | None]
) -> None:
    endpoints = targets(*weights)
    out = [endpoint for number, endpoint in enumerate(endpoints) if number in excluded]
    may = [endpoint for endpoint in endpoints if endpoint.weight and endpoint not in out]
    made = balancer(kind, endpoints)
    for key in keys:
        picked = made.pick(key, out)
        assert (picked in may) if may else picked is None


# -- round robin ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "sequence"),
    [
        ([1, 1, 1], [0, 1, 2]),
        ([5, 1, 1], [0, 0, 1, 0, 2, 0, 0]),
        ([4, 3, 2, 1], [0, 1, 2, 0, 1, 3, 0, 2, 1, 0]),
    ],
)
def test_smooth_sequence(weights: list[int], sequence: list[int]) -> None:
    assert smooth_sequence(weights) == sequence


@pytest.mark.parametrize("weights", [(1, 1, 1), (2, 4, 6), (5, 1, 1), (300, 100, 500), (7, 993), (1, 1000, 1000)])
def test_turns_are_exact_and_even(weights: tuple[int, ...]) -> None:
    """Over any stretch, nobody is more than two turns away from its share."""
    endpoints = targets(*weights)
    made = balancer("round_robin", endpoints)
    counted: Counter[Target | None] = Counter()
    for turn in range(1, 3 * sum(weights) + 1):
        counted[made.pick(None, ())] += 1
        for endpoint in endpoints:
            assert abs(counted[endpoint] - turn * endpoint.weight / sum(weights)) < 2


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (997, 800, 3, 2)])
def test_workers_begin_at_different_endpoints(weights: tuple[int, ...]) -> None:
    endpoints = targets(*weights)
    first = {balancer("round_robin", endpoints, seed).pick(None, ()) for seed in range(40)}
    assert len(first) > 1


def test_many_heavy_endpoints_are_ready_at_once() -> None:
    endpoints = targets(*range(64_000, 65_000))
    assert balancer("round_robin", endpoints).pick(None, ()) in endpoints


# -- least requests -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "active", "best"),
    [((1, 1), (3, 2), 1), ((1, 1), (0, 1), 0), ((2, 2), (5, 6), 0)],
)
def test_the_less_busy_of_two(weights: tuple[int, ...], active: tuple[int, ...], best: int) -> None:
    endpoints = targets(*weights)
    for endpoint, requests in zip(endpoints, active, strict=True):
        endpoint.active = requests
    made = balancer("least_requests", endpoints)
    assert {made.pick(None, ()) for _ in range(50)} == {endpoints[best]}


def test_busy_is_relative_to_weight() -> None:
    heavy, light = endpoints = targets(10, 1)
    heavy.active, light.active = 15, 2
    assert shares(balancer("least_requests", endpoints), endpoints, 2_000)[0] > 0.98
    heavy.active, light.active = 25, 2
    assert shares(balancer("least_requests", endpoints), endpoints, 2_000)[1] == pytest.approx(
        1 - (10 / 11) ** 2, abs=0.03
    )


def test_the_busiest_of_many_gets_nothing() -> None:
    endpoints = targets(*[1] * 6)
    endpoints[2].active = 1
    assert shares(balancer("least_requests", endpoints), endpoints, 2_000)[2] == 0


def test_among_what_is_left_the_least_busy() -> None:
    endpoints = targets(1, 1, 1, 1)
    for number, endpoint in enumerate(endpoints):
        endpoint.active = number
    made = balancer("least_requests", endpoints)
    picked = Counter(made.pick(None, endpoints[:1]) for _ in range(300))
    assert endpoints[0] not in picked
    assert picked[endpoints[1]] > picked[endpoints[2]] > picked[endpoints[3]] >= 0


def test_two_choices_keep_queues_short() -> None:
    """Of 1,000 open requests on 100 endpoints nobody has many more than 10; one choice gives 20 and more."""
    endpoints = targets(*[1] * 100)
    made = balancer("least_requests", endpoints)
    for _ in range(1_000):
        picked = made.pick(None, ())
        assert picked is not None
        picked.active += 1
    assert max(endpoint.active for endpoint in endpoints) <= 13


# -- consistent hash ------------------------------------------------------------------------------

KEYS = [f"203.0.{number >> 8}.{number & 255}" for number in range(20_000)]


def owners(endpoints: Sequence[Target]) -> list[str]:
    made = balancer("consistent_hash", endpoints)
    picked = [made.pick(key, ()) for key in KEYS]
    return [endpoint.url for endpoint in picked if endpoint is not None]


def moved(before: list[str], after: list[str]) -> float:
    return sum(one != other for one, other in zip(before, after, strict=True)) / len(before)


@pytest.mark.parametrize("count", [2, 3, 10, 50])
def test_one_endpoint_more_or_less_moves_its_share(count: int) -> None:
    endpoints = targets(*[1] * count)
    all_of_them = owners(endpoints)
    for gone in (0, count // 2):
        left = owners([*endpoints[:gone], *endpoints[gone + 1 :]])
        assert moved(all_of_them, left) == pytest.approx(1 / count, rel=0.25)
        stayed = [pair for pair in zip(all_of_them, left, strict=True) if pair[0] != endpoints[gone].url]
        assert all(one == other for one, other in stayed), "only what it had moves"


def test_the_order_of_endpoints_does_not_matter() -> None:
    endpoints = targets(1, 2, 3, 4)
    assert owners(endpoints) == owners(endpoints[::-1])


def test_a_changed_weight_moves_the_difference() -> None:
    before, after = owners(targets(1, 1, 1, 1)), owners(targets(2, 1, 1, 1))
    assert moved(before, after) == pytest.approx(2 / 5 - 1 / 4, rel=0.2)
    assert all(other == "http://10.0.0.0:80" for one, other in zip(before, after, strict=True) if one != other)


def test_a_key_whose_endpoint_is_excluded_has_one_other() -> None:
    endpoints = targets(1, 1, 1, 1, 1)
    made = balancer("consistent_hash", endpoints)
    second = Counter()
    for key in KEYS[:2_000]:
        first = made.pick(key, ())
        others = {made.pick(key, (first,)) for _ in range(3)}
        assert len(others) == 1
        assert first not in others
        if first is endpoints[0]:
            second.update(others)
        assert made.pick(key, ()) is first
    assert set(second) == set(endpoints[1:]), "what one has lost is spread over all others"


def test_a_url_that_stands_twice_counts_twice() -> None:
    endpoints = [Target("http://a"), Target("http://a"), Target("http://b")]
    assert shares(balancer("consistent_hash", endpoints), endpoints, 20_000) == pytest.approx([1 / 3] * 3, rel=0.12)


def test_every_process_picks_the_same() -> None:
    script = (
        "from gatewright.config import models; from gatewright.upstream.balancer import make_balancer;"
        "from types import SimpleNamespace as E;"
        "targets = [E(url=f'http://{n}', weight=n, active=0) for n in range(1, 6)];"
        "made = make_balancer(models.Balancer(type='consistent_hash'), targets);"
        "print([made.pick(f'key {n}', ()).weight for n in range(40)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert printed.pop().strip()


@pytest.mark.parametrize("key", ["", "\xe9", "\ud800", "x" * 100_000])
def test_any_text_is_a_key(key: str) -> None:
    endpoints = targets(1, 1)
    made = ConsistentHash(endpoints, random.Random(1).random)
    assert made.pick(key, ()) is made.pick(key, ())


# -- keys -----------------------------------------------------------------------------------------


def exchange() -> Exchange:
    headers = Headers([("X-User", "ann"), ("Cookie", "a=1; sid=abc")])
    return Exchange(Request("GET", "/a/b", query="u=1&u=2&e=", headers=headers), ClientAddress("192.0.2.1"))


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ("client", "192.0.2.1"),
        ("path", "/a/b"),
        ("header:x-user", "ann"),
        ("header:x-other", "192.0.2.1"),
        ("cookie:sid", "abc"),
        ("cookie:other", "192.0.2.1"),
        ("query:u", "1"),
        ("query:e", "192.0.2.1"),
        ("query:other", "192.0.2.1"),
    ],
)
def test_hash_key(config: str, key: str) -> None:
    made: Callable[[Exchange], str] = hash_key(config)
    assert made(exchange()) == key
