"""Sockets and codecs on the client's side."""

from gatewright.listener.server import Server

__all__ = ["Server"]
