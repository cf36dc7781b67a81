"""docs/metrics.md: every metric, from its declaration."""

from penstock.telemetry import metric_catalog, stage_metric_catalog
from penstock.telemetry.metric_definition import Kind, MetricDefinition

_TOP = """# Metrics

Rendered by `make dashboards` from the declarations in [libs/telemetry](../libs/telemetry/README.md). What
they are good for stands in [Observability](observability.md#metrics). A histogram `x` has the series
`x_bucket`, `x_count` and `x_sum`. Every process also tells `target_info`: its service, instance and version.
"""
_SUFFIX = {Kind.COUNTER: "_total", Kind.GAUGE: "", Kind.HISTOGRAM: ""}


def metrics_page() -> str:
    """Return the page."""
    parts = [_TOP]
    for title, module in (
        ("Stages", stage_metric_catalog),
        ("HTTP, answers, backends, documents, processes", metric_catalog),
    ):
        mine = [metric for metric in vars(module).values() if isinstance(metric, MetricDefinition)]
        parts.append(f"\n## {title}\n")
        parts += [_entry(metric) for metric in mine]
    return "".join(parts)


def _entry(metric: MetricDefinition) -> str:
    series = f"{metric.prometheus}{_SUFFIX[metric.kind]}"
    services = "every process" if "*" in metric.services else ", ".join(metric.services)
    lines = [
        f"\n### `{metric.name}`\n",
        f"{metric.description}\n",
        f"- {metric.kind.value.capitalize()}, unit `{metric.unit}`; for Prometheus `{series}`",
        f"- Exported by: {services}",
    ]
    if metric.attributes:
        lines.append(f"- Attributes: {', '.join(f'`{name}`' for name in metric.attributes)}")
    if metric.boundaries:
        lines.append(f"- Buckets up to: {', '.join(f'{bound:g}' for bound in metric.boundaries)}")
    return "\n".join(lines) + "\n"
