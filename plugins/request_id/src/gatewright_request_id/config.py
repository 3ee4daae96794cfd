"""What an operator may say about request ids."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from gatewright_sdk import PluginConfig

# Fields that frame or route a message, or that carry what must not be replaced by an id.
_RESERVED = frozenset(
    (
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "host",
        "set-cookie",
        "te",
        "transfer-encoding",
        "upgrade",
    )
)


class RequestIdConfig(PluginConfig):
    """Options of the request-id plugin."""

    header: str = Field(
        "X-Request-Id",
        pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$",
        max_length=64,
        description="Field that carries the id, to the upstream and to the client.",
    )
    trust: Literal["never", "trusted_proxies", "always"] = Field(
        "trusted_proxies",
        description="Whose inbound id is kept: nobody's, that of a trusted proxy of the listener, or everybody's.",
    )
    format: Literal["hex", "uuid4", "uuid7"] = Field(
        "hex",
        description="What a new id looks like: 32 hexadecimal digits, a random UUID, or a UUID that sorts by time.",
    )
    respond: bool = Field(True, description="Put the id on the response too.")

    @field_validator("header")
    @classmethod
    def _header(cls, value: str) -> str:
        if value.lower() in _RESERVED:
            raise ValueError(f"{value} has another meaning; name a field that only carries ids, such as X-Request-Id")
        return value
