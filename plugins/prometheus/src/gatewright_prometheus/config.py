"""What an operator may say about metrics."""

from __future__ import annotations

from pydantic import Field, field_validator

from gatewright_sdk import PluginConfig

BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]


class PrometheusConfig(PluginConfig):
    """An attachment has no options: what it counts is the same everywhere."""


class PrometheusSettings(PluginConfig):
    """Options of the plugin as a whole."""

    bind: str = Field("127.0.0.1:9464", description="HOST:PORT where metrics are scraped.")
    path: str = Field("/metrics", pattern=r"^/\S*$", description="Path where metrics are scraped.")
    buckets: list[float] = Field(
        BUCKETS, min_length=1, max_length=50, description="Upper bounds of the histograms, in seconds, ascending."
    )
    max_routes: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Routes with series of their own in each worker; what the others do is counted under route _other.",
    )

    @field_validator("bind")
    @classmethod
    def _bind(cls, value: str) -> str:
        host, separator, port = value.rpartition(":")
        if not separator or not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{value!r} is not an address; write HOST:PORT, e.g. 127.0.0.1:9464")
        return value

    @field_validator("buckets")
    @classmethod
    def _buckets(cls, values: list[float]) -> list[float]:
        if values != sorted(set(values)) or values[0] <= 0:
            raise ValueError("buckets must be above 0 and ascend")
        return values
