"""What an operator may say about answers that the gateway gives by itself."""

from __future__ import annotations

import ipaddress
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from gatewright_respond.location import Location
from gatewright_sdk import Duration, Headers, PluginConfig

# The codec frames the message and writes these itself.
_FRAMING = frozenset(
    ("connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
_BODYLESS = (204, 205, 304)


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value, strict=False))


Cidr = Annotated[str, AfterValidator(_network)]
Status = Annotated[int, Field(ge=200, le=599)]
ErrorStatus = Annotated[int, Field(ge=400, le=599)]
ErrorCode = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class Content(PluginConfig):
    """Fields and body of a response."""

    headers: dict[str, str | list[str]] = Field({}, description="Header name to its value, or to a list of values.")
    body: str | None = Field(None, description="Text to send.")
    document: Any = Field(None, alias="json", description="A document to send as JSON.")
    content_type: str | None = Field(
        None, description="Content-Type of the body; text/plain in UTF-8 for text and application/json where absent."
    )

    @property
    def has_document(self) -> bool:
        return "document" in self.model_fields_set

    @property
    def has_body(self) -> bool:
        return self.body is not None or self.has_document

    @property
    def is_empty(self) -> bool:
        return not self.has_body and not self.headers and self.content_type is None

    def fields(self) -> Headers:
        """The header fields, with that of the content type.

        Raises:
            ValueError: a name or a value cannot be sent.
        """
        headers = Headers()
        for name, values in self.headers.items():
            for value in [values] if isinstance(values, str) else values:
                headers.add(name, value)
        if self.has_body:
            usual = "application/json" if self.has_document else "text/plain; charset=utf-8"
            headers.setdefault("Content-Type", self.content_type or usual)
        return headers

    def payload(self) -> bytes:
        """The body's bytes; none where there is no body.

        Raises:
            ValueError, TypeError: the document has no form in JSON.
        """
        if self.has_document:
            return json.dumps(self.document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        return (self.body or "").encode()

    @model_validator(mode="after")
    def _check_content(self) -> Content:
        if self.body is not None and self.has_document:
            raise ValueError("give body or json, not both")
        for name in self.headers:
            if name.lower() in _FRAMING:
                raise ValueError(f"the gateway writes {name} itself; leave it out")
        if self.content_type is not None and not self.has_body:
            raise ValueError("content_type has no body to describe; give body or json, or leave it out")
        if self.content_type is not None and any(name.lower() == "content-type" for name in self.headers):
            raise ValueError("give content_type or the header Content-Type, not both")
        self.fields()
        try:
            self.payload()
        except (TypeError, ValueError) as error:
            raise ValueError(f"json cannot be sent: {error}") from error
        return self

    def _check_status(self, status: int | None) -> None:
        if status in _BODYLESS and self.has_body:
            raise ValueError(f"a response with status {status} has no body; leave it out")


class Redirect(PluginConfig):
    """Sends the client somewhere else."""

    to: str = Field(
        description="Where to: a URL or a path, with the request's {path}, {query}, {host}, {scheme} and {params.NAME}."
    )
    status: Literal[301, 302, 303, 307, 308] = Field(
        302, description="301 and 308 are permanent; 307 and 308 keep the method and the body."
    )
    keep_query: bool = Field(True, description="Append the request's query, unless `to` places {query} itself.")

    @model_validator(mode="after")
    def _check(self) -> Redirect:
        location = Location(self.to)
        if location.places_query and self.keep_query and "keep_query" in self.model_fields_set:
            raise ValueError("to places {query} itself; leave keep_query out")
        return self


class Maintenance(Content):
    """Turns requests away for a while, with 503."""

    retry_after: Duration = Field(300.0, gt=0, description="When to come back, sent as Retry-After.")
    allow: list[Cidr] = Field([], description="CIDRs of clients that are let through.")


class Fallback(Content):
    """Answers instead of the gateway's own problem document where an exchange failed."""

    statuses: list[ErrorStatus] = Field([], description="Statuses of failures to answer for.")
    codes: list[ErrorCode] = Field([], description="Codes of failures to answer for, e.g. upstream-connect-failed.")
    status: Status | None = Field(None, description="Status to send; that of the failure where absent.")

    @model_validator(mode="after")
    def _check(self) -> Fallback:
        if not self.statuses and not self.codes:
            raise ValueError("fallback answers for nothing; give statuses, e.g. [502, 503, 504], or codes")
        if self.is_empty and self.status is None:
            raise ValueError("fallback says nothing; give status, headers, body or json")
        self._check_status(self.status)
        return self


class RespondConfig(Content):
    """Options of the respond plugin. Exactly one of a fixed response, redirect, maintenance and fallback."""

    status: Status | None = Field(None, description="Status of a fixed response; 200 where absent.")
    redirect: Redirect | None = Field(None, description="Redirect every request.")
    maintenance: Maintenance | None = Field(None, description="Answer 503 to every request.")
    fallback: Fallback | None = Field(None, description="Answer where the gateway would send a problem document.")

    @model_validator(mode="after")
    def _check(self) -> RespondConfig:
        is_fixed = self.status is not None or not self.is_empty
        modes = ["a fixed response (status, headers, body, json)"] if is_fixed else []
        modes += [name for name in ("redirect", "maintenance", "fallback") if getattr(self, name) is not None]
        if not modes:
            raise ValueError(
                "there is nothing to answer; give status, body or json, or redirect, maintenance or fallback"
            )
        if len(modes) > 1:
            raise ValueError(f"give one of these, not {' and '.join(modes)}; attach the plugin twice to have both")
        self._check_status(self.status)
        return self
