"""Metrics of every exchange, merged over the workers, on one port for Prometheus to scrape."""

from gatewright_prometheus.component import Scrape
from gatewright_prometheus.config import PrometheusSettings
from gatewright_prometheus.plugin import Prometheus
from gatewright_sdk import Plugin

plugin = Plugin("prometheus", filter=Prometheus, supervisor=Scrape, settings=PrometheusSettings)
