"""What the config model takes and refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gatewright_request_id.config import RequestIdConfig


def test_defaults() -> None:
    config = RequestIdConfig()
    assert (config.header, config.trust, config.format, config.respond) == (
        "X-Request-Id", "trusted_proxies", "hex", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"header": "X Request"}, "pattern"),
        ({"header": ""}, "pattern"),
        ({"header": "X-Id\r\nA: b"}, "pattern"),
        ({"header": "X-Id\n"}, "pattern"),
        ({"header": "X" * 65}, "64 characters"),
        ({"header": "host"}, "has another meaning"),
        ({"header": "Content-Length"}, "has another meaning"),
        ({"header": "Authorization"}, "has another meaning"),
        ({"trust": "yes"}, "trusted_proxies"),
        ({"format": "uuid1"}, "uuid7"),
        ({"respond": "maybe"}, "boolean"),
        ({"respnd": True}, "not permitted"),
    ],
)
def test_what_is_refused(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        RequestIdConfig.model_validate(document)


def test_every_option_is_described() -> None:
    assert all(field.description for field in RequestIdConfig.model_fields.values())
