"""Shapes of new ids, with randomness and time given."""

from __future__ import annotations

import itertools
import os
import re
import uuid
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright_request_id.identifiers import hex_ids, uuid4_ids, uuid7_ids


def counting() -> Callable[[int], bytes]:
    """Randomness that is none: 0, 1, 2, ... as 16 bytes each."""
    numbers = itertools.count()
    return lambda size: b"".join(next(numbers).to_bytes(16, "big") for _ in range(size // 16))


def ones(size: int) -> bytes:
    return b"\xff" * size


def take(ids: Iterator[str], count: int) -> list[str]:
    return list(itertools.islice(ids, count))


MAKERS = {
    "hex": lambda: hex_ids(os.urandom),
    "uuid4": lambda: uuid4_ids(os.urandom),
    "uuid7": lambda: uuid7_ids(os.urandom, lambda: 1_700_000_000.0),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_ids_do_not_repeat_over_blocks_and_generators(maker: str) -> None:
    ids = take(MAKERS[maker](), 1000) + take(MAKERS[maker](), 1000)
    assert len(set(ids)) == 2000


@pytest.mark.parametrize("maker", MAKERS)
def test_nothing_is_fetched_before_the_first_id(maker: str) -> None:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return os.urandom(size)

    ids = {"hex": hex_ids, "uuid4": uuid4_ids, "uuid7": lambda entropy: uuid7_ids(entropy, lambda: 0.0)}[maker](entropy)
    assert asked == []
    take(ids, 256)
    assert asked == [4096]
    next(ids)
    assert asked == [4096, 4096]


def test_hex_ids_are_all_of_their_randomness() -> None:
    ids = take(hex_ids(counting()), 600)
    assert ids == [f"{number:032x}" for number in range(600)]


@pytest.mark.parametrize("entropy", [counting(), ones, os.urandom], ids=["counting", "ones", "random"])
def test_uuid4(entropy: Callable[[int], bytes]) -> None:
    for text in take(uuid4_ids(entropy), 300):
        made = uuid.UUID(text)
        assert (made.version, made.variant, str(made)) == (4, uuid.RFC_4122, text)


def test_uuid4_keeps_its_other_bits() -> None:
    assert next(uuid4_ids(ones)) == "ffffffff-ffff-4fff-bfff-ffffffffffff"
    assert next(uuid4_ids(counting())) == "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("entropy", [counting(), ones, os.urandom], ids=["counting", "ones", "random"])
def test_uuid7(entropy: Callable[[int], bytes]) -> None:
    for text in take(uuid7_ids(entropy, lambda: 1_700_000_000.1234), 300):
        made = uuid.UUID(text)
        # The standard library of Python 3.11 knows versions up to 5 only by their number.
        assert (made.variant, text[14], str(made)) == (uuid.RFC_4122, "7", text)
        assert made.int >> 80 == 1_700_000_000_123


@settings(max_examples=50)
@given(st.lists(st.floats(0, 2e9), min_size=1, max_size=30))
def test_uuid7_sorts_in_the_order_made_whatever_the_clock_does(times: list[float]) -> None:
    clock = iter(times)
    ids = take(uuid7_ids(os.urandom, lambda: next(clock)), len(times))
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("entropy", [ones, lambda size: bytes(size)], ids=["ones", "zeros"])
def test_uuid7_runs_ahead_where_a_millisecond_is_full(entropy: Callable[[int], bytes]) -> None:
    ids = take(uuid7_ids(entropy, lambda: 1.0), 10_000)
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    stamps = {uuid.UUID(text).int >> 80 for text in ids}
    assert min(stamps) == 1000
    assert 1002 <= max(stamps) <= 1005


def test_uuid7_of_later_milliseconds_carries_them() -> None:
    clock = iter([1.0, 1.25, 2.5])
    ids = take(uuid7_ids(os.urandom, lambda: next(clock)), 3)
    assert [re.sub("-", "", text)[:12] for text in ids] == [f"{stamp:012x}" for stamp in (1000, 1250, 2500)]
