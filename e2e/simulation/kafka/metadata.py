"""What one client knows of topics: their partitions as they were when it last asked."""

from __future__ import annotations

from e2e.simulation.kafka.cluster import Cluster


class Metadata:
    """Asks again when what it knows is older than the cluster's `metadata_s` (metadata.max.age.ms)."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._counts: dict[str, int] = {}
        self._due = 0.0

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, as far as this client knows; 0 if there is none."""
        cluster = self._cluster
        if cluster.time.now >= self._due:
            self._counts.clear()
            self._due = cluster.time.now + cluster.metadata_s
        if not self._counts.get(topic):
            self._counts[topic] = cluster.partitions(topic)
        return self._counts[topic]
