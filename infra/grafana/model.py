"""Dashboards as Grafana reads them (its JSON model), from little more than queries and units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

COLUMNS = 24
HEIGHT = 8
SCHEMA = 41
WINDOW = "$__rate_interval"
_DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of PromQL, and what its lines are called (Grafana's `{{label}}`)."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines over time; `unit` is Grafana's ("s", "bytes", "short" and so on), `about` its help."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Rows of panels, each row as wide as the page."""

    uid: str
    title: str
    rows: tuple[tuple[Panel, ...], ...]

    @property
    def queries(self) -> list[Query]:
        """All queries of all panels."""
        return [query for row in self.rows for panel in row for query in panel.queries]

    def to_json(self) -> Json:
        """Return the document that Grafana imports."""
        panels: list[Json] = []
        for number, row in enumerate(self.rows):
            width = COLUMNS // len(row)
            for place, panel in enumerate(row):
                at = {"x": place * width, "y": number * HEIGHT, "w": width, "h": HEIGHT}
                panels.append(_panel(len(panels) + 1, panel, at))
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["penstock"],
            "schemaVersion": SCHEMA,
            "editable": True,
            "graphTooltip": 1,
            "time": {"from": "now-1h", "to": "now"},
            "refresh": "10s",
            "templating": {"list": [_datasource()]},
            "panels": panels,
        }


def _datasource() -> Json:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _panel(number: int, panel: Panel, at: Json) -> Json:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": at,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": _targets(panel.queries),
    }


def _targets(queries: Sequence[Query]) -> list[Json]:
    return [
        {
            "refId": chr(ord("A") + number),
            "datasource": _DATASOURCE,
            "expr": query.expression,
            "legendFormat": query.legend or "__auto",
            # A dot for each measurement whose trace is known, which links to it.
            "exemplar": "_bucket" in query.expression,
        }
        for number, query in enumerate(queries)
    ]
