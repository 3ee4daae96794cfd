"""Durations and sizes as an operator may write them, and what every config model refuses."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gatewright_sdk import Duration, PluginConfig, Size
from gatewright_sdk.config import parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0), (5, 5.0), (1.5, 1.5), ("5", 5.0), ("250ms", 0.25), ("5s", 5.0), ("1.5m", 90.0), ("2h", 7200.0),
        ("1d", 86400.0), (" 5 s ", 5.0), ("0", 0.0),
    ],
)  # fmt: skip
def test_durations(written: Any, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        -1, -0.5, True, None, [], float("nan"), float("inf"), 10**400, "", "s", "-5s", "5 sec", "5S", "1e3", "five",
        "5s5m", ".5s", "5.s", "inf", "nan", "٣s", "9" * 400, "99999999d",
    ],
)  # fmt: skip
def test_what_is_no_duration(written: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a duration; write seconds or e\.g\. 250ms"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (0, 0), (10, 10), ("10", 10), ("10B", 10), ("64KiB", 65536), ("1 MiB", 1 << 20), ("2GiB", 2 << 30),
        ("1TiB", 1 << 40), ("10kB", 10_000), ("10KB", 10_000), ("1.5MB", 1_500_000), ("3GB", 3 * 10**9),
        ("1TB", 10**12), ("0.57kB", 570), ("0.1B", 0), ("9007199254740993", 9007199254740993), (" 1KiB ", 1024),
    ],
)  # fmt: skip
def test_sizes(written: Any, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("written", [-1, 1.0, True, None, {}, "", "B", "-1", "1kb", "1 K", "1e3", "1KiB2", "٣"])
def test_what_is_no_size(written: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a size; write bytes or e\.g\. 64KiB"):
        parse_size(written)


@settings(max_examples=100)
@given(st.text(max_size=8))
def test_text_is_a_value_or_a_value_error(text: str) -> None:
    for parse in (parse_duration, parse_size):
        value = 0.0
        with contextlib.suppress(ValueError):
            value = parse(text)
        assert value >= 0


class Example(PluginConfig):
    wait: Duration = 1.0
    room: Size = 10


def test_a_model_parses_and_describes_them() -> None:
    example = Example.model_validate({"wait": "2m", "room": "1KiB"})
    assert (example.wait, example.room) == (120.0, 1024)
    properties = Example.model_json_schema()["properties"]
    for name, text, wrong in [("wait", "250ms", "250 minutes"), ("room", "64KiB", "64KIB")]:
        number, pattern = properties[name]["anyOf"]
        assert number["minimum"] == 0
        assert re.search(pattern["pattern"], text)
        assert not re.search(pattern["pattern"], wrong)


@pytest.mark.parametrize("document", [{"wiat": 1}, {"wait": "soon"}, {"wait": None}, {"room": 1.5}])
def test_a_model_refuses_what_it_does_not_know(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate(document)


def test_a_model_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Example().wait = 2.0  # type: ignore[misc]


def test_defaults_are_validated_too() -> None:
    class Wrong(PluginConfig):
        wait: Duration = -1.0

    with pytest.raises(ValidationError):
        Wrong()
