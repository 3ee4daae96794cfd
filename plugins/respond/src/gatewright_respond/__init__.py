"""Answers without an upstream: fixed responses, redirects, maintenance, and pages in place of errors."""

from gatewright_respond.plugin import Respond
from gatewright_sdk import Plugin

plugin = Plugin("respond", filter=Respond)
