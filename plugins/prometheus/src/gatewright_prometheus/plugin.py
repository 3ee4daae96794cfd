"""The filter: counts."""

from __future__ import annotations

from gatewright_prometheus.config import PrometheusConfig, PrometheusSettings
from gatewright_prometheus.totals import Totals
from gatewright_sdk import Exchange, Filter, Phase, PluginContext


class Prometheus(Filter[PrometheusConfig]):
    """Counts exchanges, bytes and durations by route."""

    phase = Phase.EDGE
    on_failure = "open"
    _totals: Totals

    def start(self, context: PluginContext) -> None:
        settings = context.settings
        assert isinstance(settings, PrometheusSettings)
        bounds, max_routes = tuple(settings.buckets), settings.max_routes
        self._totals = context.shared(
            (bounds, max_routes), lambda: Totals(context.run_dir, context.worker, bounds, max_routes), Totals.close
        )

    def on_request(self, exchange: Exchange) -> None:
        self._totals.begin(exchange)

    def on_complete(self, exchange: Exchange) -> None:
        self._totals.end(exchange)
