"""One request's whole journey."""

from gatewright.dispatch.journey import Journey, Stream, Traffic

__all__ = ["Journey", "Stream", "Traffic"]
