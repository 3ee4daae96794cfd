"""The JSON Schema of the manifest, for editors: with the short forms, and every plugin's own options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from gatewright.config.models import Manifest
from gatewright_sdk import PluginConfig

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Where a number is wanted, an expression may stand.
_EXPRESSION: Schema = {"type": "string", "pattern": r"\$\{[^{}]+\}"}

#: For each plugin the model of its attachments, None where it has no filter, and that of its settings.
PluginModels = Mapping[str, tuple[type[PluginConfig] | None, type[PluginConfig]]]


def json_schema(plugins: PluginModels) -> Schema:
    """JSON Schema 2020-12."""
    schema = Manifest.model_json_schema(by_alias=True, mode="validation")
    defs: dict[str, Schema] = schema.pop("$defs")
    for name in ("Attachment", "PluginEntry", "Target", "ValueMatch"):
        defs[f"{name}Full"] = defs.pop(name)
    attached = {name: config for name, (config, _) in plugins.items() if config is not None}
    settings = {name: model for name, (_, model) in plugins.items()}
    for name, model in attached.items():
        _add(defs, f"plugin:{name}", model)
    for name, model in settings.items():
        _add(defs, f"settings:{name}", model)
    _choose(defs["AttachmentFull"], "config", "plugin", attached)
    _choose(defs["PluginEntryFull"], "settings", "settings", settings)
    configs = {name: {"anyOf": [_ref(f"plugin:{name}"), {"type": "null"}]} for name in attached}
    versions: Schema = {name: {"type": ["string", "null"]} for name in settings}
    defs["Attachment"] = {"anyOf": [_names(attached), _single(configs), _ref("AttachmentFull")]}
    defs["PluginEntry"] = {"anyOf": [_names(settings), _single(versions), _ref("PluginEntryFull")]}
    defs["Target"] = {"anyOf": [{"type": "string"}, _ref("TargetFull")]}
    defs["ValueMatch"] = {"anyOf": [{"type": ["string", "number"]}, _ref("ValueMatchFull")]}
    whole: Schema = {"$schema": DIALECT, **schema, "$defs": defs}
    loosened: Schema = _with_expressions(whole)
    return loosened


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _names(known: Mapping[str, Any]) -> Schema:
    return {"type": "string", "enum": sorted(known)} if known else {"type": "string"}


def _single(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": not properties,
        "minProperties": 1,
        "maxProperties": 1,
        "not": {"required": ["name"]},
    }


def _choose(full: Schema, key: str, prefix: str, known: Mapping[str, Any]) -> None:
    """In the long form the options depend on the name."""
    full["allOf"] = [
        {"if": {"properties": {"name": {"const": name}}}, "then": {"properties": {key: _ref(f"{prefix}:{name}")}}}
        for name in sorted(known)
    ]


def _add(defs: dict[str, Schema], name: str, model: type[BaseModel]) -> None:
    """A plugin's model, its definitions under names of its own."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    text = json.dumps(schema).replace('"#/$defs/', f'"#/$defs/{name}.')
    schema = json.loads(text)
    for inner, definition in schema.pop("$defs", {}).items():
        defs[f"{name}.{inner}"] = definition
    defs[name] = schema


def _with_expressions(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_expressions(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: _with_expressions(each) for key, each in value.items()}
    if made.get("type") in ("integer", "number", "boolean") and "const" not in made:
        described = {key: made.pop(key) for key in ("title", "description", "default") if key in made}
        return {**described, "anyOf": [made, _EXPRESSION]}
    return made
