"""Rules for header fields and query parameters, compiled from the config."""

from __future__ import annotations

from urllib.parse import quote_plus, unquote_plus

from gatewright_sdk import Exchange
from gatewright_transform.config import Fields
from gatewright_transform.templates import Template

RawField = tuple[bytes, bytes]
#: Name as sent, lower case, the value where it is constant, and the template where it is not.
_Change = tuple[bytes, bytes, RawField | None, Template]


class HeaderRules:
    """Changes of a list of raw fields."""

    def __init__(self, fields: Fields) -> None:
        self._allow = frozenset(name.lower().encode() for name in fields.allow)
        dropped = [*fields.remove, *fields.set]
        self._drop = frozenset(name.lower().encode() for name in dropped)
        self._drop_sizes = frozenset(map(len, dropped))
        self._rename = {old.lower().encode(): new.encode() for old, new in fields.rename.items()}
        self._replace = _changes(fields.replace)
        self._add = _changes(fields.add)
        self._put = _changes({**fields.set}) + _changes(fields.append)
        self.is_empty = not any(fields.names())

    def apply(self, raw: list[RawField], exchange: Exchange) -> None:
        if self._allow:
            allow = self._allow
            raw[:] = [field for field in raw if field[0].lower() in allow]
        if self._drop:
            drop, sizes = self._drop, self._drop_sizes
            for name, _ in raw:
                if len(name) in sizes and name.lower() in drop:
                    raw[:] = [field for field in raw if len(field[0]) not in sizes or field[0].lower() not in drop]
                    break
        if self._rename:
            for index, (name, value) in enumerate(raw):
                new = self._rename.get(name.lower())
                if new is not None:
                    raw[index] = (new, value)
        for change in self._replace:
            self._replace_field(raw, change, exchange)
        for change in self._add:
            key = change[1]
            if not any(len(name) == len(key) and name.lower() == key for name, _ in raw):
                raw.append(change[2] or _filled(change, exchange))
        for change in self._put:
            raw.append(change[2] or _filled(change, exchange))

    def _replace_field(self, raw: list[RawField], change: _Change, exchange: Exchange) -> None:
        key = change[1]
        places = [index for index, (name, _) in enumerate(raw) if name.lower() == key]
        if places:
            raw[places[0]] = change[2] or _filled(change, exchange)
            for index in reversed(places[1:]):
                del raw[index]


def _changes(values: dict[str, str]) -> tuple[_Change, ...]:
    changes = []
    for name, value in values.items():
        template = Template(value)
        constant = None if template.constant is None else (name.encode(), _value(template.constant))
        changes.append((name.encode(), name.lower().encode(), constant, template))
    return tuple(changes)


def _filled(change: _Change, exchange: Exchange) -> RawField:
    return change[0], _value(change[3].fill(exchange))


def _value(text: str) -> bytes:
    """Bytes of a field value: ISO 8859-1 where that can say it, else UTF-8; never a line break."""
    text = text.replace("\r", "").replace("\n", "").replace("\0", "").strip(" \t")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


class QueryRules:
    """Changes of a raw query; parameters that no rule names keep their bytes."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._templates = {
            kind: {name: Template(value) for name, value in getattr(fields, kind).items()}
            for kind in ("replace", "add", "set", "append")
        }
        self.is_empty = not any(fields.names())

    def apply(self, query: str, exchange: Exchange) -> str:
        fields = self._fields
        parts = [(unquote_plus(part.partition("=")[0]), part) for part in query.split("&") if part]
        if fields.allow:
            parts = [each for each in parts if each[0] in fields.allow]
        parts = [each for each in parts if each[0] not in fields.remove]
        for old, new in fields.rename.items():
            parts = [(new, quote_plus(new) + part[len(part.partition("=")[0]) :]) if name == old else (name, part)
                     for name, part in parts]  # fmt: skip
        for name, template in self._templates["replace"].items():
            if any(each[0] == name for each in parts):
                parts = _put(parts, name, template.fill(exchange))
        for name, template in self._templates["add"].items():
            if not any(each[0] == name for each in parts):
                parts.append(_part(name, template.fill(exchange)))
        for name, template in self._templates["set"].items():
            parts = _put(parts, name, template.fill(exchange))
        for name, template in self._templates["append"].items():
            parts.append(_part(name, template.fill(exchange)))
        return "&".join(part for _, part in parts)


def _part(name: str, value: str) -> tuple[str, str]:
    return name, f"{quote_plus(name)}={quote_plus(value)}"


def _put(parts: list[tuple[str, str]], name: str, value: str) -> list[tuple[str, str]]:
    """The parameter once, where it first stood, or at the end."""
    place = next((index for index, each in enumerate(parts) if each[0] == name), len(parts))
    before = [each for each in parts[:place] if each[0] != name]
    after = [each for each in parts[place:] if each[0] != name]
    return [*before, _part(name, value), *after]
