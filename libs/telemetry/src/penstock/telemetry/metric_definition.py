"""What there is to say of a metric before anything is measured, and what Prometheus calls it."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a metric is: which instrument of OpenTelemetry, and so which type Prometheus sees."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric. `boundaries` are a histogram's, `services` those that tell it ("*": all)."""

    name: str
    kind: Kind
    unit: str
    description: str
    services: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """Return the name of its family on `/metrics`: without `_total`, `_bucket` and the like."""
        return prometheus_name(self.name, self.unit)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return what its attributes are called on `/metrics`."""
        return tuple(prometheus_label(name) for name in self.attributes)


_UNITS = {"s": "seconds", "By": "bytes"}
_UNFIT = re.compile(r"[^a-zA-Z0-9_]+")


def prometheus_unit(unit: str) -> str:
    """Return Prometheus's word for a unit; "" for counts (`{record}`) and for 1, a yes or no here."""
    return _UNITS.get(unit, "")


def prometheus_name(name: str, unit: str) -> str:
    """Return a metric's name by OpenTelemetry's rules for Prometheus, with its unit at the end."""
    plain, word = _UNFIT.sub("_", name), prometheus_unit(unit)
    return plain if not word or plain.endswith(f"_{word}") else f"{plain}_{word}"


def prometheus_label(name: str) -> str:
    """Return an attribute's name as a label."""
    return _UNFIT.sub("_", name)
