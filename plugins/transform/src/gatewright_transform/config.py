"""What an operator may say about transformations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

import jsonpath
from pydantic import Field, field_validator

from gatewright_sdk import PluginConfig, Size
from gatewright_transform.templates import Template

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: Fields that say how the message is delimited or where it goes: the gateway writes them itself.
_FRAMING = frozenset(
    (
        "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te",
        "trailer", "upgrade",
    )
)  # fmt: skip


class Fields(PluginConfig):
    """Changes of named values, made in this order."""

    allow: list[str] = Field([], description="Keep these names and no others; everything where absent.")
    remove: list[str] = Field([], description="Names to take away.")
    rename: dict[str, str] = Field({}, description="Old name to new name.")
    replace: dict[str, str] = Field({}, description="Name to value, where the name is there.")
    add: dict[str, str] = Field({}, description="Name to value, where the name is not there.")
    set: dict[str, str] = Field({}, description="Name to value, in place of whatever is there.")
    append: dict[str, str] = Field({}, description="Name to value, beside what is there.")

    @field_validator("replace", "add", "set", "append")
    @classmethod
    def _templates(cls, values: dict[str, str]) -> dict[str, str]:
        for value in values.values():
            Template(value)
        return values

    def names(self) -> Iterable[str]:
        yield from (*self.allow, *self.remove)
        for old, new in self.rename.items():
            yield from (old, new)
        for changes in (self.replace, self.add, self.set, self.append):
            yield from changes


class HeaderFields(Fields):
    """Changes of header fields, made in this order."""

    @field_validator("*")
    @classmethod
    def _names(cls, value: Any) -> Any:
        for name in value:
            _check_name(name)
        return value

    @field_validator("rename")
    @classmethod
    def _new_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value.values():
            _check_name(name)
        return value


def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a field name")
    if name.lower() in _FRAMING:
        hint = "use the route's host_header" if name.lower() == "host" else "the gateway writes it itself"
        raise ValueError(f"{name} cannot be changed here; {hint}")


class Body(PluginConfig):
    """Changes of a JSON body by JSONPath (RFC 9535), made in this order."""

    allow: list[str] = Field([], description="Keep what these paths select, and no other member or element.")
    remove: list[str] = Field([], description="Take away what these paths select.")
    rename: dict[str, str] = Field({}, description="Path of a member to its new name.")
    replace: dict[str, Any] = Field({}, description="Path to the value to put there, where the path selects something.")
    add: dict[str, Any] = Field(
        {}, description="Path, ending in a name, to the value of that member in every object that does not have it."
    )
    append: dict[str, Any] = Field({}, description="Path of arrays to the value to put at their end.")
    max_size: Size = Field(1 << 20, ge=1, description="Bytes of a body, or of one event, after decoding.")
    on_oversize: Literal["pass", "error"] = Field(
        "error", description="A longer body passes unchanged, or is answered with 413 or 502."
    )
    on_invalid: Literal["pass", "error"] = Field(
        "pass", description="A body that is no JSON passes unchanged, or is answered with 400 or 502."
    )

    @field_validator("allow", "remove", "rename", "replace", "add", "append")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        for path in value:
            try:
                jsonpath.compile(path)
            except jsonpath.JSONPathError as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"{path!r} is not a JSONPath: {reason}; write e.g. $.items[*].price") from error
        return value

    @field_validator("remove", "rename")
    @classmethod
    def _not_all(cls, value: Any) -> Any:
        if "$" in value:
            raise ValueError("'$' is the whole document, which has no name and cannot be removed; use replace")
        return value

    @field_validator("add")
    @classmethod
    def _ends_in_name(cls, value: dict[str, Any]) -> dict[str, Any]:
        for path in value:
            if re.fullmatch(r"(.*)(?:\.([A-Za-z_][\w-]*)|\['([^']*)'\])", path, re.DOTALL) is None:
                raise ValueError(f"{path!r} must end in the name of the member to add, e.g. $.meta.source")
        return value


class RequestChanges(PluginConfig):
    """Changes of the request, before it is sent."""

    headers: HeaderFields = Field(default_factory=HeaderFields, description="Changes of header fields.")
    query: Fields = Field(default_factory=Fields, description="Changes of query parameters.")
    path: str | None = Field(None, description="Template of another path; starts with /.")
    body: Body | None = Field(None, description="Changes of a JSON body.")

    @field_validator("path")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        if value is not None:
            if not value.startswith(("/", "{request.path}")):
                raise ValueError(f"path {value!r} must start with /")
            Template(value)
        return value


class ResponseConditions(PluginConfig):
    """Which responses are changed."""

    status: list[str] = Field([], description="Statuses such as 404, or classes such as 2xx; every one where absent.")

    @field_validator("status", mode="before")
    @classmethod
    def _status(cls, values: Any) -> Any:
        if isinstance(values, list):
            values = [str(value) for value in values]
            for value in values:
                if not re.fullmatch(r"[1-5](\d\d|xx)", value):
                    raise ValueError(f"{value!r} is not a status; write e.g. 404 or 2xx")
        return values


class ResponseChanges(PluginConfig):
    """Changes of the response, before the client gets it."""

    when: ResponseConditions = Field(default_factory=ResponseConditions, description="Which responses are changed.")
    headers: HeaderFields = Field(default_factory=HeaderFields, description="Changes of header fields.")
    body: Body | None = Field(None, description="Changes of a JSON body, or of each JSON event of a stream.")


class TransformConfig(PluginConfig):
    """Options of the transform plugin."""

    request: RequestChanges = Field(default_factory=RequestChanges, description="Changes of the request.")
    response: ResponseChanges = Field(default_factory=ResponseChanges, description="Changes of the response.")
