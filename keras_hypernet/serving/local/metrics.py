"""Metrics for Prometheus at TensorFlow Serving's path, two of them with TensorFlow Serving's names and labels."""

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

_COUNT = ":tensorflow:serving:request_count"


class Metrics:
    """Counts the requests of an `Engine`, and reads its state when Prometheus requests the metrics."""

    def __init__(self, engine):
        self._engine, self.registry = engine, prometheus_client.CollectorRegistry()
        self._count = prometheus_client.Counter(
            _COUNT, "Requests by result.", ["model_name", "status"], registry=self.registry
        )
        self._latency = prometheus_client.Histogram(
            ":tensorflow:serving:request_latency",
            "Duration of a request, in microseconds.",
            ["model_name", "API", "entrypoint"],
            buckets=[10.0 * 1.8**power for power in range(33)],  # TensorFlow Serving's
            registry=self.registry,
        )
        self.registry.register(self)
        prometheus_client.ProcessCollector(registry=self.registry)

    def count(self, model, protocol, code, seconds):
        if model not in self._engine.repository.names():
            model = ""  # clients can invent any number of names
        self._count.labels(model, code).inc()
        self._latency.labels(model, "Predict", protocol.upper()).observe(1e6 * seconds)

    def page(self):
        """The page that Prometheus reads, as bytes, and its media type."""
        # prometheus-client adds _total to the names of counters; TensorFlow Serving does not.
        page = prometheus_client.generate_latest(self.registry).replace(f"{_COUNT}_total".encode(), _COUNT.encode())
        return page, prometheus_client.CONTENT_TYPE_LATEST

    def collect(self):
        """The metrics of the engine's state; prometheus-client calls this method."""
        cache = self._engine.cache
        asked = cache.hits + cache.misses
        counter, gauge = CounterMetricFamily, GaugeMetricFamily
        for family, name, what, value in (
            (counter, "weight_cache_hits", "Conditions whose weights were in the cache.", cache.hits),
            (counter, "weight_cache_misses", "Conditions whose weights were not in the cache.", cache.misses),
            (gauge, "weight_cache_hit_rate", "Hits of all look-ups.", cache.hits / asked if asked else 0),
            (gauge, "weight_cache_bytes", "Size of the cached weights.", cache.num_bytes),
            (gauge, "weight_cache_entries", "Conditions in the cache.", len(cache)),
            (gauge, "requests_running", "Running requests.", len(self._engine.running)),
            (gauge, "body_bytes", "Size of the bodies of REST requests.", self._engine.buffered.num_bytes),
        ):
            yield family(f"keras_hypernet_{name}", what, value=value)
        states = gauge("keras_hypernet_model_version_available", "1 if it is served.", labels=["model_name", "version"])
        for model, versions in self._engine.repository.states().items():
            for version, state, _ in versions:
                states.add_metric([model, str(version)], float(state == "AVAILABLE"))
        yield states
