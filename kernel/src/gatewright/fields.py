"""Which fields go no further, for both directions of HTTP/1.1.

RFC 9110 section 7.6.1: fields that concern one connection are removed by an intermediary, and so are
those that ``Connection`` names.
"""

from __future__ import annotations

# What a codec does with a field. Plain integers, because an enum's member costs a look-up of its own
# for every field of every message; 0 is a field that just passes.
PLAIN = 0
HOST = 1
CONTENT_LENGTH = 2
TRANSFER_ENCODING = 3
CONNECTION = 4
EXPECT = 5
FORWARDED = 6
UPGRADE = 7
DROPPED = 8

_KINDS = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"x-forwarded-for": FORWARDED,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"x-forwarded-prefix": FORWARDED,
    b"x-real-ip": FORWARDED,
    b"forwarded": FORWARDED,
    b"upgrade": UPGRADE,
    b"keep-alive": DROPPED,
    b"proxy-connection": DROPPED,
    b"te": DROPPED,
    b"http2-settings": DROPPED,
}
_PLAIN = (
    b"accept", b"accept-encoding", b"accept-language", b"accept-ranges", b"age", b"authorization",
    b"cache-control", b"content-encoding", b"content-type", b"cookie", b"date", b"etag", b"expires",
    b"if-modified-since", b"if-none-match", b"last-modified", b"location", b"origin", b"referer",
    b"server", b"set-cookie", b"user-agent", b"vary", b"via", b"x-request-id", b"traceparent",
)  # fmt: skip


def _as_sent() -> dict[bytes, int]:
    """The names in the spellings that clients use, so that most look-ups need no lower-casing."""
    known: dict[bytes, int] = {}
    for name, kind in [*_KINDS.items(), *((name, PLAIN) for name in _PLAIN)]:
        for spelling in (name, name.title(), name.upper()):
            known[spelling] = kind
    known[b"TE"] = DROPPED
    known[b"ETag"] = PLAIN
    return known


#: Kind by name as sent; a name that is not here must be looked up by ``classify``.
KNOWN = _as_sent()

#: Names that a codec writes itself, so that what a hook puts into the list under them is dropped.
WRITTEN_BY_CODEC = frozenset(
    (
        b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection",
        b"te", b"upgrade",
    )
)  # fmt: skip


#: Names, as they are usually sent, that are none of these.
_HARMLESS = frozenset(name for name in KNOWN if name.lower() not in WRITTEN_BY_CODEC)

#: Values of ``Connection`` that name no field, as they are usually sent.
NAMES_NO_FIELD = frozenset((b"keep-alive", b"Keep-Alive", b"close", b"Close", b""))


def classify(name: bytes) -> int:
    """The kind of a name in any spelling."""
    return _KINDS.get(name.lower(), PLAIN)


def drop_named(fields: list[tuple[bytes, bytes]], connection: bytes) -> None:
    """Remove, in place, the fields that a ``Connection`` value names."""
    named = {token.strip(b" \t").lower() for token in connection.split(b",")}
    named -= {b"close", b"keep-alive", b""}
    if named:
        fields[:] = [field for field in fields if field[0].lower() not in named]


def has_token(value: bytes, token: bytes) -> bool:
    """Whether a comma-separated value has a member, compared without case."""
    return any(member.strip(b" \t").lower() == token for member in value.split(b","))


def without_codec_fields(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Fields that hooks may have touched, less those that only the codec may write."""
    for name, _ in fields:
        if name not in _HARMLESS and name.lower() in WRITTEN_BY_CODEC:
            return [field for field in fields if field[0].lower() not in WRITTEN_BY_CODEC]
    return fields
