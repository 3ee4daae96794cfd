"""What an operator may say about the access log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from gatewright_sdk import Duration, PluginConfig, Size

FieldName = Literal[
    "time", "id", "client", "method", "scheme", "host", "path", "query", "protocol", "status", "bytes_in",
    "bytes_out", "duration_ms", "upstream", "upstream_ms", "attempts", "route", "service", "error", "aborted",
    "user_agent", "referer", "subject", "tenant",
]  # fmt: skip

DEFAULT_FIELDS: list[FieldName] = [
    "time", "id", "client", "method", "host", "path", "query", "protocol", "status", "bytes_in", "bytes_out",
    "duration_ms", "upstream", "upstream_ms", "route", "error", "user_agent",
]  # fmt: skip

_NAME = r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$"


class LoggedHeaders(PluginConfig):
    """Header fields to log besides."""

    request: list[str] = Field([], description="Fields of the request.")
    response: list[str] = Field([], description="Fields of the response.")


class Redaction(PluginConfig):
    """What is not logged in clear, besides what never is."""

    headers: list[str] = Field([], description="Names of header fields.")
    query: list[str] = Field([], description="Names of query parameters.")


class Conditions(PluginConfig):
    """Which exchanges are logged. One that failed, or was answered with 500 or more, always is."""

    status: list[str] = Field(
        [], description="Statuses such as 404, or classes such as 5xx; every status where absent."
    )
    slower_than: Duration = Field(0.0, description="Only exchanges that took longer.")
    sample: float = Field(1.0, ge=0, le=1, description="The share of the exchanges to log, drawn at random.")

    @field_validator("status")
    @classmethod
    def _status(cls, values: list[str]) -> list[str]:
        for value in values:
            if not (len(value) == 3 and value[0] in "12345" and (value[1:].isdigit() or value[1:] == "xx")):
                raise ValueError(f"{value!r} is not a status; write e.g. '404' or 5xx")
        return values

    @field_validator("status", mode="before")
    @classmethod
    def _numbers(cls, values: object) -> object:
        return [str(value) for value in values] if isinstance(values, list) else values


class AccessLogConfig(PluginConfig):
    """Options of the access-log plugin."""

    to: str = Field("stdout", min_length=1, description="stdout, stderr, or the path of a file.")
    fields: list[FieldName] = Field(DEFAULT_FIELDS, min_length=1, description="What each line has, in this order.")
    headers: LoggedHeaders = Field(default_factory=LoggedHeaders, description="Header fields to log besides.")
    redact: Redaction = Field(default_factory=Redaction, description="What is not logged in clear, besides the usual.")
    when: Conditions = Field(default_factory=Conditions, description="Which exchanges are logged.")
    max_value: Size = Field(2048, ge=16, description="Characters of one value; what is longer is cut.")
    queue: int = Field(
        10_000, ge=1, description="Lines that may wait for the writer; beyond it lines are dropped and counted."
    )

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: LoggedHeaders) -> LoggedHeaders:
        for name in (*value.request, *value.response):
            if not name or not all(character.isalnum() or character in "!#$%&'*+-.^_`|~" for character in name):
                raise ValueError(f"{name!r} is not a field name")
        return value
