"""The kernel's own errors. What reaches a client is in ``gatewright_sdk.errors``."""

from __future__ import annotations

from dataclasses import dataclass

from gatewright_sdk import GatewrightError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration, and where it stands.

    ``str()`` is ``FILE:LINE:COLUMN: KEY: MESSAGE; HINT``, less what is not known.
    """

    message: str
    key: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = ": ".join(part for part in (place, self.key, self.message) if part)
        return f"{text}; {self.hint}" if self.hint else text


class ConfigError(GatewrightError):
    """The configuration cannot be used. ``problems`` holds all that was found, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class StartError(GatewrightError):
    """The gateway cannot start or be reached; the message says why and what to do."""


def drop_tracebacks(error: BaseException | None) -> None:
    """Let go of the frames of an error, and of what caused it, that is kept with its exchange.

    A frame holds the exchange, and with it the config that it was routed by; the exchange holds the
    error: only the collector could undo that knot, and the worker asks it seldom.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
