"""The part beside the control plane: one scrape port for all workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gatewright_prometheus.config import PrometheusSettings
from gatewright_sdk import PluginContext, PluginError

if TYPE_CHECKING:
    from gatewright_prometheus.exposition import ScrapeServer


class Scrape:
    """Serves what the workers have counted."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._settings = settings
        self._server: ScrapeServer | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.port

    async def start(self, context: PluginContext) -> None:
        # Here, because workers import this module too and have no memory to spare for prometheus_client.
        from gatewright_prometheus.exposition import ScrapeServer

        host, _, port = self._settings.bind.rpartition(":")
        try:
            self._server = ScrapeServer(host.strip("[]"), int(port), self._settings.path, context.run_dir)
        except OSError as error:
            raise PluginError(
                f"cannot serve metrics on {self._settings.bind}: {error.strerror}; set another bind in its settings"
            ) from error

    async def stop(self) -> None:
        if self._server is not None:
            await asyncio.to_thread(self._server.close)
            self._server = None
