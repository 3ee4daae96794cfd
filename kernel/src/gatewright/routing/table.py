"""The route table: from a request to the route that takes it.

A request is looked up in three steps, none of which depends on how many routes there are:

1. what was found for the same host and path lately (bounded, see ``_Recent``), else
2. an index of patterns: hosts by name and by suffix, and within a host exact paths by name, prefixes and
   templates in a tree of segments, regular expressions by the text that they start with. It yields the
   patterns that may match; the patterns themselves say which do, and their ranks say in which order;
3. of these, in order, the first whose predicates (methods, headers, ...) hold.

The order is: explicit priority; exact host, longer wildcard, shorter wildcard, any host; exact path, longer
literal start, regex before template before prefix, more literal characters; more predicates; name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from gatewright.config.models import Route
from gatewright.routing.compiled import Alternative, CompiledMatch, Rank, compile_route
from gatewright.routing.pattern import ExactPath, HostPattern, PathPattern, PrefixPath, TemplatePath, host_of
from gatewright.routing.predicate import Test
from gatewright.routing.rewrite import Rewrite
from gatewright_sdk import Request

__all__ = ["CompiledMatch", "Found", "RouteTable", "TableBuilder", "compile_route"]

T = TypeVar("T")

#: What is remembered of recent requests: so many hosts and paths (times two), none longer than this.
RECENT_AT_LEAST = 2_048
RECENT_AT_MOST = 16_384
RECENT_HOST_LENGTH = 256
RECENT_PATH_LENGTH = 256


class Found(Generic[T]):
    """A route that takes a request. Shared between requests, and not to be changed.

    Attributes:
        value: what the table was given with the route.
        params: of the path pattern, still percent-encoded; read-only.
        rewrite: gives the upstream's path from the request's path and parameters, and may raise
            ``ClientError``; None where the upstream gets the path as it is.
    """

    __slots__ = ("params", "rewrite", "value")

    def __init__(self, value: T, params: Mapping[str, str], rewrite: Rewrite | None) -> None:
        self.value = value
        self.params = params
        self.rewrite = rewrite


# What is in a row is read for every request, so these are plain tuples.
_Candidate = tuple[Found[T], tuple[Test, ...]]
_Candidates = tuple[_Candidate[T], ...]
_Key = tuple[str, str]


class RouteTable(Generic[T]):
    """Finds the route of a request. Made by a ``TableBuilder``."""

    __slots__ = ("_index", "_recent")

    def __init__(self, index: _Index[T], size: int) -> None:
        self._index = index
        self._recent: _Recent[T] = _Recent(max(RECENT_AT_LEAST, min(size, RECENT_AT_MOST)))

    def match(self, request: Request, client_ip: str) -> Found[T] | None:
        """The route that takes a request, by its host (less the port), path and whatever else was asked for."""
        key = request.host, request.path
        recent = self._recent
        candidates = recent.young.get(key)
        if candidates is None:
            candidates = recent.old.get(key)
            if candidates is None:
                candidates = _candidates(self._index.entries(*key), key[1])
            recent.note(key, candidates)
        for found, tests in candidates:
            for test in tests:
                if not test(request, client_ip):
                    break
            else:
                return found
        return None


class TableBuilder(Generic[T]):
    """Collects routes, one cheap ``add`` at a time, so that the caller can spread them over time."""

    __slots__ = ("_index", "_size")

    def __init__(self) -> None:
        self._index: _Index[T] = _Index()
        self._size = 0

    def add(self, route: Route, value: T, compiled: CompiledMatch | None = None) -> None:
        """Add a route. Its name must be its own; ``compiled`` is what ``compile_route`` made of it.

        Raises:
            ValueError: as ``compile_route``, where ``compiled`` is not given.
        """
        match = compile_route(route) if compiled is None else compiled
        for alternative in match.alternatives:
            self._index.add(_Entry(alternative, value, match.tests), alternative.host)
            self._size += 1

    def finish(self) -> RouteTable[T]:
        """The table. The builder must not be used any more."""
        return RouteTable(self._index, self._size)


class _Recent(Generic[T]):
    """The candidates of recent hosts and paths, in two generations.

    When the young generation is full it becomes the old one, and the old one is forgotten. What is asked
    for again in between moves back to the young one, so a flood of different paths costs a path that is
    in use nothing but that move. Long hosts and paths are never noted.
    """

    __slots__ = ("_size", "old", "young")

    def __init__(self, size: int) -> None:
        self._size = size
        self.young: dict[_Key, _Candidates[T]] = {}
        self.old: dict[_Key, _Candidates[T]] = {}

    def note(self, key: _Key, candidates: _Candidates[T]) -> None:
        if len(key[0]) > RECENT_HOST_LENGTH or len(key[1]) > RECENT_PATH_LENGTH:
            return
        if len(self.young) >= self._size:
            self.old, self.young = self.young, {}
        self.young[key] = candidates


class _Entry(Generic[T]):
    """One alternative of a route in the index."""

    __slots__ = ("path", "rank", "rewrite", "tests", "value")

    def __init__(self, alternative: Alternative, value: T, tests: tuple[Test, ...]) -> None:
        self.rank, _, self.path, self.rewrite = alternative
        self.value = value
        self.tests = tests


_Entries = list[_Entry[T]]


def _candidates(entries: _Entries[T], path: str) -> _Candidates[T]:
    """Those of some entries that match, in order, up to the first that takes every request."""
    candidates: list[_Candidate[T]] = []
    if len(entries) > 1:
        entries.sort(key=_rank_of)
    for entry in entries:
        params = entry.path.match(path)
        if params is not None:
            candidates.append((Found(entry.value, params, entry.rewrite), entry.tests))
            if not entry.tests:
                break
    return tuple(candidates)


def _rank_of(entry: _Entry[T]) -> Rank:
    return entry.rank


class _Index(Generic[T]):
    """Entries by host."""

    __slots__ = ("_any", "_exact", "_suffix_labels", "_suffixes")

    def __init__(self) -> None:
        self._exact: dict[str, _Paths[T]] = {}
        self._suffixes: dict[str, _Paths[T]] = {}
        self._suffix_labels = 0
        self._any: _Paths[T] = _Paths()

    def add(self, entry: _Entry[T], host: HostPattern) -> None:
        paths = self._any
        if host.is_exact:
            paths = self._exact.get(host.text) or self._exact.setdefault(host.text, _Paths())
        elif host.suffix:
            paths = self._suffixes.get(host.suffix) or self._suffixes.setdefault(host.suffix, _Paths())
            self._suffix_labels = max(self._suffix_labels, host.suffix.count("."))
        paths.add(entry)

    def entries(self, authority: str, path: str) -> _Entries[T]:
        """Those whose host matches and whose path may."""
        found: _Entries[T] = []
        host = host_of(authority)
        exact = self._exact.get(host)
        if exact is not None:
            exact.collect(path, found)
        # No further left than the longest wildcard reaches, however many labels a client sends.
        end = len(host)
        for _ in range(self._suffix_labels):
            end = host.rfind(".", 0, end)
            if end <= 0:
                break
            paths = self._suffixes.get(host[end:])
            if paths is not None:
                paths.collect(path, found)
        self._any.collect(path, found)
        return found


class _Paths(Generic[T]):
    """The entries of one host pattern, by path."""

    __slots__ = ("_depth", "_exact", "_regex_lengths", "_regexes", "_root")

    def __init__(self) -> None:
        self._exact: dict[str, _Entries[T]] = {}
        self._root: _Node[T] | None = None
        self._depth = 0
        self._regexes: dict[str, _Entries[T]] = {}
        self._regex_lengths: tuple[int, ...] = ()

    def add(self, entry: _Entry[T]) -> None:
        path = entry.path
        if isinstance(path, ExactPath):
            self._exact.setdefault(path.literal, []).append(entry)
        elif isinstance(path, PrefixPath | TemplatePath):
            self._add_to_tree(entry, path)
        else:
            self._add_regex(entry, path)

    def _add_to_tree(self, entry: _Entry[T], path: PrefixPath | TemplatePath) -> None:
        node = self._root
        if node is None:
            node = self._root = _Node()
        for segment in path.segments:
            node = node.child(segment)
        (node.below if path.is_open else node.here).append(entry)
        self._depth = max(self._depth, len(path.segments))

    def _add_regex(self, entry: _Entry[T], path: PathPattern) -> None:
        self._regexes.setdefault(path.literal, []).append(entry)
        if len(path.literal) not in self._regex_lengths:
            self._regex_lengths = (*self._regex_lengths, len(path.literal))

    def collect(self, path: str, found: _Entries[T]) -> None:
        """Add the entries whose pattern may match."""
        exact = self._exact.get(path)
        if exact is not None:
            found += exact
        if self._root is not None:
            self._collect_from_tree(self._root, path.split("/", self._depth + 1), found)
        for length in self._regex_lengths:
            regexes = self._regexes.get(path[:length])
            if regexes is not None and length <= len(path):
                found += regexes

    def _collect_from_tree(self, root: _Node[T], segments: list[str], found: _Entries[T]) -> None:
        found += root.below
        nodes = [root]
        for segment in segments[1:]:
            following: list[_Node[T]] = []
            for node in nodes:
                child = node.children.get(segment)
                if child is not None:
                    following.append(child)
                    found += child.below
                if node.parameter is not None:
                    following.append(node.parameter)
                    found += node.parameter.below
            if not following:
                return
            nodes = following
        for node in nodes:
            found += node.here


class _Node(Generic[T]):
    """A segment of prefixes and templates.

    Attributes:
        below: entries that match whatever follows.
        here: entries that match where nothing follows.
        parameter: the next segment where it has a parameter.
    """

    __slots__ = ("below", "children", "here", "parameter")

    def __init__(self) -> None:
        self.below: _Entries[T] = []
        self.here: _Entries[T] = []
        self.children: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None

    def child(self, segment: str | None) -> _Node[T]:
        if segment is None:
            if self.parameter is None:
                self.parameter = _Node()
            return self.parameter
        return self.children.get(segment) or self.children.setdefault(segment, _Node())
