"""Cross-origin resource sharing as the Fetch standard has it."""

from gatewright_cors.plugin import Cors
from gatewright_sdk import Plugin

plugin = Plugin("cors", filter=Cors)
