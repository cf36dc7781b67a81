"""The metrics of stages: what the runner and its producer tell, whatever a stage does.

Names and boundaries of `messaging.*` are those of OpenTelemetry's semantic conventions.
"""

from opentelemetry.semconv._incubating.metrics import messaging_metrics as messaging

from penstock.telemetry import names
from penstock.telemetry.metric_definition import Kind, MetricDefinition

STAGES = ("tokenization", "retrieval", "generation", "postprocessing", "ingestion")
PRODUCERS = ("gateway", *STAGES, "ingestion-worker")

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""What the conventions recommend for messaging, and for HTTP."""
_AT_STAGE = (names.MESSAGING_GROUP, names.MESSAGING_DESTINATION)
_MESSAGING = (names.MESSAGING_SYSTEM, names.MESSAGING_OPERATION_NAME, names.MESSAGING_DESTINATION)

CONSUMED = MetricDefinition(
    messaging.MESSAGING_CLIENT_CONSUMED_MESSAGES,
    Kind.COUNTER,
    "{message}",
    "Records that were read.",
    STAGES,
    (*_MESSAGING, names.MESSAGING_GROUP),
)
SENT = MetricDefinition(
    messaging.MESSAGING_CLIENT_SENT_MESSAGES,
    Kind.COUNTER,
    "{message}",
    "Records that were sent; with `error.type` those that the broker did not acknowledge.",
    PRODUCERS,
    (*_MESSAGING, names.ERROR_TYPE),
)
PROCESS_DURATION = MetricDefinition(
    messaging.MESSAGING_PROCESS_DURATION,
    Kind.HISTOGRAM,
    "s",
    "From when a record is taken up until all it caused is acknowledged. In postprocessing: of an answer.",
    STAGES,
    (*_MESSAGING, names.MESSAGING_GROUP, names.ERROR_TYPE),
    SECONDS,
)
LAG = MetricDefinition(
    "penstock.consumer.lag",
    Kind.GAUGE,
    "{record}",
    "Records that wait, in the partitions of this process: not read yet, or read and not taken up.",
    STAGES,
    _AT_STAGE,
)
LAG_TOKENS = MetricDefinition(
    "penstock.consumer.lag.tokens",
    Kind.GAUGE,
    "{token}",
    "The lag in tokens: records that wait, times what the last 100 asked for on average (with max_tokens).",
    ("generation",),
    _AT_STAGE,
)
HELD = MetricDefinition(
    "penstock.consumer.held",
    Kind.GAUGE,
    "{record}",
    "Records that were read and are not done yet.",
    STAGES,
    _AT_STAGE,
)
OLDEST_AGE = MetricDefinition(
    "penstock.consumer.oldest.age",
    Kind.GAUGE,
    "s",
    "Time since the oldest record that is read and not done was written to its topic; 0 without one.",
    STAGES,
    _AT_STAGE,
)
WATERMARK_AGE = MetricDefinition(
    "penstock.consumer.watermark.age",
    Kind.GAUGE,
    "s",
    "For how long the oldest uncommitted record has been in hand; 0 without one.",
    STAGES,
    _AT_STAGE,
)
PARTITIONS = MetricDefinition(
    "penstock.consumer.partitions",
    Kind.GAUGE,
    "{partition}",
    "Partitions that the group has given to this process.",
    STAGES,
    _AT_STAGE,
)
PAUSED = MetricDefinition(
    "penstock.consumer.paused",
    Kind.GAUGE,
    "1",
    "1 while the stage is full and reads no more, else 0.",
    STAGES,
    (names.MESSAGING_GROUP,),
)
RETRIES = MetricDefinition(
    "penstock.consumer.retries",
    Kind.COUNTER,
    "{attempt}",
    "Attempts at a record that failed in a way that may pass, and were repeated.",
    STAGES,
    (names.MESSAGING_GROUP,),
)
DEAD_LETTERS = MetricDefinition(
    "penstock.dead_letters",
    Kind.COUNTER,
    "{record}",
    "Records that could not be handled and were put aside, by the topic they came from.",
    STAGES,
    _AT_STAGE,
)
FENCED = MetricDefinition(
    "penstock.consumer.fenced",
    Kind.COUNTER,
    "{record}",
    "Records of an older epoch behind a later one's marker, ignored: a replaced process still writes.",
    ("postprocessing",),
    _AT_STAGE,
)
EPOCH = MetricDefinition(
    "penstock.journal.epoch",
    Kind.GAUGE,
    "{epoch}",
    "The epoch under which this process owns a partition of the journal.",
    ("generation",),
    (names.MESSAGING_DESTINATION, names.MESSAGING_PARTITION),
)
TAKEOVERS = MetricDefinition(
    "penstock.journal.takeovers",
    Kind.COUNTER,
    "{partition}",
    "Partitions of the journal that this process has taken over.",
    ("generation",),
    (names.MESSAGING_DESTINATION,),
)
CONTINUED = MetricDefinition(
    "penstock.journal.continued",
    Kind.COUNTER,
    "{request}",
    "Requests that were open in a partition that was taken over, and go on here.",
    ("generation",),
    (names.MESSAGING_DESTINATION,),
)
PENDING = MetricDefinition(
    "penstock.producer.pending",
    Kind.GAUGE,
    "By",
    "What was sent and is not acknowledged; a stage waits while it is above 16 MiB.",
    PRODUCERS,
)
