"""From files to a manifest, with the place of everything that is wrong."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gatewright.config.checks import check
from gatewright.config.interpolation import Interpolator, Unresolved
from gatewright.config.messages import explain_error
from gatewright.config.models import Manifest
from gatewright.config.yaml_reader import Constructor, compose, place_of, problem_at, scalar
from gatewright.errors import ConfigError, Problem

Place = tuple[str | int, ...]
_START = "'gatewright init' writes a manifest to start from"
_UNION_TAG = re.compile(r"(?:str|int|float|bool|RegexRewrite|literal\[.*|function-.*|constrained-.*|nullable.*)")


class SourceMap:
    """Where everything stands.

    Args:
        root: the node tree of the document.
        secrets: values that came from outside, and what they are called in messages.
        file: where what has no place is said to be.
    """

    def __init__(self, root: yaml.Node | None, secrets: Mapping[str, str], file: str) -> None:
        self._root = root
        self._secrets = dict(sorted(secrets.items(), key=lambda item: -len(item[0])))
        self._file = file

    def problem(self, loc: Place, message: str, hint: str = "") -> Problem:
        """A problem at a place in the manifest, however it is written there."""
        node, key = self._find(loc)
        message, hint = self._hide(message), self._hide(hint)
        if node is None:
            return Problem(message, key=key, file=self._file, hint=hint)
        return problem_at(node, message, key, hint)

    def place_text(self, loc: Place) -> str:
        """``FILE:LINE`` of a place."""
        node, _ = self._find(loc)
        return place_of(node) if node is not None else self._file

    def _find(self, loc: Place) -> tuple[yaml.Node | None, str]:
        """The nearest node of a place, and the place in words."""
        node, shown, words = self._root, self._root, ""
        lost = False
        for index, part in enumerate(loc):
            # Below an entry of a list of plugins, {name: options} may stand for the long form.
            is_plugin = index >= 2 and loc[index - 2] == "plugins"
            step = None if lost or node is None else _step(node, part, is_plugin)
            if step is None:
                if isinstance(part, str) and _UNION_TAG.fullmatch(part):
                    continue
                if isinstance(node, yaml.ScalarNode) and part in ("name", "url", "exact", "config"):
                    continue
                lost = True
                words = _join(words, "global" if part == "global_" else part)
            else:
                shown, node, name = step
                words = _join(words, name) if name is not None else words
        return shown, words

    def _hide(self, text: str) -> str:
        """Values from the environment and from files stay out of messages: they may be secrets."""
        for value, expression in self._secrets.items():
            if value and value in text:
                text = text.replace(repr(value), f"the value of {expression}")
                if len(value) > 2:
                    text = text.replace(value, f"the value of {expression}")
        return text


def _step(node: yaml.Node, part: str | int, is_plugin: bool) -> tuple[yaml.Node, yaml.Node, str | int | None] | None:
    """One part further: the node to show, the node to go on from, and the part as it is written."""
    if isinstance(node, yaml.SequenceNode):
        return (node.value[part], node.value[part], part) if isinstance(part, int) and part < len(node.value) else None
    if not isinstance(node, yaml.MappingNode):
        return None
    wanted = "global" if part == "global_" else str(part)
    for key, value in node.value:
        if key.value == wanted:
            return key, value, wanted
    for key, value in node.value:
        if key.value == "<<":
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                found = _step(source, part, False)
                if found is not None:
                    return found
    if is_plugin and len(node.value) == 1 and part in ("name", "config", "version"):
        key, value = node.value[0]
        return (key, key, None) if part == "name" else (key, value, key.value)
    return None


def _join(words: str, part: str | int) -> str:
    if isinstance(part, int):
        return f"{words}[{part}]"
    return f"{words}.{part}" if words else part


@dataclass(frozen=True, slots=True)
class Loaded:
    """A manifest and where it came from.

    Attributes:
        manifest: validated.
        sources: where everything stands.
        files: every file that was read; the folder itself too, where it is one.
        document: plain data, merged and interpolated, as written otherwise.
        written: for each value that was interpolated, by its place in the document, what was written.
    """

    manifest: Manifest
    sources: SourceMap
    files: tuple[Path, ...]
    document: Mapping[str, Any] = field(repr=False)
    written: Mapping[Place, str] = field(repr=False)


def load(path: Path, env: Mapping[str, str] | None = None) -> Loaded:
    """Read a manifest from a file, or from the ``*.yaml`` and ``*.yml`` files of a folder.

    Raises:
        ConfigError: with everything that is wrong, in the order of the files.
    """
    files = _files_of(path)
    problems: list[Problem] = []
    roots: list[yaml.Node] = []
    for file in files:
        node = compose(file)
        if isinstance(node, Problem):
            problems.append(node)
        elif node is not None:
            if not isinstance(node, yaml.MappingNode):
                problems.append(problem_at(node, "a manifest is a mapping of keys to values"))
            else:
                roots.append(node)
    if problems:
        raise ConfigError(problems)
    if not roots:
        raise ConfigError([Problem("is empty", file=str(path), hint=_START)])
    root = roots[0] if len(roots) == 1 else _merge(roots, problems)
    interpolator = Interpolator(os.environ if env is None else env)
    written: dict[Place, str] = {}

    def expand(node: yaml.ScalarNode, place: Place) -> Any:
        try:
            text, is_whole = interpolator.expand(node.value, Path(node.start_mark.name).parent)
        except Unresolved as error:
            constructor.problems.append(problem_at(node, str(error), _words(place), error.hint))
            return None
        written[place] = node.value
        return scalar(text) if is_whole and not node.style else text

    constructor = Constructor(expand)
    document = constructor.construct(root)
    constructor.finish(root)
    problems += constructor.problems
    sources = SourceMap(root, interpolator.values, str(path))
    # A value that could not be resolved is reported already; what its absence leads to is not.
    unresolved = {(problem.file, problem.line) for problem in problems}
    manifest = None
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        found = [sources.problem(loc, *text) for loc, text in _explain(error, document)]
        problems += [problem for problem in found if (problem.file, problem.line) not in unresolved]
    if manifest is not None:
        problems += [sources.problem(*finding) for finding in check(manifest, sources.place_text)]
    if problems or manifest is None:
        order = {str(file): index for index, file in enumerate(files)}
        problems.sort(key=lambda problem: (order.get(problem.file, -1), problem.line, problem.column))
        raise ConfigError(problems)
    watched = [*files, *interpolator.files, *([path] if path.is_dir() else [])]
    return Loaded(manifest, sources, tuple(dict.fromkeys(watched)), document, written)


def _files_of(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            if not path.exists():
                raise ConfigError([_missing(path)])
            return [path]
        found = sorted(
            each for each in path.iterdir() if each.suffix in (".yaml", ".yml") and not each.name.startswith(".")
        )
    except OSError as error:
        raise ConfigError([Problem(f"cannot be read: {error.strerror}", file=str(path))]) from error
    if not found:
        raise ConfigError([Problem("has no *.yaml or *.yml file in it", file=str(path))])
    return found


def _missing(path: Path) -> Problem:
    try:
        names = [each.name for each in path.absolute().parent.iterdir()]
    except OSError:
        names = []
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"did you mean {path.with_name(near[0])}?" if near else _START
    return Problem("there is no such file", file=str(path), hint=hint)


def _merge(roots: Sequence[yaml.Node], problems: list[Problem]) -> yaml.Node:
    """One tree of several: mappings are joined, lists appended to each other, values must agree."""
    merged = roots[0]
    for root in roots[1:]:
        merged = _merge_two(merged, root, "", problems)
    return merged


def _merge_two(one: yaml.Node, other: yaml.Node, words: str, problems: list[Problem]) -> yaml.Node:
    if isinstance(one, yaml.MappingNode) and isinstance(other, yaml.MappingNode):
        pairs = list(one.value)
        index = {key.value: position for position, (key, _) in enumerate(pairs) if isinstance(key, yaml.ScalarNode)}
        for key, value in other.value:
            position = index.get(key.value) if isinstance(key, yaml.ScalarNode) else None
            if position is None:
                pairs.append((key, value))
            else:
                mine, theirs = pairs[position]
                pairs[position] = (mine, _merge_two(theirs, value, _join(words, key.value), problems))
        return yaml.MappingNode(one.tag, pairs, one.start_mark, one.end_mark)
    if isinstance(one, yaml.SequenceNode) and isinstance(other, yaml.SequenceNode):
        return yaml.SequenceNode(one.tag, [*one.value, *other.value], one.start_mark, one.end_mark)
    if not (isinstance(one, yaml.ScalarNode) and isinstance(other, yaml.ScalarNode) and one.value == other.value):
        message = f"is said differently at {place_of(one)}"
        problems.append(problem_at(other, message, words, "say it in one file only"))
    return one


def _explain(error: ValidationError, document: Any) -> Iterator[tuple[Place, tuple[str, str]]]:
    """Each error once: of a union's members only the one that was meant."""
    seen: set[Place] = set()
    for item in error.errors(include_url=False):
        loc: Place = item["loc"]
        tag = next((index for index, part in enumerate(loc) if _is_tag(part, document, loc[:index])), None)
        if tag is not None:
            value, member = _value_at(document, loc[:tag]), loc[tag]
            if loc[:tag] in seen:
                continue
            if (isinstance(value, dict) and member == "str") or (isinstance(value, str) and member == "RegexRewrite"):
                continue
            if member == "str" and not isinstance(value, str):
                seen.add(loc[:tag])
                yield loc[:tag], ("must be a path template, or a mapping of regex and to", "")
                continue
            if str(member).startswith("literal") or member == "int":
                if str(member).startswith("literal"):
                    continue
                seen.add(loc[:tag])
                yield loc[:tag], ("must be a whole number or auto", "")
                continue
        yield loc, explain_error(item, Manifest)


def _is_tag(part: str | int, document: Any, before: Place) -> bool:
    if not isinstance(part, str) or not _UNION_TAG.fullmatch(part):
        return False
    value = _value_at(document, before)
    return not (isinstance(value, dict) and part in value)


def _value_at(document: Any, loc: Place) -> Any:
    value = document
    for part in loc:
        try:
            value = value["global" if part == "global_" else part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _words(place: Place) -> str:
    words = ""
    for part in place:
        words = _join(words, part)
    return words
