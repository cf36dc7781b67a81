"""All metrics of Penstock: names, units, meanings, attributes, and the services that export them.

Those of stages are in `stage_metric_catalog`. Names and boundaries of `gen_ai.*`, `http.*` and `process.*`
are those of OpenTelemetry's semantic conventions; what they have no name for begins with `penstock.`. Units
are base units (UCUM, as OpenTelemetry writes them). No attribute grows with use: no request, document, tenant
or key. Services record through `penstock.telemetry.instruments`; docs/metrics.md is rendered from this
module.
"""

from opentelemetry.semconv._incubating.metrics import gen_ai_metrics as gen_ai
from opentelemetry.semconv._incubating.metrics import http_metrics as http_later
from opentelemetry.semconv._incubating.metrics import process_metrics as process
from opentelemetry.semconv.metrics import http_metrics as http

from penstock.telemetry import names, stage_metric_catalog
from penstock.telemetry.metric_definition import Kind, MetricDefinition
from penstock.telemetry.stage_metric_catalog import SECONDS

EVERY = ("*",)
SERVERS = ("ingestion", "retrieval", "inference")
"""Those of which FastAPI itself tells how it answers; the gateway does so itself, with its error codes."""

# The boundaries that the conventions recommend.
_GEN_AI_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TO_FIRST_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_PER_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
_TOKENS = tuple(float(4**exponent) for exponent in range(14))
# Ours: a document takes from a moment to minutes.
_WORK_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

_MODEL = (names.GEN_AI_OPERATION, names.GEN_AI_PROVIDER, names.GEN_AI_REQUEST_MODEL)
_SERVER = (names.SERVER_ADDRESS, names.SERVER_PORT)
_REQUEST = (names.HTTP_METHOD, names.URL_SCHEME)
_RESPONSE = (names.HTTP_ROUTE, names.HTTP_STATUS, names.HTTP_VERSION, names.ERROR_TYPE)

# Every process.
READY = MetricDefinition(
    "penstock.process.ready",
    Kind.GAUGE,
    "1",
    "Whether the process can serve: 1 when `/readyz` says so, else 0.",
    EVERY,
)
CPU_TIME = MetricDefinition(
    process.PROCESS_CPU_TIME,
    Kind.COUNTER,
    "s",
    "CPU time that the process has used.",
    EVERY,
    (names.CPU_MODE,),
)
MEMORY = MetricDefinition(process.PROCESS_MEMORY_USAGE, Kind.GAUGE, "By", "Physical memory in use.", EVERY)
THREADS = MetricDefinition(
    process.PROCESS_THREAD_COUNT, Kind.GAUGE, "{thread}", "Threads of the process.", EVERY
)
FILES = MetricDefinition(
    process.PROCESS_UNIX_FILE_DESCRIPTOR_COUNT,
    Kind.GAUGE,
    "{file_descriptor}",
    "Open file descriptors.",
    EVERY,
)
UPTIME = MetricDefinition(process.PROCESS_UPTIME, Kind.GAUGE, "s", "Time since the process began.", EVERY)
OF_PROCESS = (CPU_TIME, MEMORY, THREADS, FILES, UPTIME)
"""They change also in a process that does nothing."""

# HTTP servers.
HTTP_DURATION = MetricDefinition(
    http.HTTP_SERVER_REQUEST_DURATION,
    Kind.HISTOGRAM,
    "s",
    "Duration of HTTP requests, to the last byte. The gateway's `error.type` is the code that it answered.",
    ("gateway", *SERVERS),
    (*_REQUEST, *_RESPONSE),
    SECONDS,
)
HTTP_ACTIVE = MetricDefinition(
    http_later.HTTP_SERVER_ACTIVE_REQUESTS,
    Kind.GAUGE,
    "{request}",
    "HTTP requests in hand.",
    ("gateway", *SERVERS),
    _REQUEST,
)

# The gateway, as its clients see it.
STREAMS = MetricDefinition(
    "penstock.gateway.streams", Kind.GAUGE, "{stream}", "Answers that are being streamed.", ("gateway",)
)
OPEN_REQUESTS = MetricDefinition(
    "penstock.gateway.requests.open",
    Kind.GAUGE,
    "{request}",
    "Chat requests that a client waits for or watches.",
    ("gateway",),
)
OPEN_REQUESTS_LIMIT = MetricDefinition(
    "penstock.gateway.requests.limit",
    Kind.GAUGE,
    "{request}",
    "So many may be open at once (PENSTOCK_MAX_OPEN_REQUESTS); one more is answered 429.",
    ("gateway",),
)

