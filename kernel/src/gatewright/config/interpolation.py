"""``${env:NAME}``, ``${env:NAME:-default}`` and ``${file:PATH}`` in the values of a manifest."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

#: Bytes of a file that ``${file:PATH}`` may read.
MAX_FILE = 1 << 20
_EXPRESSION = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unresolved(ValueError):
    """An expression stands for nothing. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Interpolator:
    """Resolves expressions.

    Attributes:
        files: every file that was read.
        values: what was put in, to the expression it came from, so that it can be kept out of messages.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.files: list[Path] = []
        self.values: dict[str, str] = {}

    def expand(self, text: str, folder: Path) -> tuple[str, bool]:
        """The text with every expression replaced, and whether it was one expression and nothing else.

        Raises:
            Unresolved: an expression cannot be resolved; it is never left as it is.
        """
        found = _EXPRESSION.fullmatch(text)
        is_whole = found is not None and found[1] is not None
        return _EXPRESSION.sub(lambda each: self._replace(each, folder), text), is_whole

    def _replace(self, found: re.Match[str], folder: Path) -> str:
        if found[0] == "$${":
            return "${"
        if found[1] is None:
            raise Unresolved("'${' without a closing '}'", "write $${ for a literal ${")
        scheme, separator, rest = found[1].partition(":")
        if not separator or scheme not in ("env", "file"):
            near = difflib.get_close_matches(scheme, ("env", "file"), n=1)
            known = "write ${env:NAME} or ${file:PATH}, $${ for a literal ${"
            hint = f"did you mean '${{{near[0]}:…}}'?" if near else known
            raise Unresolved(f"{found[0]!r} names no source of values", hint)
        value = self._variable(found[0], rest) if scheme == "env" else self._file(found[0], rest, folder)
        self.values[value] = found[0]
        return value

    def _variable(self, expression: str, rest: str) -> str:
        name, separator, default = rest.partition(":-")
        if not _NAME.fullmatch(name):
            raise Unresolved(f"{expression!r} names no variable", "write ${env:NAME} or ${env:NAME:-default}")
        value = self._env.get(name)
        if value:
            return value
        if separator:
            return default
        if value is not None:
            return value
        near = difflib.get_close_matches(name, self._env, n=1)
        hint = f"did you mean {near[0]}?" if near else f"set it, or write ${{env:{name}:-default}}"
        raise Unresolved(f"the environment has no variable {name}", hint)

    def _file(self, expression: str, rest: str, folder: Path) -> str:
        path = folder / rest
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE + 1)
        except OSError as error:
            raise Unresolved(f"{expression!r}: cannot read {path}: {error.strerror}") from error
        self.files.append(path)
        if len(data) > MAX_FILE:
            raise Unresolved(f"{expression!r}: {path} is larger than {MAX_FILE} bytes")
        try:
            return data.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise Unresolved(f"{expression!r}: {path} is not UTF-8") from error
