"""Content codings (RFC 9110 section 8.4.1): decoded within bounds, encoded again as they were."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

import brotli
import zstandard


class UnknownCoding(ValueError):
    """A coding that is not gzip, deflate, br, zstd or identity."""


class Undecodable(ValueError):
    """The bytes are not in that coding."""


class TooLarge(ValueError):
    """The decoded bytes are more than the limit."""


class Decoder(Protocol):
    """Decodes a stream piece by piece."""

    def decode(self, data: bytes, limit: int) -> bytes: ...


class Encoder(Protocol):
    """Encodes a stream; each piece can be decoded as soon as it has come."""

    def encode(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class _Zlib:
    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._stream = zlib.decompressobj(wbits)

    def decode(self, data: bytes, limit: int) -> bytes:
        decoded = self._stream.decompress(data, limit + 1)
        while self._stream.eof and self._stream.unused_data and len(decoded) <= limit:
            # Another member follows (RFC 1952 section 2.2).
            rest = self._stream.unused_data
            self._stream = zlib.decompressobj(self._wbits)
            decoded += self._stream.decompress(rest, limit + 1 - len(decoded))
        return decoded


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def decode(self, data: bytes, limit: int) -> bytes:
        decoded: bytes = self._stream.process(data, output_buffer_limit=limit + 1)
        while len(decoded) <= limit and not self._stream.can_accept_more_data():
            decoded += self._stream.process(b"", output_buffer_limit=limit + 1)
        return decoded


class _Zstandard:
    # A window beyond 8 MiB is none that a decoder has to support (RFC 8878 section 3.1.1.1.2).
    _WINDOW = 8 << 20

    def __init__(self) -> None:
        self._written = bytearray()
        self._limit = 0
        self._stream = zstandard.ZstdDecompressor(max_window_size=self._WINDOW).stream_writer(
            self,  # type: ignore[arg-type]  # all that is called is write
            closefd=False,
            write_size=16384,
        )

    def write(self, data: bytes) -> int:
        self._written += data
        if len(self._written) > self._limit:
            raise TooLarge
        return len(data)

    def decode(self, data: bytes, limit: int) -> bytes:
        self._limit = limit
        self._stream.write(data)
        decoded = bytes(self._written)
        self._written.clear()
        return decoded


class _ZlibEncoder:
    def __init__(self, wbits: int) -> None:
        self._stream = zlib.compressobj(6, zlib.DEFLATED, wbits)

    def encode(self, data: bytes) -> bytes:
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush()


class _BrotliEncoder:
    def __init__(self) -> None:
        self._stream = brotli.Compressor(quality=4)

    def encode(self, data: bytes) -> bytes:
        encoded: bytes = self._stream.process(data) + self._stream.flush()
        return encoded

    def finish(self) -> bytes:
        finished: bytes = self._stream.finish()
        return finished


class _ZstandardEncoder:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(level=3).compressobj()

    def encode(self, data: bytes) -> bytes:
        return self._stream.compress(data) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._stream.flush()


_GZIP, _DEFLATE = 31, 15
_DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: _Zlib(_GZIP),
    "x-gzip": lambda: _Zlib(_GZIP),
    "deflate": lambda: _Zlib(_DEFLATE),
    "br": _Brotli,
    "zstd": _Zstandard,
}
_ENCODERS: dict[str, Callable[[], Encoder]] = {
    "gzip": lambda: _ZlibEncoder(_GZIP),
    "x-gzip": lambda: _ZlibEncoder(_GZIP),
    "deflate": lambda: _ZlibEncoder(_DEFLATE),
    "br": _BrotliEncoder,
    "zstd": _ZstandardEncoder,
}


class Codec:
    """The codings of one body, in the order in which they were applied.

    Raises:
        UnknownCoding: one of them is not known.
    """

    def __init__(self, codings: Sequence[str]) -> None:
        names = [name.lower() for name in codings if name.lower() != "identity"]
        for name in names:
            if name not in _DECODERS:
                raise UnknownCoding(name)
        self._decoders = [_DECODERS[name]() for name in reversed(names)]
        self._encoders = [_ENCODERS[name]() for name in names]

    def decode(self, data: bytes, limit: int) -> bytes:
        """The next piece, decoded.

        Raises:
            TooLarge: more than ``limit`` bytes come out of it.
            Undecodable: it is not in the coding that it claims.
        """
        for decoder in self._decoders:
            try:
                data = decoder.decode(data, limit)
            except TooLarge:
                raise
            except (zlib.error, brotli.error, zstandard.ZstdError) as error:
                raise Undecodable(str(error)) from error
            if len(data) > limit:
                raise TooLarge
        return data

    def encode(self, data: bytes) -> bytes:
        """The next piece, encoded and flushed."""
        if not data:
            return b""
        for encoder in self._encoders:
            data = encoder.encode(data)
        return data

    def finish(self) -> bytes:
        """The end of the stream."""
        data = b""
        for encoder in self._encoders:
            data = (encoder.encode(data) if data else b"") + encoder.finish()
        return data

    def whole(self, data: bytes) -> bytes:
        """A whole body, encoded."""
        return self.encode(data) + self.finish()
