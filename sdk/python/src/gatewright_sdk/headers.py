"""HTTP fields as they were sent: order and duplicates kept, names matched without case.

Inside, a field is a pair of ``bytes``; at the API it is text, decoded when somebody asks.
Text is ISO 8859-1, so that every byte a peer may send survives a round trip (RFC 9110 section 5.5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

RawField = tuple[bytes, bytes]
FieldSource = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]

# RFC 9110 section 5.6.2 (token) and 5.5 (field value without CR, LF, NUL and other controls).
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def encode_name(name: str | bytes) -> bytes:
    """The field name as bytes.

    Raises:
        ValueError: it is not a token (RFC 9110 section 5.6.2).
    """
    raw = name.encode("latin-1", "replace") if isinstance(name, str) else name
    if not _NAME.fullmatch(raw):
        raise ValueError(f"not a header name: {name!r}")
    return raw


def encode_value(value: str | bytes) -> bytes:
    """The field value as bytes, without surrounding white space.

    Raises:
        ValueError: it holds a control character or does not fit ISO 8859-1.
    """
    try:
        raw = value.encode("latin-1") if isinstance(value, str) else value
    except UnicodeEncodeError as error:
        raise ValueError(f"header value {value!r} holds characters outside ISO 8859-1") from error
    if not _VALUE.fullmatch(raw):
        raise ValueError(f"header value {value!r} holds a control character")
    return raw.strip(b" \t")


def _key(name: str | bytes) -> bytes:
    return (name if isinstance(name, bytes) else name.encode("latin-1", "replace")).lower()


def _comparable(raw: list[RawField]) -> list[RawField]:
    return [(name.lower(), value.rstrip(b" \t")) for name, value in raw]


class Headers:
    """An ordered multi-map of HTTP fields.

    >>> headers = Headers([("Accept", "text/html"), ("accept", "*/*")])
    >>> headers.get("ACCEPT"), headers.get_all("accept")
    ('text/html', ['text/html', '*/*'])

    Names and values given by a caller are checked, so a value with CR or LF raises ``ValueError``
    and never reaches the wire.
    """

    __slots__ = ("raw",)

    #: The fields as sent, for code that works on bytes; values may have white space behind them.
    #: Whoever appends here vouches for the bytes.
    raw: list[RawField]

    def __init__(self, fields: FieldSource = ()) -> None:
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        self.raw = [(encode_name(name), encode_value(value)) for name, value in pairs]

    @classmethod
    def from_raw(cls, raw: list[RawField]) -> Headers:
        """Wrap pairs that a codec has checked already. The list is kept, not copied."""
        headers = cls.__new__(cls)
        headers.raw = raw
        return headers

    def copy(self) -> Headers:
        return Headers.from_raw(self.raw.copy())

    def get_bytes(self, name: bytes) -> bytes | None:
        """The first value of ``name``, which must be lower case, undecoded."""
        size = len(name)
        for field, value in self.raw:
            if len(field) == size and (field == name or field.lower() == name):
                return value.rstrip(b" \t")
        return None

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of ``name``."""
        value = self.get_bytes(_key(name))
        return default if value is None else value.decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        """Every value of ``name``, in the order sent."""
        key = _key(name)
        return [value.rstrip(b" \t").decode("latin-1") for field, value in self.raw if field.lower() == key]

    def get_list(self, name: str) -> list[str]:
        """The members of a comma-separated field (RFC 9110 section 5.6.1), over all its lines."""
        members = (part.strip(" \t") for value in self.get_all(name) for part in value.split(","))
        return [member for member in members if member]

    def set(self, name: str | bytes, value: str | bytes) -> None:
        """Make ``value`` the only one of ``name``; a field that exists keeps its place."""
        pair = (encode_name(name), encode_value(value))
        key = pair[0].lower()
        size = len(key)
        raw = self.raw
        for index, (field, _) in enumerate(raw):
            if len(field) == size and field.lower() == key:
                raw[index] = pair
                if index + 1 < len(raw):
                    raw[index + 1 :] = [rest for rest in raw[index + 1 :] if rest[0].lower() != key]
                return
        raw.append(pair)

    def add(self, name: str | bytes, value: str | bytes) -> None:
        """Add one more line, whatever is there."""
        self.raw.append((encode_name(name), encode_value(value)))

    def setdefault(self, name: str, value: str | bytes) -> None:
        """Add the field if it is absent."""
        if name not in self:
            self.add(name, value)

    def remove(self, name: str | bytes) -> bool:
        """Remove every line of ``name``; says whether there was one."""
        key = _key(name)
        size = len(key)
        raw = self.raw
        for field, _ in raw:
            if len(field) == size and field.lower() == key:
                raw[:] = [pair for pair in raw if pair[0].lower() != key]
                return True
        return False

    def rename(self, old: str, new: str) -> bool:
        """Give every line of ``old`` the name ``new``, in place; says whether there was one."""
        key, name = _key(old), encode_name(new)
        found = False
        for index, (field, value) in enumerate(self.raw):
            if field.lower() == key:
                self.raw[index] = (name, value)
                found = True
        return found

    def add_vary(self, *names: str) -> None:
        """Name fields in ``Vary`` unless they are there, or it is ``*`` (RFC 9110 section 12.5.5)."""
        present = [member.lower() for member in self.get_list("vary")]
        if "*" in present:
            return
        missing = [name for name in names if name.lower() not in present]
        if missing:
            self.set("Vary", ", ".join([*self.get_list("vary"), *missing]))

    def items(self) -> Iterator[tuple[str, str]]:
        """All lines as text, in the order sent, names as sent."""
        for name, value in self.raw:
            yield name.decode("latin-1"), value.rstrip(b" \t").decode("latin-1")

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        if not self.remove(name):
            raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str | bytes) and self.get_bytes(_key(name)) is not None

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name, _ in self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return _comparable(self.raw) == _comparable(other.raw)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({list(self.items())!r})"
