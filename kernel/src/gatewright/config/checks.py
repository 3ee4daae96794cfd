"""What no single value shows: names that are given twice or lead nowhere, options that would do nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from gatewright.config.models import Attachment, Balancer, Manifest, Route, Service, UpstreamTls

Place = tuple[str | int, ...]
Finding = tuple[Place, str, str]
PlaceText = Callable[[Place], str]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST_VALUE = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def check(manifest: Manifest, place_text: PlaceText) -> Iterator[Finding]:
    """Place, message and hint of each thing found, in no order.

    Args:
        place_text: says where a place stands, for messages that name two.
    """
    for what, names in (
        ("service", [service.name for service in manifest.services]),
        ("route", [route.name for route in manifest.routes]),
        ("plugin", [entry.name for entry in manifest.plugins]),
    ):
        yield from _repeated(names, (f"{what}s",), ("name",), what, "rename one", place_text)
    binds = [listener.bind for listener in manifest.listeners if not listener.bind.endswith(":0")]
    if len(set(binds)) < len(binds):
        every = [listener.bind for listener in manifest.listeners]
        yield from _repeated(every, ("listeners",), ("bind",), "address", "remove one", place_text)
    loaded = [entry.name for entry in manifest.plugins]
    yield from _attachments(manifest.global_.plugins, ("global", "plugins"), loaded, place_text)
    for index, service in enumerate(manifest.services):
        yield from _attachments(service.plugins, ("services", index, "plugins"), loaded, place_text)
        yield from _service(service, ("services", index))
    services = [service.name for service in manifest.services]
    known = set(services)
    for index, route in enumerate(manifest.routes):
        place: Place = ("routes", index)
        if route.service is not None and route.service not in known:
            near = difflib.get_close_matches(route.service, services, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "name one of the services"
            yield (*place, "service"), f"there is no service {route.service!r}", hint
        if route.plugins:
            yield from _attachments(route.plugins, (*place, "plugins"), loaded, place_text)
        yield from _route(route, place)


def _repeated(
    names: Sequence[str], place: Place, key: Place, what: str, hint: str, place_text: PlaceText
) -> Iterator[Finding]:
    if len(set(names)) == len(names):
        return
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in first:
            where = place_text((*place, first[name]))
            yield (*place, index, *key), f"the {what} {name!r} is there already, at {where}", hint
        else:
            first[name] = index


def _attachments(
    attachments: Sequence[Attachment], place: Place, loaded: Sequence[str], place_text: PlaceText
) -> Iterator[Finding]:
    keys = [attachment.key for attachment in attachments]
    yield from _repeated(keys, place, (), "attachment", "give one of them an id", place_text)
    for index, attachment in enumerate(attachments):
        if attachment.name not in loaded:
            near = difflib.get_close_matches(attachment.name, loaded, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"add it: plugins: [{attachment.name}]"
            yield (*place, index), f"the plugin {attachment.name!r} is not in the list of plugins", hint
        if not attachment.enabled and place == ("global", "plugins"):
            yield (*place, index, "enabled"), "there is no wider place to take this away from", "remove the entry"
        for name in ("after", "before"):
            if attachment.key in getattr(attachment, name):
                yield (*place, index, name), f"{attachment.key!r} cannot run {name} itself", ""


def _service(service: Service, place: Place) -> Iterator[Finding]:
    if all(target.weight == 0 for target in service.targets):
        yield (*place, "targets"), "every target has weight 0, so none takes requests", "give one a weight"
    # By value and not by presence: a rendered manifest says every default.
    if service.balancer.key != Balancer().key and service.balancer.type != "consistent_hash":
        yield (
            (*place, "balancer", "key"),
            f"the balancer {service.balancer.type} has no key",
            "set type: consistent_hash",
        )
    if service.tls != UpstreamTls() and not any(target.is_tls for target in service.targets):
        yield (*place, "tls"), "no target is https://, so these options would do nothing", "remove them"
    if not service.tls.verify and service.tls.ca_file is not None:
        yield (*place, "tls", "ca_file"), "with verify: false nothing is checked against it", "remove one of the two"


def _route(route: Route, place: Place) -> Iterator[Finding]:
    if route.host_header not in ("target", "preserve") and not _HOST_VALUE.fullmatch(route.host_header):
        near = difflib.get_close_matches(route.host_header, ("target", "preserve"), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "write target, preserve, or a host such as api.example.com"
        yield (*place, "host_header"), f"{route.host_header!r} is not a host", hint
    if route.service is None:
        for name, default in (("strip_prefix", False), ("rewrite", None), ("host_header", "target")):
            if getattr(route, name) != default:
                yield (*place, name), "without a service nothing is sent, so this would do nothing", "name a service"
    if route.match.headers:
        yield from _tokens(route.match.headers, (*place, "match", "headers"))
    for index, path in enumerate(route.match.paths):
        names = re.findall(r"\{(\w+)\}", path) if not path.startswith("~") else []
        if len(set(names)) < len(names):
            yield (*place, "match", "paths", index), f"{path!r} names a parameter twice", "rename one"
        if path.startswith("~") and route.strip_prefix:
            yield (*place, "strip_prefix"), f"the regular expression {path!r} has no prefix to strip", "use rewrite"


def _tokens(names: Iterable[str], place: Place) -> Iterator[Finding]:
    for name in names:
        if not _TOKEN.fullmatch(name):
            yield (*place, name), f"{name!r} is not a field name", "field names have no spaces and no ':'"
