"""A route's ``match``, compiled: what is costly to make and does not depend on the other routes."""

from __future__ import annotations

from typing import NamedTuple

from gatewright.config.models import Route
from gatewright.routing.pattern import HostPattern, HostRank, PathPattern, PathRank, parse_path
from gatewright.routing.predicate import Predicate, Test, make_predicates
from gatewright.routing.rewrite import Rewrite, make_rewrite


class Rank(NamedTuple):
    """A match's place among others for the same request; the smaller goes first.

    It depends on the two routes that are compared and on nothing else, so neither the order in which
    routes are defined nor a third route changes which of two wins.
    """

    #: the negated ``priority``
    priority: int
    host: HostRank
    path: PathRank
    #: the negated number of methods, headers, query, clients and schemes that the route asks for
    predicates: int
    name: str


class Alternative(NamedTuple):
    """One of a route's hosts with one of its paths."""

    rank: Rank
    host: HostPattern
    path: PathPattern
    rewrite: Rewrite | None


class CompiledMatch:
    """What of a route's ``match`` and ``rewrite`` runs. May be used in any number of tables.

    Attributes:
        hosts: as given; any host where none is.
        paths: as given.
        alternatives: every host with every path.
        tests: the predicates' tests.
    """

    __slots__ = ("alternatives", "hosts", "name", "paths", "predicates", "tests")

    def __init__(self, route: Route) -> None:
        self.name = route.name
        self.hosts = tuple(HostPattern(text) for text in route.match.hosts or ("*",))
        self.paths = tuple(parse_path(text) for text in route.match.paths)
        self.predicates: tuple[Predicate, ...] = make_predicates(route.match)
        self.tests: tuple[Test, ...] = tuple(predicate.test for predicate in self.predicates)
        rewrites = [make_rewrite(route, path) for path in self.paths]
        asked = -len(self.predicates)
        self.alternatives = tuple(
            Alternative(Rank(-route.priority, host.rank, path.rank, asked, route.name), host, path, rewrite)
            for host in self.hosts
            for path, rewrite in zip(self.paths, rewrites, strict=True)
        )


def compile_route(route: Route) -> CompiledMatch:
    """Compile a route's ``match`` and ``rewrite``.

    Raises:
        ValueError: a pattern, a header or the rewrite cannot be used; the message says which and why.
    """
    return CompiledMatch(route)
