"""What an operator may say about cross-origin requests."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gatewright_sdk import Duration, PluginConfig

# The serialisation of an origin (HTML standard, section 7.1.1), with a wildcard for leading labels.
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://((?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?"
)
_DEFAULT_PORTS = {("http", "80"), ("https", "443")}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Nobody's origins (RFC 2606 section 2): a pattern that matches one of them matches anything.
_STRANGERS = ("https://stranger.invalid", "http://other.invalid:8443", "https://x.y.invalid")


def _origin(value: str) -> str:
    origin = value.lower()
    if origin in ("*", "null"):
        return origin
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise ValueError(
            f"{value!r} is not an origin; write SCHEME://HOST[:PORT] without a path, in ASCII, e.g. https://app.example.com"
            " or https://*.example.com"
        )
    if (found[1], found[3]) in _DEFAULT_PORTS:
        raise ValueError(f"{value!r} would never match, because browsers leave out the default port; write it without")
    return origin


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from error
    return value


def _method(value: str) -> str:
    if not _TOKEN.fullmatch(value) or value != value.upper():
        raise ValueError(f"{value!r} is not a method; methods are upper case, e.g. GET, or * for any")
    return value


def _field(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is not a header name")
    return value


Origin = Annotated[str, AfterValidator(_origin)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Method = Annotated[str, AfterValidator(_method)]
FieldName = Annotated[str, AfterValidator(_field)]


class CorsConfig(PluginConfig):
    """Options of the cors plugin."""

    origins: list[Origin] = Field(
        [],
        description="Origins that may read responses: `https://app.example.com`, `https://*.example.com` (one or more"
        " labels), `null`, or `*` for all but `null`.",
    )
    origin_patterns: list[Pattern] = Field(
        [],
        description="Regular expressions; an origin that one of them matches as a whole is allowed, `null` never is.",
    )
    methods: list[Method] = Field(
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        description="Methods that a preflight allows; `*` allows whichever is asked for.",
    )
    headers: list[FieldName] = Field(
        ["*"], description="Request headers that a preflight allows; `*` allows those that are asked for."
    )
    expose_headers: list[FieldName] = Field(
        [], description="Response headers that scripts may read beside the safelisted ones; `*` is all of them."
    )
    credentials: bool = Field(False, description="Allow cookies, client certificates and HTTP authentication.")
    max_age: Duration = Field(600.0, description="How long a browser may keep the answer to a preflight.")
    private_network: bool = Field(False, description="Allow public sites to call this one on a private network.")
    on_disallowed: Literal["pass", "reject"] = Field(
        "pass",
        description="What to do with a request from another origin: let it pass without CORS headers, or answer 403.",
    )
    preflight_continue: bool = Field(
        False,
        description="Send preflights on to the upstream instead of answering them; the headers are set all the same.",
    )

    @model_validator(mode="after")
    def _check(self) -> CorsConfig:
        if not self.origins and not self.origin_patterns:
            raise ValueError("no origin is allowed; give origins or origin_patterns")
        if "*" in self.origins and (set(self.origins) - {"*", "null"} or self.origin_patterns):
            raise ValueError("origin * allows every origin already; leave the others out, or leave * out")
        for name, values in (
            ("methods", self.methods),
            ("headers", self.headers),
            ("expose_headers", self.expose_headers),
        ):
            if "*" in values and len(values) > 1:
                raise ValueError(f"* in {name} stands for all; leave the others out, or leave * out")
        if self.credentials:
            self._check_credentials()
        return self

    def _check_credentials(self) -> None:
        if "*" in self.origins:
            raise ValueError("credentials with origin * would let every site act as the user; list the origins")
        for pattern in self.origin_patterns:
            if any(re.fullmatch(pattern, stranger) for stranger in _STRANGERS):
                raise ValueError(
                    f"credentials with {pattern!r}, which matches any origin, would let every site act as the user;"
                    " make the pattern name your domains"
                )
        if "*" in self.expose_headers:
            raise ValueError("with credentials browsers take * in expose_headers for a name; list the headers")
