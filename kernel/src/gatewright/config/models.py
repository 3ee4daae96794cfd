"""The manifest: what an operator may say. pydantic at the edge; nothing here runs per request."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from gatewright_sdk import Duration, Phase, Size

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=128)]
PhaseName = Literal["edge", "identify", "authorize", "limit", "transform", "route", "upstream"]


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value, strict=False))


#: A CIDR or a single address; host bits are cleared.
Cidr = Annotated[str, AfterValidator(_network)]


class Model(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def parse_bind(value: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[V6]:PORT`` or ``:PORT`` (every address).

    Raises:
        ValueError: it is none of these, or the port is not in 0..65535.
    """
    host, separator, port = value.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise ValueError(f"{value!r} is not an address to listen on; write HOST:PORT, e.g. 127.0.0.1:8080 or [::]:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for by the empty host


class ListenerLimits(Model):
    """What a client may make the gateway hold."""

    head_bytes: Size = Field(32 * 1024, ge=256, description="Bytes of a request head; beyond it 431.")
    header_count: int = Field(100, ge=1, description="Fields in a request head; beyond it 431.")
    url_bytes: Size = Field(8 * 1024, ge=64, description="Bytes of the request target; beyond it 414.")
    connections: int = Field(
        10_000, ge=1, description="Open connections per worker on this listener; beyond it they are closed at once."
    )
    connections_per_client: int = Field(
        1_000,
        ge=1,
        description="Open connections per worker from one client address; beyond it they are closed at once.",
    )
    requests_per_connection: int = Field(
        0, ge=0, description="Requests after which a connection is closed; 0 is no limit."
    )
    pipeline_depth: int = Field(
        64, ge=1, description="Requests that may wait on a connection behind the one being answered."
    )


class ListenerTimeouts(Model):
    """How long a client may take. Seconds, or 250ms, 5s, 2m."""

    head: Duration = Field(15.0, gt=0, description="From the first byte of a request head to its end; then 408.")
    body: Duration = Field(30.0, gt=0, description="Between two pieces of a request body; then 408.")
    keep_alive: Duration = Field(75.0, gt=0, description="Between two requests; then the connection is closed.")


class Listener(Model):
    """A socket that takes requests."""

    name: Name | None = Field(None, description="For logs and metrics; the address where absent.")
    bind: str = Field(description="HOST:PORT or [V6]:PORT; port 0 takes a free one.")
    backlog: int = Field(2048, ge=1, description="Length of the queue of connections not yet accepted.")
    trusted_proxies: list[Cidr] = Field([], description="Peers whose X-Forwarded-* fields are believed.")
    limits: ListenerLimits = Field(
        default_factory=ListenerLimits, description="What a client may make the gateway hold."
    )
    timeouts: ListenerTimeouts = Field(default_factory=ListenerTimeouts, description="How long a client may take.")

    @field_validator("bind")
    @classmethod
    def _bind(cls, value: str) -> str:
        parse_bind(value)
        return value


class Paths(Model):
    """How request paths are normalised, once, before routing; router and upstream see the result."""

    dot_segments: Literal["resolve", "reject", "keep"] = Field(
        "resolve", description="/a/../b and its %2e forms: resolve, answer 400, or leave."
    )
    merge_slashes: bool = Field(True, description="Make // one /.")
    encoded_slashes: Literal["keep", "reject", "decode"] = Field(
        "keep", description="%2F and %5C: leave encoded, answer 400, or decode."
    )


class Timeouts(Model):
    """The six timeouts of a route. Seconds, or 250ms, 5s, 2m; 0 switches one off."""

    connect: Duration = Field(5.0, description="To open a connection, waiting for a free one included.")
    tls: Duration = Field(5.0, description="For the TLS handshake with the upstream.")
    first_byte: Duration = Field(60.0, description="From the end of the request to the upstream's response head.")
    between_bytes: Duration = Field(60.0, description="Between two pieces of a response body from the upstream.")
    total: Duration = Field(0.0, description="From the request head to the end of the response.")
    idle_stream: Duration = Field(
        300.0, description="Without a byte either way: event streams, and clients that do not read."
    )


class PartialTimeouts(Model):
    """As Timeouts, where what is not said is inherited."""

    connect: Duration | None = Field(None, description="To open a connection, waiting for a free one included.")
    tls: Duration | None = Field(None, description="For the TLS handshake with the upstream.")
    first_byte: Duration | None = Field(
        None, description="From the end of the request to the upstream's response head."
    )
    between_bytes: Duration | None = Field(None, description="Between two pieces of a response body from the upstream.")
    total: Duration | None = Field(None, description="From the request head to the end of the response.")
    idle_stream: Duration | None = Field(
        None, description="Without a byte either way: event streams, and clients that do not read."
    )


class RouteLimits(Model):
    """What one exchange may use; what is not said is inherited."""

    body_bytes: Size | None = Field(
        None, description="Bytes of a request body; beyond it 413; 0 is no limit. Default 0."
    )


class Attachment(Model):
    """A plugin at work somewhere. In the manifest ``name``, ``{name: {config}}`` or the long form."""

    name: Name = Field(description="The plugin.")
    id: Name | None = Field(
        None, description="Tells two attachments of one plugin apart; the plugin's name where absent."
    )
    config: dict[str, Any] = Field(default_factory=dict, description="The plugin's own options.")
    enabled: bool = Field(True, description="False takes away what a wider place attached.")
    on_failure: Literal["open", "closed"] | None = Field(
        None, description="When a hook raises: go on without it, or answer 500. The plugin's own default where absent."
    )
    phase: PhaseName | None = Field(None, description="Run in this phase instead of the plugin's own.")
    after: list[Name] = Field([], description="Run after these, within the phase.")
    before: list[Name] = Field([], description="Run before these, within the phase.")

    @property
    def key(self) -> str:
        return self.id or self.name

    @property
    def phase_override(self) -> Phase | None:
        return None if self.phase is None else Phase[self.phase.upper()]


_ATTACHMENT_KEYS = frozenset(Attachment.model_fields)


def _attachment(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "name" not in value and len(value) == 1:
        ((name, config),) = value.items()
        return {"name": name, "config": {} if config is None else config}
    return value


AttachmentEntry = Annotated[Attachment, BeforeValidator(_attachment)]


class PluginEntry(Model):
    """A plugin to load. In the manifest ``name``, ``{name: "version range"}`` or the long form."""

    name: Name = Field(description="The plugin, as its entry point is called.")
    version: str | None = Field(None, description="A range such as >=1.2,<2; any version where absent.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="Options of the plugin as a whole, beside those of each attachment."
    )


def _plugin_entry(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and "name" not in value and len(value) == 1:
        ((name, version),) = value.items()
        return {"name": name, "version": version}
    return value


class Pool(Model):
    """Connections to each target of a service, per worker."""

    max_connections: int = Field(256, ge=1, description="Open connections per target.")
    max_pending: int = Field(1024, ge=0, description="Requests that may wait for a connection; beyond it 503.")
    idle_timeout: Duration = Field(60.0, gt=0, description="An unused connection is closed after this long.")
    max_requests: int = Field(0, ge=0, description="Requests after which a connection is closed; 0 is no limit.")


class Balancer(Model):
    """How a target is picked."""

    type: Literal["round_robin", "least_requests", "consistent_hash"] = Field(
        "round_robin", description="Weighted round robin, power of two choices by open requests, or a hash ring."
    )
    key: str = Field(
        "client", description="What consistent_hash hashes: client, path, header:NAME, cookie:NAME or query:NAME."
    )

    @field_validator("key")
    @classmethod
    def _key(cls, value: str) -> str:
        kind, _, name = value.partition(":")
        if (kind in ("client", "path") and not name) or (kind in ("header", "cookie", "query") and name):
            return value
        raise ValueError(f"{value!r} is not a hash key; write client, path, header:NAME, cookie:NAME or query:NAME")


class UpstreamTls(Model):
    """TLS towards https:// targets."""

    verify: bool = Field(True, description="Check the certificate and its name.")
    ca_file: str | None = Field(None, description="PEM file of the authorities to trust; the system's where absent.")
    server_name: str | None = Field(
        None, description="Name to ask for (SNI) and to check; the target's host where absent."
    )


_TARGET = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^/:\[\]@?#\s]+)(?::(\d{1,5}))?/?")
_UNIX_TARGET = re.compile(r"unix:(/\S+)")


class Target(Model):
    """One endpoint of a service."""

    url: str = Field(description="http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH.")
    weight: int = Field(1, ge=0, le=65535, description="Share of requests relative to the other targets; 0 takes none.")

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        found = _TARGET.fullmatch(value)
        if (found is None or int(found[3] or 1) > 65535) and not _UNIX_TARGET.fullmatch(value):
            raise ValueError(
                f"{value!r} is not a target; write http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH"
                " (a path belongs in the route's rewrite)"
            )
        return value.rstrip("/") if found else value

    @property
    def is_unix(self) -> bool:
        return self.url.startswith("unix:")

    @property
    def is_tls(self) -> bool:
        return self.url.startswith("https:")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; the socket's path and 0 for a unix socket."""
        if self.is_unix:
            return self.url.removeprefix("unix:"), 0
        found = _TARGET.fullmatch(self.url)
        assert found is not None
        return found[2].strip("[]"), int(found[3] or (443 if found[1] == "https" else 80))


def _target(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


class Service(Model):
    """Something to send requests to."""

    name: Name = Field(description="What routes call it.")
    targets: list[Annotated[Target, BeforeValidator(_target)]] = Field(
        min_length=1, description="Its endpoints: a URL, or {url, weight}."
    )
    balancer: Balancer = Field(default_factory=Balancer, description="How a target is picked.")
    pool: Pool = Field(default_factory=Pool, description="Connections to each target.")
    tls: UpstreamTls = Field(default_factory=UpstreamTls, description="TLS towards https:// targets.")
    timeouts: PartialTimeouts = Field(
        default_factory=PartialTimeouts, description="Timeouts of every route to this service."
    )
    plugins: list[AttachmentEntry] = Field([], description="Plugins on every route to this service.")


class ValueMatch(Model):
    """A test of one header or query value. Exactly one key."""

    exact: str | None = Field(None, description="The value is this.")
    prefix: str | None = Field(None, description="The value starts with this.")
    regex: str | None = Field(None, description="The whole value matches this.")
    present: bool | None = Field(None, description="There is such a value (true), or there is none (false).")

    @model_validator(mode="after")
    def _one(self) -> ValueMatch:
        if sum(value is not None for value in (self.exact, self.prefix, self.regex, self.present)) != 1:
            raise ValueError("give exactly one of exact, prefix, regex, present")
        if self.regex is not None:
            _check_regex(self.regex)
        return self


def _value_match(value: Any) -> Any:
    return {"exact": str(value)} if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _check_regex(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error


ValueMatchEntry = Annotated[ValueMatch, BeforeValidator(_value_match)]
_HOST = re.compile(
    r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?|\[[0-9a-f:.]+\]|\*"
)
_PATH_TEMPLATE = re.compile(r"/(?:[^{}*\s?#]|\{[A-Za-z_][A-Za-z0-9_]*\})*\*?")


class Match(Model):
    """Which requests a route takes: every key given must match, and any of its listed values does."""

    hosts: list[str] = Field(
        [], description="api.example.com, *.example.com (one or more labels); any host where absent."
    )
    paths: list[str] = Field(
        ["/*"], min_length=1, description="/exact, /prefix/*, /users/{id} (one segment), or ~REGEX for the whole path."
    )
    methods: list[str] = Field([], description="GET, POST and so on; any where absent.")
    headers: dict[str, ValueMatchEntry] = Field(
        {}, description="Header name to a value, or {exact|prefix|regex|present: ...}."
    )
    query: dict[str, ValueMatchEntry] = Field(
        {}, description="Query parameter to a value, or {exact|prefix|regex|present: ...}."
    )
    clients: list[Cidr] = Field([], description="CIDRs of client addresses; any where absent.")
    schemes: list[Literal["http", "https"]] = Field(
        [], description="How the client reached the gateway; any where absent."
    )

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, values: list[str]) -> list[str]:
        hosts = [value.lower().rstrip(".") for value in values]
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host; write api.example.com or *.example.com, without a port")
        return hosts

    @field_validator("methods")
    @classmethod
    def _methods(cls, values: list[str]) -> list[str]:
        for value in values:
            if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Z]+", value):
                raise ValueError(f"{value!r} is not a method; methods are upper case, e.g. GET")
        return values

    @field_validator("paths")
    @classmethod
    def _paths(cls, values: list[str]) -> list[str]:
        for value in values:
            if value.startswith("~"):
                _check_regex(value[1:])
            elif not _PATH_TEMPLATE.fullmatch(value):
                raise ValueError(f"{value!r} is not a path; write /exact, /prefix/*, /users/{{id}} or ~REGEX")
        return values


class RegexRewrite(Model):
    """A regular expression replaced in the path."""

    regex: str = Field(description="What to look for.")
    to: str = Field(description=r"What to put there; \1 or \g<name> stand for groups.")

    @model_validator(mode="after")
    def _check(self) -> RegexRewrite:
        _check_regex(self.regex)
        try:
            re.compile(self.regex).sub(self.to, "/")
            re._parser.parse_template(self.to, re.compile(self.regex))  # type: ignore[attr-defined]
        except (re.error, IndexError) as error:
            raise ValueError(f"{self.to!r} does not fit {self.regex!r}: {error}") from error
        return self


class Route(Model):
    """Requests that match, and where they go."""

    name: Name = Field(description="For logs, metrics and explain.")
    match: Match = Field(default_factory=Match, description="Which requests the route takes; all where absent.")
    priority: int = Field(0, description="A higher one wins over whatever is more specific.")
    service: Name | None = Field(None, description="Where requests go; absent where a plugin answers all of them.")
    strip_prefix: bool = Field(
        False, description="Cut the literal part of the matched path pattern off before sending."
    )
    rewrite: str | RegexRewrite | None = Field(
        None, description="The path to send: a template with {param} and {rest}, or {regex, to}."
    )
    host_header: str = Field(
        "target", description="Host to send: target (its own address), preserve (the client's), or a literal."
    )
    timeouts: PartialTimeouts = Field(
        default_factory=PartialTimeouts, description="Timeouts of this route; the rest is inherited."
    )
    limits: RouteLimits = Field(default_factory=RouteLimits, description="Limits of this route; the rest is inherited.")
    plugins: list[AttachmentEntry] = Field([], description="Plugins on this route.")

    @model_validator(mode="after")
    def _paths_fit_rewrite(self) -> Route:
        if isinstance(self.rewrite, str):
            if not self.rewrite.startswith("/"):
                raise ValueError(f"rewrite {self.rewrite!r} must start with /")
            for used in re.findall(r"\{([^{}]*)\}", self.rewrite):
                for path in self.match.paths:
                    named = set(
                        re.findall(r"\(\?P<(\w+)>", path) if path.startswith("~") else re.findall(r"\{(\w+)\}", path)
                    )
                    if used not in named and not (used == "rest" and path.endswith("*") and not path.startswith("~")):
                        raise ValueError(f"rewrite uses {{{used}}}, which the path {path!r} does not have")
            if self.strip_prefix:
                raise ValueError("give strip_prefix or rewrite, not both")
        return self


class Global(Model):
    """What holds for every route unless it, or its service, says otherwise."""

    plugins: list[AttachmentEntry] = Field(
        [], description="Plugins on every route, and on requests that no route takes."
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="Timeouts of every route.")
    limits: RouteLimits = Field(default_factory=RouteLimits, description="Limits of every route.")


class Drain(Model):
    """How a worker stops."""

    timeout: Duration = Field(30.0, description="Seconds in which exchanges under way may finish; then they are cut.")


class Manifest(Model):
    """The whole configuration."""

    gatewright: Literal[1] = Field(description="The version of this format.")
    workers: int | Literal["auto"] = Field("auto", description="Worker processes; auto is one per core.")
    server_name: str = Field(
        "gatewright", pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$", description="What Via calls this gateway."
    )
    listeners: list[Listener] = Field(min_length=1, description="Sockets that take requests.")
    paths: Paths = Field(default_factory=Paths, description="How request paths are normalised.")
    plugins: list[Annotated[PluginEntry, BeforeValidator(_plugin_entry)]] = Field(
        [], description="The plugins to load: a name, {name: version range}, or {name, version, settings}."
    )
    global_: Global = Field(default_factory=Global, alias="global", description="What holds for every route.")
    services: list[Service] = Field([], description="Where requests may go.")
    routes: list[Route] = Field([], description="Which requests go where.")
    drain: Drain = Field(default_factory=Drain, description="How a worker stops.")

    @field_validator("workers")
    @classmethod
    def _workers(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 1024:
            raise ValueError("workers must be between 1 and 1024, or auto")
        return value
