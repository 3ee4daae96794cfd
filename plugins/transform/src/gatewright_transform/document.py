"""JSON documents changed by JSONPath. What no rule touches keeps its text: numbers, order, spelling."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

import jsonpath

from gatewright_sdk import Exchange
from gatewright_transform.config import Body
from gatewright_transform.templates import Template

_LAST_NAME = re.compile(r"(.*)(?:\.([A-Za-z_][\w-]*)|\['([^']*)'\])", re.DOTALL)
Parts = tuple[str | int, ...]


class InvalidJson(ValueError):
    """The body is not a JSON text."""


class Number(float):
    """A number with a fraction or an exponent, which keeps how it was written: ``1.10``, ``1e400``."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> Number:
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str


def parse(text: str) -> Any:
    """A document.

    Raises:
        InvalidJson: it is none; NaN and Infinity are none, and neither is what is nested too deep.
    """
    try:
        return json.loads(text, parse_float=Number, parse_int=_integer, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidJson(str(error)) from error


def _integer(text: str) -> int | Number:
    return Number(text) if text == "-0" else int(text)


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def serialise(value: Any) -> bytes:
    """The document without white space."""
    pieces: list[str] = []
    _write(value, pieces.append, encode_basestring)
    try:
        return "".join(pieces).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can say and UTF-8 cannot.
        pieces = []
        _write(value, pieces.append, encode_basestring_ascii)
        return "".join(pieces).encode()


def _write(value: Any, put: Callable[[str], None], quote: Callable[[str], str]) -> None:
    if isinstance(value, str):
        put(quote(value))
    elif isinstance(value, dict):
        separator = "{"
        for key, each in value.items():
            put(f"{separator}{quote(key)}:")
            _write(each, put, quote)
            separator = ","
        put("}" if value else "{}")
    elif isinstance(value, list):
        separator = "["
        for each in value:
            put(separator)
            _write(each, put, quote)
            separator = ","
        put("]" if value else "[]")
    else:
        put(value.text if isinstance(value, Number) else json.dumps(value))


class DocumentRules:
    """The changes of one config."""

    def __init__(self, body: Body) -> None:
        self._allow = [jsonpath.compile(path) for path in body.allow]
        self._remove = [jsonpath.compile(path) for path in body.remove]
        self._rename = [(jsonpath.compile(path), name) for path, name in body.rename.items()]
        self._replace = [(jsonpath.compile(path), _value(value)) for path, value in body.replace.items()]
        self._add = [(*_parent(path), _value(value)) for path, value in body.add.items()]
        self._append = [(jsonpath.compile(path), _value(value)) for path, value in body.append.items()]

    def apply(self, text: str, exchange: Exchange) -> bytes | None:
        """The changed document, None where nothing changes.

        Raises:
            InvalidJson: the text is no JSON.
        """
        document = [parse(text)]
        try:
            changed = self._change(document, exchange)
            return serialise(document[0]) if changed else None
        except RecursionError as error:
            raise InvalidJson("it is nested too deep") from error

    def _change(self, box: list[Any], exchange: Exchange) -> bool:
        """``box`` holds the document alone, so that the whole of it can be replaced too."""
        changed = False
        if self._allow:
            kept = {parts for path in self._allow for parts in _select(path, box[0])}
            changed |= _keep(box, kept)
        for path in self._remove:
            # From the end, so that what is left to remove from an array keeps its place.
            for parts in sorted(_select(path, box[0]), key=_backwards):
                holder, last = _holder(box, parts)
                if last in holder if isinstance(holder, dict) else True:
                    del holder[last]
                    changed = True
        # The deepest first here too: what stands below a place is gone once that has changed.
        for path, name in self._rename:
            for parts in sorted(_select(path, box[0]), key=_backwards):
                changed |= _rename(*_holder(box, parts), name)
        for path, make in self._replace:
            for parts in sorted(_select(path, box[0]), key=_backwards):
                holder, last = _holder(box, parts)
                holder[last] = make(exchange)
                changed = True
        for path, name, make in self._add:
            for parts in _select(path, box[0]):
                holder, last = _holder(box, parts)
                target = holder[last]
                if isinstance(target, dict) and name not in target:
                    target[name] = make(exchange)
                    changed = True
        for path, make in self._append:
            for parts in _select(path, box[0]):
                holder, last = _holder(box, parts)
                if isinstance(holder[last], list):
                    holder[last].append(make(exchange))
                    changed = True
        return changed


def _select(path: Any, document: Any) -> list[Parts]:
    if not isinstance(document, dict | list):
        return [()] if str(path) == "$" else []
    return list(dict.fromkeys(match.parts for match in path.finditer(document)))


def _backwards(parts: Parts) -> tuple[Any, ...]:
    return (*((0, -part, "") if isinstance(part, int) else (1, 0, part) for part in parts), (2, 0, ""))


def _holder(box: list[Any], parts: Parts) -> tuple[Any, Any]:
    """The container of a place, and the key in it."""
    holder: Any = box
    last: str | int = 0
    for part in parts:
        holder, last = holder[last], part
    return holder, last


def _rename(holder: Any, old: Any, new: str) -> bool:
    if not isinstance(holder, dict) or old not in holder or old == new:
        return False
    renamed = {new if key == old else key: value for key, value in holder.items() if key != new}
    holder.clear()
    holder.update(renamed)
    return True


def _keep(box: list[Any], kept: set[Parts]) -> bool:
    """Take away what is neither kept, nor on the way to it, nor below it."""
    on_the_way = {parts[:size] for parts in kept for size in range(len(parts))}

    def prune(value: Any, here: Parts) -> bool:
        changed = False
        if here in kept:
            return False
        if isinstance(value, dict):
            for key in list(value):
                there = (*here, key)
                if there in kept or there in on_the_way:
                    changed |= prune(value[key], there)
                else:
                    del value[key]
                    changed = True
        elif isinstance(value, list):
            left = [index for index in range(len(value)) if (*here, index) in kept or (*here, index) in on_the_way]
            for index in left:
                changed |= prune(value[index], (*here, index))
            if len(left) < len(value):
                value[:] = [value[index] for index in left]
                changed = True
        return changed

    return prune(box[0], ())


def _parent(path: str) -> tuple[Any, str]:
    found = _LAST_NAME.fullmatch(path)
    assert found is not None, "the config model has checked it"
    return jsonpath.compile(found[1] or "$"), found[2] if found[2] is not None else found[3]


def _value(value: Any) -> Callable[[Exchange], Any]:
    """Text is a template; whatever else there is stays as it is."""
    if isinstance(value, str):
        template = Template(value)
        if template.constant is None:
            return template.fill
        constant = template.constant
        return lambda exchange: constant
    return lambda exchange: copy.deepcopy(value)
