"""Alerts and dashboards: every query names metrics and labels that there are, every alert leads somewhere."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.grafana import render
from infra.grafana.as_rules import as_rules
from infra.grafana.source import DASHBOARDS
from infra.promql import grouped_by, metrics_in
from penstock.telemetry.metric_catalog import METRICS
from penstock.telemetry.metric_definition import Kind, MetricDefinition

ROOT = Path(__file__).parents[2]
RULES: dict[str, Any] = yaml.safe_load((ROOT / "infra/prometheus/rules.yaml").read_text())
TESTS: dict[str, Any] = yaml.safe_load((ROOT / "infra/prometheus/rules_test.yaml").read_text())
ALL_RULES: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL_RULES if "alert" in rule]
SCRAPED = {"instance", "job"}
"""Labels that Prometheus itself adds."""


def series_of(metric: MetricDefinition) -> Iterator[tuple[str, set[str]]]:
    """Yield the series that a metric has, each with its labels."""
    labels = {*metric.labels, *SCRAPED}
    if metric.kind is Kind.HISTOGRAM:
        yield f"{metric.prometheus}_bucket", labels | {"le"}
        yield f"{metric.prometheus}_count", labels
        yield f"{metric.prometheus}_sum", labels
    else:
        yield metric.prometheus + ("_total" if metric.kind is Kind.COUNTER else ""), labels


SERIES = dict(pair for metric in METRICS for pair in series_of(metric))
RECORDED = {rule["record"]: set[str]() for rule in ALL_RULES if "record" in rule}
QUERIES = [(rule.get("alert") or rule["record"], str(rule["expr"])) for rule in ALL_RULES] + [
    (board.uid, query.expression) for board in DASHBOARDS for query in board.queries
]


@pytest.mark.parametrize(("where", "expression"), QUERIES)
def test_every_query_names_declared_metrics_and_labels(where: str, expression: str) -> None:
    found = metrics_in(expression)
    assert found, where
    known = {**SERIES, **RECORDED}
    assert found.keys() <= known.keys()
    for name, labels in found.items():
        assert labels <= known[name], name
    together = set[str]().union(*(known[name] for name in found))
    assert grouped_by(expression) <= together


def test_every_metric_is_of_some_use() -> None:
    """One that is on no dashboard and in no alert would be measured for nobody."""
    used = {name for _, expression in QUERIES for name in metrics_in(expression)}
    assert [m.name for m in METRICS if not used & {name for name, _ in series_of(m)}] == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    told = alert["annotations"]
    assert told["summary"]
    assert told["description"].endswith(".")
    page, _, anchor = told["runbook"].partition("#")
    text = (ROOT / page).read_text("utf-8")
    headings = [
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    ]
    assert anchor in headings


@pytest.mark.parametrize("name", [alert["alert"] for alert in ALERTS])
def test_an_alert_is_tried_by_promtool(name: str) -> None:
    tried = [
        case
        for test in TESTS["tests"]
        for case in test.get("alert_rule_test", ())
        if case["alertname"] == name
    ]
    assert any(case["exp_alerts"] for case in tried)


def test_what_is_rendered_is_up_to_date() -> None:
    assert render.main(["--check"]) == 0


def test_a_difference_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main([], tmp_path) == 0
    assert render.main(["--check"], tmp_path) == 0
    (tmp_path / "docs" / "metrics.md").write_text("# Metrics\n")
    left = tmp_path / render.FOLDER / "penstock-of-before.json"
    left.write_text("{}")
    assert render.main(["--check"], tmp_path) == 1
    assert "penstock-of-before" in capsys.readouterr().err
    assert render.main([], tmp_path) == 0
    assert not left.exists()
    assert render.main(["--check"], tmp_path) == 0


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: str(board.uid))
def test_a_dashboard_is_whole(board: Any) -> None:
    document = json.loads(json.dumps(board.to_json()))
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            labels = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert labels <= grouped_by(target["expr"])
    assert [variable["name"] for variable in document["templating"]["list"]] == ["datasource"]


def test_dashboards_can_be_read_as_rules() -> None:
    rules = [rule for group in yaml.safe_load(as_rules())["groups"] for rule in group["rules"]]
    assert len(rules) == sum(len(board.queries) for board in DASHBOARDS)
    assert "$" not in "".join(rule["expr"] for rule in rules)
