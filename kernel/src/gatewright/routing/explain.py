"""Which route takes a request, and why each of the others does not.

Goes through every route with the patterns and predicates that the table uses, without its index: slower,
and in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from gatewright.config.models import Route
from gatewright.routing.compiled import Alternative, CompiledMatch, Rank, compile_route
from gatewright.routing.pattern import host_of
from gatewright_sdk import ClientError, Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the router decides about a request.

    Attributes:
        winner: the name of the route that takes it; None where none does.
        params: of the winner's path pattern.
        upstream_path: what the winner sends; None where none wins or where the rewrite is refused.
        refusal: why the winner's rewrite is refused; empty where it is not.
        losers: the other routes, each with a reason, in the order in which they would be asked.
    """

    winner: str | None
    params: Mapping[str, str]
    upstream_path: str | None
    refusal: str
    losers: tuple[tuple[str, str], ...]


def explain(entries: Iterable[tuple[Route, T]], request: Request, client_ip: str) -> Explanation:
    """Why a request goes where it goes; no hook has seen it yet.

    Raises:
        ValueError: a route does not compile.
    """
    judged = (_judge(compile_route(route), request, client_ip) for route, _ in entries)
    verdicts = sorted(judged, key=lambda each: each.rank)
    winner = next((verdict for verdict in verdicts if not verdict.reason), None)
    losers = tuple((each.rank.name, each.reason or _lost_to(winner, each)) for each in verdicts if each is not winner)
    if winner is None:
        return Explanation(None, {}, None, "", losers)
    params = winner.alternative.path.match(request.path) or {}
    try:
        path = request.path if winner.alternative.rewrite is None else winner.alternative.rewrite(request.path, params)
    except ClientError as error:
        return Explanation(winner.rank.name, params, None, error.detail, losers)
    return Explanation(winner.rank.name, params, path, "", losers)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """One route on its own: the best of its alternatives that match, or why none takes the request."""

    alternative: Alternative
    reason: str

    @property
    def rank(self) -> Rank:
        return self.alternative.rank


def _judge(compiled: CompiledMatch, request: Request, client_ip: str) -> _Verdict:
    host = host_of(request.host)
    ordered = sorted(compiled.alternatives, key=lambda each: each.rank)
    on_host = [each for each in ordered if each.host.matches(host)]
    if not on_host:
        return _Verdict(ordered[0], _not_among(f"host {host}", [each.text for each in compiled.hosts]))
    on_path = [each for each in on_host if each.path.match(request.path) is not None]
    if not on_path:
        return _Verdict(on_host[0], _no_match(request.path, [each.text for each in compiled.paths]))
    refusals = (each.refusal(request, client_ip) for each in compiled.predicates if not each.test(request, client_ip))
    return _Verdict(on_path[0], next(refusals, ""))


def _not_among(what: str, wanted: list[str]) -> str:
    return f"{what} is not one of {', '.join(wanted)}"


def _no_match(path: str, patterns: list[str]) -> str:
    if len(patterns) == 1:
        return f"path {path} does not match {patterns[0]}"
    return f"path {path} matches none of {', '.join(patterns)}"


def _lost_to(winner: _Verdict | None, loser: _Verdict) -> str:
    assert winner is not None, "who takes the request and does not win has lost to somebody"
    mine, theirs = loser.rank, winner.rank
    if mine.priority != theirs.priority:
        return f"lower priority than {theirs.name!r}"
    return f"lost to {theirs.name!r} ({_advantage(theirs, mine)})"


def _advantage(theirs: Rank, mine: Rank) -> str:
    if theirs.host != mine.host:
        if theirs.host[0] == mine.host[0]:
            return "longer wildcard host"
        return "exact host" if theirs.host[0] == 0 else "more specific host"
    if theirs.path != mine.path:
        labels = ("exact path", "longer literal path", _KINDS[theirs.path[2]], "more literal characters in its path")
        return next(label for label, one, other in zip(labels, theirs.path, mine.path, strict=True) if one != other)
    return "more conditions" if theirs.predicates != mine.predicates else "name first in the alphabet"


#: By kind of path, as ``PathRank`` counts them.
_KINDS = ("regex before template and prefix", "template before prefix", "")
