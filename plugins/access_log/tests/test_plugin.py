"""The filter through the harness."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gatewright_access_log import plugin
from gatewright_access_log.config import AccessLogConfig
from gatewright_sdk import Request, Response
from gatewright_sdk.testing import FakeUpstream, Harness


def logged(tmp_path: Path, statuses: list[int], **options: Any) -> list[int]:
    path = tmp_path / "log"
    upstream = FakeUpstream([Response(status, body=b"x") for status in statuses])

    async def run() -> None:
        async with Harness.of(plugin, {"to": str(path), **options}, upstream=upstream) as harness:
            for _ in statuses:
                await harness.send(Request("GET", "/"))

    asyncio.run(run())
    return [json.loads(line)["status"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, [200, 204, 404, 503]),
        ({"status": ["4xx"]}, [404, 503]),
        ({"status": [200, "204"]}, [200, 204, 503]),
        ({"sample": 0}, [503]),
        ({"slower_than": "1s"}, [503]),
    ],
)
def test_which_exchanges_are_logged(tmp_path: Path, when: dict[str, Any], expected: list[int]) -> None:
    assert logged(tmp_path, [200, 204, 404, 503], when=when) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"to": ""},
        {"fields": []},
        {"fields": ["tiem"]},
        {"when": {"status": ["teapot"]}},
        {"when": {"status": ["6xx"]}},
        {"when": {"sample": 1.5}},
        {"headers": {"request": ["a b"]}},
        {"queue": 0},
        {"path": "x"},
    ],
)
def test_what_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AccessLogConfig.model_validate(document)
