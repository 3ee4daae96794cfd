"""Writes what the docs take from the code: option tables of the plugins, and the pages of docs/reference.

Run as ``make docs``; a test fails where a page is stale.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import gatewright_sdk
from gatewright.cli.main import main as command
from gatewright.config.models import Manifest
from gatewright_sdk import HOOKS, Duration, Filter, GatewayError, Phase, Plugin, Size

ROOT = Path(__file__).resolve().parent.parent
HEAD = "| option | type | default | what it does |\n|---|---|---|---|\n"


def pages() -> dict[Path, str]:
    """Every generated file, as it should be."""
    reference = ROOT / "docs" / "reference"
    made = {
        reference / "manifest.md": manifest_page(),
        reference / "hooks.md": hooks_page(),
        reference / "cli.md": cli_page(),
        reference / "errors.md": errors_page(),
    }
    for folder in sorted((ROOT / "plugins").iterdir()):
        if (folder / "pyproject.toml").exists():
            made[folder / "README.md"] = plugin_readme(folder)
    return made


def plugin_readme(folder: Path) -> str:
    plugin: Plugin = importlib.import_module(f"gatewright_{folder.name}").plugin
    text = (folder / "README.md").read_text()
    model = plugin.filter.config_model if plugin.filter is not None else plugin.settings
    text = _fill(text, "options", options_table(model))
    return _fill(text, "settings", options_table(plugin.settings))


def _fill(text: str, block: str, table: str) -> str:
    return re.sub(
        rf"(<!-- {block} -->\n).*?(<!-- /{block} -->)",
        lambda found: f"{found[1]}{table}{found[2]}",
        text,
        flags=re.DOTALL,
    )


def options_table(model: type[BaseModel]) -> str:
    rows = list(_rows(model, ""))
    return HEAD + "\n".join(rows) + "\n" if rows else ""


def _rows(model: type[BaseModel], prefix: str, above: tuple[type[BaseModel], ...] = ()) -> Iterator[str]:
    for name, field in model.model_fields.items():
        shown = field.alias or name
        text = (field.description or "").replace("|", "\\|")
        default = _default(field)
        yield f"| `{prefix}{shown}` | {_type(field)} |{f' {default} ' if default else ' '}| {text} |"
        inner, is_list = _model_of(field.annotation)
        if inner is not None and inner not in above:
            yield from _rows(inner, f"{prefix}{shown}{'[]' if is_list else ''}.", (*above, inner))


def _model_of(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if origin is Annotated:
        return _model_of(get_args(annotation)[0])
    if origin in (Union, UnionType):
        found = [each for member in get_args(annotation) if (each := _model_of(member))[0] is not None]
        return found[0] if found else (None, False)
    if origin is list:
        return _model_of(get_args(annotation)[0])[0], True
    return None, False


def _type(field: FieldInfo) -> str:
    # pydantic moves the validators of Duration and Size out of the annotation.
    described = repr(field.metadata)
    for name, text in (("parse_duration", "duration"), ("parse_size", "size")):
        if name in described:
            return text
    return _name(field.annotation)


def _name(annotation: Any) -> str:
    if annotation == Duration:
        return "duration"
    if annotation == Size:
        return "size"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _name(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_name(argument) for argument in arguments if argument is not NoneType)
    if origin is list:
        return f"list of {_name(arguments[0])}"
    if origin is dict:
        return f"map of {_name(arguments[0])} to {_name(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return re.sub(r"(?<!^)(?=[A-Z])", " ", annotation.__name__).lower()
    return {str: "string", int: "integer", float: "number", bool: "boolean"}.get(annotation, "any")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    kind = _type(field)
    if kind.startswith("duration"):
        return f"`{_duration(value)}`"
    if kind.startswith("size"):
        return f"`{_size(value)}`"
    if isinstance(value, str):
        return f"`{value}`"
    return f"`{json.dumps(value)}`"


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds * 1000:g}ms" if 0 < seconds < 1 else f"{seconds:g}s" if seconds else "0"


def _size(size: int) -> str:
    for factor, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def manifest_page() -> str:
    return f"""# The manifest

Every key, with its default. `gatewright schema` prints the same as a JSON Schema for editors. Durations are seconds or
`250ms`, `5s`, `2m`, `1h`; sizes are bytes or `64KiB`, `10MB`. Values may hold `${{env:NAME}}`, `${{env:NAME:-default}}` and
`${{file:PATH}}`; `$${{` is a literal `${{`.

Short forms: a plugin to load is `name`, `name: "version range"` or the long form; an attached plugin is `name`,
`name: {{options}}` or the long form; a target is a URL or the long form; a header or query test is a value or the long
form.

{options_table(Manifest)}"""


def hooks_page() -> str:
    text = "# Hooks\n\nThe methods of `gatewright_sdk.Filter` that a plugin may define, in the order in which an exchange meets them.\n"
    for name in HOOKS:
        hook = getattr(Filter, name)
        text += f"\n## `{name}{inspect.signature(hook)}`\n\n{inspect.cleandoc(hook.__doc__ or '')}\n"
    phases = ", ".join(f"`{phase.name.lower()}`" for phase in Phase)
    text += f"\n## Phases\n\n{phases}. Request and complete hooks run in this order, all others in the reverse one.\n"
    text += "\n## Around the hooks\n"
    for name in ("hooks", "start", "stop"):
        method = getattr(Filter, name)
        text += f"\n### `{name}{inspect.signature(method)}`\n\n{inspect.cleandoc(method.__doc__ or '')}\n"
    return text


def cli_page() -> str:
    text = "# The command line\n"
    for path, each in _commands(command, "gatewright"):
        context = click.Context(each, info_name=path, max_content_width=100, terminal_width=100)
        text += f"\n## `{path}`\n\n```\n{each.get_help(context)}\n```\n"
    return text


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, group
    for name, each in sorted(group.commands.items()):
        if isinstance(each, click.Group):
            yield from _commands(each, f"{path} {name}")
        else:
            yield f"{path} {name}", each


def errors_page() -> str:
    text = """# Errors

What the gateway answers by itself is a problem document (RFC 9457), `application/problem+json`, with `type`, `title`,
`status`, `detail`, `code` and `request_id`. Timeouts add `timeout`, the name of the one that expired, and `seconds`.

| error | status | code | Proxy-Status |
|---|---|---|---|
"""
    kinds = [
        each for each in vars(gatewright_sdk).values() if isinstance(each, type) and issubclass(each, GatewayError)
    ]
    for kind in sorted(kinds, key=lambda each: (each.status, each.__name__)):
        text += f"| {inspect.cleandoc(kind.__doc__ or '').splitlines()[0]} | {kind.status} | `{kind.code}` |"
        text += f" `{kind.proxy_status}` |\n" if kind.proxy_status else " |\n"
    return text


def main() -> int:
    stale = 0
    for path, text in pages().items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
            stale += 1
    print(f"{stale} pages written" if stale else "every page is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