# Answers of models: gateway and inference as servers, generation as their client.
SERVER_DURATION = MetricDefinition(
    gen_ai.GEN_AI_SERVER_REQUEST_DURATION,
    Kind.HISTOGRAM,
    "s",
    "From a request's arrival to the end of its answer. Provider `penstock`: as a client sees it.",
    ("gateway", "inference"),
    (*_MODEL, names.ERROR_TYPE),
    _GEN_AI_SECONDS,
)
TIME_TO_FIRST_TOKEN = MetricDefinition(
    gen_ai.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN,
    Kind.HISTOGRAM,
    "s",
    "From a request's arrival to the first text of its answer. Provider `penstock`: as a client sees it.",
    ("gateway", "inference"),
    _MODEL,
    _TO_FIRST_SECONDS,
)
TIME_PER_OUTPUT_TOKEN = MetricDefinition(
    gen_ai.GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN,
    Kind.HISTOGRAM,
    "s",
    "Mean time per token of an answer, after its first.",
    ("gateway", "inference"),
    _MODEL,
    _PER_TOKEN_SECONDS,
)
CLIENT_DURATION = MetricDefinition(
    gen_ai.GEN_AI_CLIENT_OPERATION_DURATION,
    Kind.HISTOGRAM,
    "s",
    "Duration of one request to a backend, once it has a slot. An answer that is continued takes several.",
    ("generation",),
    (*_MODEL, *_SERVER, names.ERROR_TYPE),
    _GEN_AI_SECONDS,
)
TOKEN_USAGE = MetricDefinition(
    gen_ai.GEN_AI_CLIENT_TOKEN_USAGE,
    Kind.HISTOGRAM,
    "{token}",
    "Tokens of one request to a backend: `input` of the prompt, `output` of what it wrote.",
    ("generation",),
    (*_MODEL, *_SERVER, names.GEN_AI_TOKEN_TYPE),
    _TOKENS,
)
LOOPS = MetricDefinition(
    "penstock.generation.loops",
    Kind.COUNTER,
    "{answer}",
    "Answers that the loop guard has ended since they only repeated themselves.",
    ("generation",),
    (names.GEN_AI_REQUEST_MODEL,),
)

# Backends.
SLOTS = MetricDefinition(
    "penstock.backend.slots",
    Kind.GAUGE,
    "{slot}",
    "This process's part of the requests that a backend takes at once, by state: `used` or `free`.",
    ("generation",),
    (*_SERVER, names.PENSTOCK_STATE),
)
BACKEND_UP = MetricDefinition(
    "penstock.backend.available",
    Kind.GAUGE,
    "1",
    "Whether the backend answered the last look at it (one a second): 1 or 0.",
    ("generation",),
    _SERVER,
)
ENGINE_BATCH = MetricDefinition(
    "penstock.engine.batch.size",
    Kind.GAUGE,
    "{sequence}",
    "Sequences that the engine advances together.",
    ("inference",),
)
ENGINE_QUEUE = MetricDefinition(
    "penstock.engine.queue.size",
    Kind.GAUGE,
    "{sequence}",
    "Sequences that wait for a place in the batch.",
    ("inference",),
)

# Documents.
INDEX_CHUNKS = MetricDefinition(
    "penstock.index.chunks",
    Kind.GAUGE,
    "{chunk}",
    "Chunks in the index that answers questions; looked up every 15 s.",
    ("retrieval",),
)
JOBS = MetricDefinition(
    "penstock.ingestion.jobs",
    Kind.GAUGE,
    "{document}",
    "Documents that are not done, by state: queued, parsing, embedding, indexing. Looked up every 5 s.",
    ("ingestion",),
    (names.PENSTOCK_STATE,),
)
OLDEST_JOB = MetricDefinition(
    "penstock.ingestion.oldest.age",
    Kind.GAUGE,
    "s",
    "For how long the oldest document that is not done has been in work; 0 without one.",
    ("ingestion",),
)
WORK_DURATION = MetricDefinition(
    "penstock.ingestion.work.duration",
    Kind.HISTOGRAM,
    "s",
    "Duration of one attempt at a document, by outcome: published, refused, failed, put_back or lost.",
    ("ingestion-worker",),
    (names.PENSTOCK_OUTCOME,),
    _WORK_SECONDS,
)

METRICS: tuple[MetricDefinition, ...] = tuple(
    value
    for value in (*tuple(globals().values()), *vars(stage_metric_catalog).values())
    if isinstance(value, MetricDefinition)
)


def exported_by(service: str) -> list[MetricDefinition]:
    """Return the metrics that a service tells."""
    return [metric for metric in METRICS if "*" in metric.services or service in metric.services]
