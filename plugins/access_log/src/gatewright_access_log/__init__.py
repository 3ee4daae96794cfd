"""The access log: one JSON line for each exchange, written off the request's path."""

from gatewright_access_log.plugin import AccessLog
from gatewright_sdk import Plugin

plugin = Plugin("access-log", filter=AccessLog)
