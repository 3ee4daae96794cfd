"""pydantic's errors, in words: what is wrong with a value, and the nearest thing that would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

_KINDS = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "nothing",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
#: Unknown keys get the list of the known ones if it is no longer than this.
_FEW = 14


def explain_error(item: Mapping[str, Any], model: type[BaseModel]) -> tuple[str, str]:
    """Message and hint for one entry of ``ValidationError.errors()``."""
    kind, context, value = item["type"], item.get("ctx") or {}, item.get("input")
    loc: Sequence[str | int] = item["loc"]
    if kind == "extra_forbidden":
        return f"unknown key {loc[-1]!r}", _nearest_key(str(loc[-1]), fields_at(model, loc[:-1]))
    if kind == "missing":
        return f"the key {loc[-1]!r} is missing", ""
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {_name(value)}", ""
    if kind == "literal_error":
        choices = [each.strip("'") for each in str(context["expected"]).replace(" or ", ", ").split(", ")]
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"did you mean {near[0]}?" if near else ""
        text = f"must be {choices[0]}" if len(choices) == 1 else f"must be one of {', '.join(choices)}"
        return f"{text}, not {_name(value)}", hint
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"must be {words} {context[bound]:g}, not {_name(value)}", ""
    if kind == "too_short":
        return f"must have at least {context['min_length']} {_items(context['min_length'])}", ""
    if kind == "too_long":
        return f"must have at most {context['max_length']} {_items(context['max_length'])}", ""
    if kind == "string_too_short":
        return f"must be at least {context['min_length']} characters long", ""
    if kind == "string_too_long":
        return f"must be at most {context['max_length']} characters long", ""
    if kind == "string_pattern_mismatch":
        return f"{_name(value)} does not have the form {context['pattern']}", _form(context["pattern"])
    if kind == "value_error":
        return str(context.get("error") or item["msg"].removeprefix("Value error, ")), ""
    return str(item["msg"]).replace("Input should be", "must be"), ""


def fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that a mapping at a place below ``model`` may have, as the manifest writes them."""
    kinds: list[Any] = [model]
    for part in loc:
        kinds = [each for kind in kinds for each in _step(kind, part)]
    names: dict[str, None] = {}
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names.update({field.alias or name: None for name, field in kind.model_fields.items()})
    return list(names)


def _step(kind: Any, part: str | int) -> Iterator[Any]:
    """Where one part of a place leads: unions are followed into each of their members."""
    origin = get_origin(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if part == kind.__name__:
            yield kind
        for name, field in kind.model_fields.items():
            if part in (name, field.alias):
                yield from _members(field.annotation)
    elif isinstance(origin, type) and get_args(kind):
        yield from _members(get_args(kind)[-1] if issubclass(origin, Mapping) else get_args(kind)[0])


def _members(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for each in get_args(annotation):
            yield from _members(each)
    elif origin is not Literal:
        yield annotation


def _nearest_key(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1) or difflib.get_close_matches(key.replace("-", "_"), known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"the keys here are {', '.join(known)}" if 0 < len(known) <= _FEW else ""


def _name(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | BaseModel):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…" + text[0]


def _items(count: int) -> str:
    return "item" if count == 1 else "items"


def _form(pattern: str) -> str:
    return "use letters, digits, '.', '_' and '-'" if pattern.startswith("^[A-Za-z0-9][A-Za-z0-9._-]*") else ""
