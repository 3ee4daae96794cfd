"""Changes of requests and responses: headers, query, path and JSON bodies, streams of events included."""

from gatewright_sdk import Plugin
from gatewright_transform.plugin import Transform

plugin = Plugin("transform", filter=Transform)
