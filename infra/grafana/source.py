"""What the dashboards show. Metrics are named by their declarations, so that no name can be a wrong one."""

from infra.grafana.model import WINDOW, Dashboard, Panel, Query
from penstock.telemetry import metric_catalog as m
from penstock.telemetry import names
from penstock.telemetry import stage_metric_catalog as s
from penstock.telemetry.metric_definition import MetricDefinition, prometheus_label

CODE = prometheus_label(names.ERROR_TYPE)
GROUP = prometheus_label(names.MESSAGING_GROUP)
INSTANCE = "instance"  # Prometheus's own: which process was scraped
MODEL = prometheus_label(names.GEN_AI_REQUEST_MODEL)
OUTCOME = prometheus_label(names.PENSTOCK_OUTCOME)
PARTITION = prometheus_label(names.MESSAGING_PARTITION)
PROVIDER = prometheus_label(names.GEN_AI_PROVIDER)
ROUTE = prometheus_label(names.HTTP_ROUTE)
SERVER = f"{prometheus_label(names.SERVER_ADDRESS)}, {prometheus_label(names.SERVER_PORT)}"
AT_SERVER = f"{{{{{prometheus_label(names.SERVER_ADDRESS)}}}}}:{{{{{prometheus_label(names.SERVER_PORT)}}}}}"
STATE = prometheus_label(names.PENSTOCK_STATE)
STATUS = prometheus_label(names.HTTP_STATUS)
TOKEN = prometheus_label(names.GEN_AI_TOKEN_TYPE)
TOPIC = prometheus_label(names.MESSAGING_DESTINATION)

GATEWAY = f'{PROVIDER}="penstock"'
ENGINE = f'{PROVIDER}="openvino"'
CHAT = f'{ROUTE}="/v1/chat/completions"'


