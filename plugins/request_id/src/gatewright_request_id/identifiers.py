"""New ids, made in blocks.

All randomness is the operating system's, so ids are unguessable and do not collide across workers
and machines. It is fetched for 256 ids at a time, because the call costs more than all the rest.
A generator fetches its first block when it is first asked, so a fork before that shares nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

Entropy = Callable[[int], bytes]
Clock = Callable[[], float]

_BLOCK = 256
# The variant of RFC 9562 section 4.1 leaves two bits of its digit to chance.
_VARIANT = {digit: "89ab"[value & 3] for value, digit in enumerate("0123456789abcdef")}


def hex_ids(entropy: Entropy) -> Iterator[str]:
    """128 random bits as 32 hexadecimal digits."""
    while True:
        digits = entropy(16 * _BLOCK).hex()
        for start in range(0, 32 * _BLOCK, 32):
            yield digits[start : start + 32]


def uuid4_ids(entropy: Entropy) -> Iterator[str]:
    """UUIDs of 122 random bits (RFC 9562 section 5.4)."""
    for digits in hex_ids(entropy):
        yield f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


def uuid7_ids(entropy: Entropy, clock: Clock) -> Iterator[str]:
    """UUIDs that sort by the millisecond of ``clock`` (seconds since the epoch), RFC 9562 section 5.7.

    Those of one generator sort strictly in the order made: ``rand_a`` is the counter of section 6.2,
    method 1, which starts at random in its lower half; where it overflows, or the clock goes back,
    the timestamp runs ahead.
    """
    last = counter = 0
    for digits in hex_ids(entropy):
        now = int(clock() * 1000)
        counter += 1
        if now > last or counter > 0xFFF:
            last = now if now > last else last + 1
            counter = int(digits[:3], 16) & 0x7FF
        stamp = f"{last:012x}"
        yield f"{stamp[:8]}-{stamp[8:]}-7{counter:03x}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"
