"""Metrics: what Prometheus reads, at TensorFlow Serving's path, two of them under its names and with its labels."""

_COUNT = ":tensorflow:serving:request_count"


class Metrics:
    """Counts requests, and reads the state of an engine when it is asked.

    Args:
        engine: The `Engine`.
    """

    def __init__(self, engine):
        from prometheus_client import CollectorRegistry, Histogram, ProcessCollector

        self._engine, self._counts = engine, {}
        self.registry = CollectorRegistry()
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Time that a request took, in microseconds.",
            ["model_name", "API", "entrypoint"],
            buckets=[10.0 * 1.8**power for power in range(33)],  # TensorFlow Serving's
            registry=self.registry,
        )
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def count(self, model, protocol, code, seconds):
        """Counts a request."""
        if model not in self._engine.repository.names():
            model = ""  # of names that anyone may invent there would be no end
        self._counts[model, code] = self._counts.get((model, code), 0) + 1
        self._latency.labels(model, "Predict", protocol.upper()).observe(1e6 * seconds)

    def page(self):
        """The page that Prometheus reads, as bytes, and its media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        page = generate_latest(self.registry)
        # prometheus-client ends the names of counters so, where it describes them; TensorFlow Serving does not.
        return page.replace(f"{_COUNT}_total".encode(), _COUNT.encode()), CONTENT_TYPE_LATEST

    def collect(self):
        """The metrics that are not histograms; prometheus-client calls this."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

        requests = Metric(_COUNT, "Requests, by how they ended.", "counter")
        for (model, code), number in list(self._counts.items()):
            requests.add_sample(_COUNT, {"model_name": model, "status": code}, number)
        yield requests
        cache = self._engine.cache
        for name, what, value in (
            ("hits", "Conditions whose weights were found in the cache.", cache.hits),
            ("misses", "Conditions whose weights were not.", cache.misses),
        ):
            yield CounterMetricFamily(f"keras_hypernet_weight_cache_{name}", what, value=value)
        asked = cache.hits + cache.misses
        gauge = GaugeMetricFamily
        yield gauge("keras_hypernet_weight_cache_hit_rate", "Of all.", value=cache.hits / asked if asked else 0)
        yield gauge("keras_hypernet_weight_cache_bytes", "What the kept weights take.", value=cache.num_bytes)
        yield gauge("keras_hypernet_weight_cache_entries", "Conditions that are kept.", value=len(cache))
        yield gauge("keras_hypernet_requests_running", "Requests that are worked on.", value=self._engine.running)
        yield gauge(
            "keras_hypernet_body_bytes", "What their bodies by REST take.", value=self._engine.admission.buffered
        )
        states = gauge("keras_hypernet_model_version_available", "1 if it is served.", labels=["model_name", "version"])
        for model, version, state, _ in self._engine.repository.states():
            states.add_metric([model, str(version)], float(state == "AVAILABLE"))
        yield states
