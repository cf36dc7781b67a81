"""What an expression names."""

import pytest

from infra.promql import grouped_by, metrics_in


@pytest.mark.parametrize(
    ("expression", "metrics", "groups"),
    [
        ("a", {"a": set()}, set()),
        ('sum by (x, y) (rate(a_total{b="c", d=~"e|f"}[5m])) > 0', {"a_total": {"b", "d"}}, {"x", "y"}),
        (
            "histogram_quantile(0.95, sum by (le) (rate(h_bucket{}[$__rate_interval])))",
            {"h_bucket": set()},
            {"le"},
        ),
        (
            'absent(a{b="by (c) d{e}"}) or b unless on (z) c offset 5m',
            {"a": {"b"}, "b": set(), "c": set()},
            {"z"},
        ),
        ("r:s:t > 14.4 * 0.05 and vector(0)", {"r:s:t": set()}, set()),
        ("sum(a) without (b)", {"a": set()}, {"b"}),
    ],
)
def test_names_and_labels(expression: str, metrics: dict[str, set[str]], groups: set[str]) -> None:
    assert metrics_in(expression) == metrics
    assert grouped_by(expression) == groups
