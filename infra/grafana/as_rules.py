"""Prints every query of the dashboards as a rule, so that Prometheus's own parser can check them all."""

import sys

import yaml

from infra.grafana.model import WINDOW
from infra.grafana.source import DASHBOARDS


def as_rules() -> str:
    """Return a file of recording rules; what Grafana fills in is filled in."""
    groups = [
        {
            "name": board.uid,
            "rules": [
                {
                    "record": f"{board.uid.replace('-', '_')}:{number}",
                    "expr": query.expression.replace(WINDOW, "5m"),
                }
                for number, query in enumerate(board.queries)
            ],
        }
        for board in DASHBOARDS
    ]
    return yaml.safe_dump({"groups": groups}, sort_keys=False)


if __name__ == "__main__":
    sys.stdout.write(as_rules())
