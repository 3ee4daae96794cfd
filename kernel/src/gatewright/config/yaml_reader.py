"""YAML as this project reads it: the core schema of YAML 1.2, one document, no tags, with places.

The parser's node tree is kept, so that the place of any value can be found when somebody asks; making
a dictionary of all places would cost more than reading the file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from gatewright.errors import Problem

try:
    from yaml import CSafeLoader as _Base
except ImportError:  # PyYAML was built without libyaml
    from yaml import SafeLoader as _Base  # type: ignore[assignment]

#: Nodes that aliases may make a document grow to.
MAX_NODES = 5_000_000
MAX_DEPTH = 64
_PREFIX = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_NULL = re.compile(r"~|null|Null|NULL|")


class _Loader(_Base):
    """Resolves plain scalars by the core schema (YAML 1.2.2 section 10.3.2): ``on`` and ``no`` are text."""

    yaml_implicit_resolvers: dict[Any, Any] = {}


for _name, _pattern, _first in (
    ("bool", _BOOL, "tTfF"),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("null", _NULL, ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(_PREFIX + _name, re.compile(f"^(?:{_pattern.pattern})$"), list(_first))


class _Named(io.BytesIO):
    """A stream with a name, which the parser puts into every mark."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def compose(path: Path) -> yaml.Node | Problem | None:
    """The node tree of a file, None for one that holds nothing, or what is wrong with it."""
    try:
        data = path.read_bytes()
        data.decode("utf-8")
    except OSError as error:
        return Problem(f"cannot be read: {error.strerror}", file=str(path))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem("is not UTF-8", file=str(path), line=line, hint="save the file as UTF-8")
    loader = _Loader(_Named(data, str(path)))
    try:
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        text = " ".join(filter(None, (error.context, error.problem))) or "is not YAML"
        hint = "write one document a file" if "single document" in text else ""
        if "tab character" in text or "cannot start any token" in text:
            hint = "indent with spaces, and quote values that start with a special character"
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        return Problem(f"is not YAML: {text}", file=str(path), line=line, column=column, hint=hint)
    except yaml.YAMLError as error:
        return Problem(f"is not YAML: {error}", file=str(path))
    finally:
        loader.dispose()
    return node


def problem_at(node: yaml.Node, message: str, key: str = "", hint: str = "") -> Problem:
    mark = node.start_mark
    return Problem(message, key=key, file=str(mark.name), line=mark.line + 1, column=mark.column + 1, hint=hint)


def place_of(node: yaml.Node) -> str:
    mark = node.start_mark
    return f"{mark.name}:{mark.line + 1}"


def scalar(text: str) -> Any:
    """What a plain scalar stands for."""
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().lstrip("."))
    return None if _NULL.fullmatch(text) else text


class Constructor:
    """Makes plain data of a node tree.

    Args:
        expand: given a scalar node that holds ``${``, what it stands for.
    """

    def __init__(self, expand: Callable[[yaml.ScalarNode, tuple[str | int, ...]], Any]) -> None:
        self.problems: list[Problem] = []
        self._expand = expand
        self._nodes = 0

    def construct(self, node: yaml.Node, path: tuple[str | int, ...] = ()) -> Any:
        self._nodes += 1
        if len(path) > MAX_DEPTH or self._nodes > MAX_NODES:
            if self._nodes <= MAX_NODES:
                self.problems.append(problem_at(node, "is nested too deep", hint="an alias may contain itself"))
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, "seq")
            return [self.construct(child, (*path, index)) for index, child in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)
        self._check_tag(node, "map")
        return self._mapping(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: tuple[str | int, ...]) -> Any:
        kind = node.tag.removeprefix(_PREFIX)
        value: str = node.value
        if kind == "str":
            return self._expand(node, path) if "${" in value else value
        if kind in ("int", "float", "bool", "null"):
            return scalar(value)
        self._refuse_tag(node)
        return value

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        keys: dict[str, yaml.Node] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(problem_at(key_node, "a key must be text"))
                continue
            key: str = key_node.value
            if key == "<<" and not key_node.style:
                merged.append(value_node)
                continue
            if "${" in key:
                self.problems.append(problem_at(key_node, f"{key!r}: keys are not interpolated"))
                continue
            if key in keys:
                message = f"the key {key!r} is given twice; first at line {keys[key].start_mark.line + 1}"
                self.problems.append(problem_at(key_node, message, hint="remove one"))
                continue
            keys[key] = key_node
            made[key] = self.construct(value_node, (*path, key))
        for value_node in merged:
            self._merge(value_node, made, path)
        return made

    def _merge(self, node: yaml.Node, into: dict[str, Any], path: tuple[str | int, ...]) -> None:
        """``<<: *anchor``, and ``<<: [*one, *other]``: what is said in place wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            value = self.construct(source, (*path, "<<"))
            if not isinstance(value, dict):
                self.problems.append(problem_at(source, "'<<' merges mappings only"))
                continue
            for key, each in value.items():
                into.setdefault(key, each)

    def finish(self, root: yaml.Node) -> None:
        if self._nodes > MAX_NODES:
            self.problems.append(problem_at(root, "grows too large through its aliases"))

    def _check_tag(self, node: yaml.Node, kind: str) -> None:
        if node.tag != _PREFIX + kind:
            self._refuse_tag(node)

    def _refuse_tag(self, node: yaml.Node) -> None:
        self.problems.append(problem_at(node, f"the tag {node.tag!r} is not allowed", hint="remove it"))
