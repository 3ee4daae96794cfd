"""A request id: one name for an exchange at the client, in the logs and at the upstream."""

from gatewright_request_id.plugin import RequestId
from gatewright_sdk import Plugin

plugin = Plugin("request-id", filter=RequestId)