def quantile(part: float, metric: MetricDefinition, where: str = "", by: str = "") -> str:
    """Return the expression for a quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    rate = f"rate({metric.prometheus}_bucket{{{where}}}[{WINDOW}])"
    return f"histogram_quantile({part}, sum by ({labels}) ({rate}))"


def quantiles(metric: MetricDefinition, where: str = "") -> tuple[Query, ...]:
    """Return queries for the median, and what one in twenty and one in a hundred exceed."""
    return tuple(
        Query(quantile(part, metric, where), name)
        for part, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


def per_second(metric: MetricDefinition, by: str, where: str = "") -> str:
    """Return the expression for how often something happens."""
    suffix = "_count" if metric.boundaries else "_total"
    return f"sum by ({by}) (rate({metric.prometheus}{suffix}{{{where}}}[{WINDOW}]))"


def total(metric: MetricDefinition, by: str, where: str = "") -> str:
    """Return the expression for the sum of a gauge over all processes."""
    return f"sum by ({by}) ({metric.prometheus}{{{where}}})"


def worst(metric: MetricDefinition, by: str) -> str:
    """Return the expression for the largest value of a gauge among all processes."""
    return f"max by ({by}) ({metric.prometheus})"


ANSWERS = Dashboard(
    "penstock-answers",
    "Penstock: answers",
    (
        (
            Panel(
                "Time to first text",
                "s",
                quantiles(m.TIME_TO_FIRST_TOKEN, GATEWAY),
                "As readers of streams see it.",
            ),
            Panel("Time per token after it", "s", quantiles(m.TIME_PER_OUTPUT_TOKEN, GATEWAY)),
            Panel("Time to the end", "s", quantiles(m.SERVER_DURATION, GATEWAY)),
        ),
        (
            Panel(
                "Requests by status",
                "reqps",
                (Query(per_second(m.HTTP_DURATION, STATUS, CHAT), f"{{{{{STATUS}}}}}"),),
            ),
            Panel(
                "Refused and failed, by code",
                "reqps",
                (
                    Query(
                        per_second(m.HTTP_DURATION, CODE, f'{CODE}!="", {ROUTE}!~"/.*z"'),
                        f"refused: {{{{{CODE}}}}}",
                    ),
                    Query(
                        per_second(m.SERVER_DURATION, CODE, f'{CODE}!="", {GATEWAY}'),
                        f"failed: {{{{{CODE}}}}}",
                    ),
                ),
            ),
            Panel(
                "Open now",
                "short",
                (
                    Query(f"sum({m.OPEN_REQUESTS.prometheus})", "requests"),
                    Query(f"sum({m.STREAMS.prometheus})", "streams"),
                    Query(f"sum({m.OPEN_REQUESTS_LIMIT.prometheus})", "requests at most"),
                ),
            ),
        ),
        (
            Panel(
                "Tokens a second",
                "short",
                (
                    Query(
                        f"sum by ({TOKEN}) (rate({m.TOKEN_USAGE.prometheus}_sum[{WINDOW}]))",
                        f"{{{{{TOKEN}}}}}",
                    ),
                ),
                "What backends read (input) and wrote (output).",
            ),
            Panel(
                "Answers a second, by model",
                "reqps",
                (
                    Query(per_second(m.SERVER_DURATION, MODEL, GATEWAY), f"{{{{{MODEL}}}}}"),
                    Query(per_second(m.LOOPS, MODEL), f"ended in a loop: {{{{{MODEL}}}}}"),
                ),
            ),
            Panel(
                "HTTP p95 by route",
                "s",
                (Query(quantile(0.95, m.HTTP_DURATION, f'{ROUTE}!~"/.*z"', ROUTE), f"{{{{{ROUTE}}}}}"),),
            ),
        ),
    ),
)

_STAGE = f"{GROUP}, {TOPIC}"
_AT_STAGE = f"{{{{{GROUP}}}}} < {{{{{TOPIC}}}}}"

PIPELINE = Dashboard(
    "penstock-pipeline",
    "Penstock: pipeline",
    (
        (
            Panel("Records that wait", "short", (Query(total(s.LAG, _STAGE), _AT_STAGE),)),
            Panel(
                "Tokens that wait for a backend",
                "short",
                (Query(f"sum({s.LAG_TOKENS.prometheus})", "tokens"),),
            ),
            Panel(
                "Age of the oldest record in a topic", "s", (Query(worst(s.OLDEST_AGE, _STAGE), _AT_STAGE),)
            ),
        ),
        (
            Panel("Records in hand", "short", (Query(total(s.HELD, _STAGE), _AT_STAGE),)),
            Panel(
                "Age of the watermark",
                "s",
                (Query(worst(s.WATERMARK_AGE, _STAGE), _AT_STAGE),),
                "For how long the oldest uncommitted record has been in hand.",
            ),
            Panel(
                "Time per record, p95",
                "s",
                (Query(quantile(0.95, s.PROCESS_DURATION, by=_STAGE), _AT_STAGE),),
            ),
        ),
        (
            Panel("Records read a second", "reqps", (Query(per_second(s.CONSUMED, _STAGE), _AT_STAGE),)),
            Panel("Records sent a second", "reqps", (Query(per_second(s.SENT, TOPIC), f"{{{{{TOPIC}}}}}"),)),
            Panel(
                "Sent and not acknowledged",
                "bytes",
                (Query(total(s.PENDING, INSTANCE), f"{{{{{INSTANCE}}}}}"),),
            ),
        ),
        (
            Panel("Retries a second", "reqps", (Query(per_second(s.RETRIES, GROUP), f"{{{{{GROUP}}}}}"),)),
            Panel(
                "Dead letters",
                "short",
                (
                    Query(
                        f"sum by ({_STAGE}) (increase({s.DEAD_LETTERS.prometheus}_total[{WINDOW}]))",
                        _AT_STAGE,
                    ),
                ),
            ),
            Panel(
                "Ignored records of replaced processes",
                "reqps",
                (Query(per_second(s.FENCED, TOPIC), f"{{{{{TOPIC}}}}}"),),
            ),
        ),
        (
            Panel(
                "Epochs by partition", "short", (Query(worst(s.EPOCH, PARTITION), f"{{{{{PARTITION}}}}}"),)
            ),
            Panel(
                "Takeovers",
                "short",
                (
                    Query(f"sum(increase({s.TAKEOVERS.prometheus}_total[{WINDOW}]))", "partitions"),
                    Query(f"sum(increase({s.CONTINUED.prometheus}_total[{WINDOW}]))", "requests that go on"),
                ),
            ),
            Panel(
                "Partitions by stage; full stages",
                "short",
                (
                    Query(total(s.PARTITIONS, _STAGE), _AT_STAGE),
                    Query(total(s.PAUSED, GROUP), f"full: {{{{{GROUP}}}}}"),
                ),
            ),
        ),
    ),
)

BACKENDS = Dashboard(
    "penstock-backends",
    "Penstock: backends and documents",
    (
        (
            Panel(
                "Slots",
                "short",
                (Query(total(m.SLOTS, f"{SERVER}, {STATE}"), f"{AT_SERVER} {{{{{STATE}}}}}"),),
                "Of several replicas of generation, each counts as used what it uses itself.",
            ),
            Panel(
                "Backends that answer",
                "short",
                (Query(f"max by ({SERVER}) ({m.BACKEND_UP.prometheus})", AT_SERVER),),
            ),
            Panel("Duration of a request to a backend", "s", quantiles(m.CLIENT_DURATION)),
        ),
        (
            Panel(
                "Requests to backends by error",
                "reqps",
                (Query(per_second(m.CLIENT_DURATION, f"{SERVER}, {CODE}"), f"{AT_SERVER} {{{{{CODE}}}}}"),),
            ),
            Panel(
                "The local engine: batch and queue",
                "short",
                (
                    Query(f"sum({m.ENGINE_BATCH.prometheus})", "batch"),
                    Query(f"sum({m.ENGINE_QUEUE.prometheus})", "queue"),
                ),
            ),
            Panel(
                "The local engine: to the first token, and per token",
                "s",
                (
                    Query(quantile(0.95, m.TIME_TO_FIRST_TOKEN, ENGINE), "first token p95"),
                    Query(quantile(0.95, m.TIME_PER_OUTPUT_TOKEN, ENGINE), "per token p95"),
                ),
            ),
        ),
        (
            Panel("Documents that are not done", "short", (Query(total(m.JOBS, STATE), f"{{{{{STATE}}}}}"),)),
            Panel("Age of the oldest of them", "s", (Query(f"max({m.OLDEST_JOB.prometheus})", "oldest"),)),
            Panel(
                "Chunks in the index",
                "short",
                (Query(worst(m.INDEX_CHUNKS, INSTANCE), f"{{{{{INSTANCE}}}}}"),),
            ),
        ),
        (
            Panel(
                "Documents a second, by outcome",
                "reqps",
                (Query(per_second(m.WORK_DURATION, OUTCOME), f"{{{{{OUTCOME}}}}}"),),
            ),
            Panel("Work on a document", "s", quantiles(m.WORK_DURATION)),
        ),
    ),
)

PROCESSES = Dashboard(
    "penstock-processes",
    "Penstock: processes",
    (
        (
            Panel(
                "Ready",
                "short",
                (Query(f"min by ({INSTANCE}) ({m.READY.prometheus})", f"{{{{{INSTANCE}}}}}"),),
            ),
            Panel("CPU", "percentunit", (Query(per_second(m.CPU_TIME, INSTANCE), f"{{{{{INSTANCE}}}}}"),)),
            Panel("Memory", "bytes", (Query(total(m.MEMORY, INSTANCE), f"{{{{{INSTANCE}}}}}"),)),
        ),
        (
            Panel("Age", "s", (Query(worst(m.UPTIME, INSTANCE), f"{{{{{INSTANCE}}}}}"),)),
            Panel("Threads", "short", (Query(total(m.THREADS, INSTANCE), f"{{{{{INSTANCE}}}}}"),)),
            Panel("Open files", "short", (Query(total(m.FILES, INSTANCE), f"{{{{{INSTANCE}}}}}"),)),
            Panel(
                "HTTP requests in hand",
                "short",
                (Query(total(m.HTTP_ACTIVE, INSTANCE), f"{{{{{INSTANCE}}}}}"),),
            ),
        ),
    ),
)

DASHBOARDS = (ANSWERS, PIPELINE, BACKENDS, PROCESSES)
