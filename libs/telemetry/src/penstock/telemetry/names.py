"""Attribute and event names of traces, in one place: of OpenTelemetry's semantic conventions, and our own.

Source: the published conventions, as the package `opentelemetry-semantic-conventions` has them. Those for
GenAI have moved to a repository of their own, which has no package yet: their names are still in this one.
"""

from opentelemetry.semconv._incubating.attributes import cpu_attributes as cpu
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes import db_attributes as db
from opentelemetry.semconv.attributes import error_attributes as error
from opentelemetry.semconv.attributes import http_attributes as http
from opentelemetry.semconv.attributes import network_attributes as network
from opentelemetry.semconv.attributes import server_attributes as server
from opentelemetry.semconv.attributes import service_attributes as service
from opentelemetry.semconv.attributes import url_attributes as url

SERVICE_NAME = service.SERVICE_NAME
SERVICE_INSTANCE = service.SERVICE_INSTANCE_ID
SERVICE_VERSION = service.SERVICE_VERSION
ERROR_TYPE = error.ERROR_TYPE

HTTP_METHOD = http.HTTP_REQUEST_METHOD
HTTP_ORIGINAL_METHOD = http.HTTP_REQUEST_METHOD_ORIGINAL
HTTP_ROUTE = http.HTTP_ROUTE
HTTP_STATUS = http.HTTP_RESPONSE_STATUS_CODE
HTTP_VERSION = network.NETWORK_PROTOCOL_VERSION
SERVER_ADDRESS = server.SERVER_ADDRESS
SERVER_PORT = server.SERVER_PORT
URL_FULL = url.URL_FULL
URL_PATH = url.URL_PATH
URL_SCHEME = url.URL_SCHEME

DB_SYSTEM = db.DB_SYSTEM_NAME
DB_NAMESPACE = db.DB_NAMESPACE
DB_COLLECTION = db.DB_COLLECTION_NAME
DB_OPERATION = db.DB_OPERATION_NAME

MESSAGING_SYSTEM = messaging.MESSAGING_SYSTEM
MESSAGING_CLIENT_ID = messaging.MESSAGING_CLIENT_ID
MESSAGING_DESTINATION = messaging.MESSAGING_DESTINATION_NAME
MESSAGING_PARTITION = messaging.MESSAGING_DESTINATION_PARTITION_ID
MESSAGING_OFFSET = messaging.MESSAGING_KAFKA_OFFSET
MESSAGING_KEY = messaging.MESSAGING_KAFKA_MESSAGE_KEY
MESSAGING_GROUP = messaging.MESSAGING_CONSUMER_GROUP_NAME
MESSAGING_MESSAGE_ID = messaging.MESSAGING_MESSAGE_ID
MESSAGING_CONVERSATION_ID = messaging.MESSAGING_MESSAGE_CONVERSATION_ID
MESSAGING_OPERATION_TYPE = messaging.MESSAGING_OPERATION_TYPE
MESSAGING_OPERATION_NAME = messaging.MESSAGING_OPERATION_NAME
MESSAGING_BATCH_SIZE = messaging.MESSAGING_BATCH_MESSAGE_COUNT

GEN_AI_OPERATION = gen_ai.GEN_AI_OPERATION_NAME
GEN_AI_PROVIDER = gen_ai.GEN_AI_PROVIDER_NAME
GEN_AI_REQUEST_MODEL = gen_ai.GEN_AI_REQUEST_MODEL
GEN_AI_MAX_TOKENS = gen_ai.GEN_AI_REQUEST_MAX_TOKENS
GEN_AI_TEMPERATURE = gen_ai.GEN_AI_REQUEST_TEMPERATURE
GEN_AI_TOP_P = gen_ai.GEN_AI_REQUEST_TOP_P
GEN_AI_SEED = gen_ai.GEN_AI_REQUEST_SEED
GEN_AI_FREQUENCY_PENALTY = gen_ai.GEN_AI_REQUEST_FREQUENCY_PENALTY
GEN_AI_INPUT_TOKENS = gen_ai.GEN_AI_USAGE_INPUT_TOKENS
GEN_AI_OUTPUT_TOKENS = gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS
GEN_AI_FINISH_REASONS = gen_ai.GEN_AI_RESPONSE_FINISH_REASONS
GEN_AI_TOKEN_TYPE = gen_ai.GEN_AI_TOKEN_TYPE
GEN_AI_INPUT_MESSAGES = gen_ai.GEN_AI_INPUT_MESSAGES
GEN_AI_OUTPUT_MESSAGES = gen_ai.GEN_AI_OUTPUT_MESSAGES

CPU_MODE = cpu.CPU_MODE

PENSTOCK_REQUEST_ID = "penstock.request.id"
PENSTOCK_DOCUMENT_ID = "penstock.document.id"
PENSTOCK_TENANT = "penstock.tenant"
PENSTOCK_EPOCH = "penstock.epoch"
"""Of the owner of a partition that wrote, or took over."""
PENSTOCK_WAIT_MS = "penstock.wait_ms"
"""Milliseconds that passed before a span began, in which what it is about lay in a topic or a queue. The
conventions have a name for none of it."""
PENSTOCK_ATTEMPT = "penstock.attempt"
"""Counts from 1."""
PENSTOCK_LENGTH = "penstock.answer.length"
"""Characters of an answer that its readers have seen."""
PENSTOCK_STATE = "penstock.state"
"""Of what is counted: a slot is used or free, a document queued. Each metric says which there are."""
PENSTOCK_OUTCOME = "penstock.outcome"
PENSTOCK_REASON = "penstock.reason"
PENSTOCK_LOOPED = "penstock.answer.looped"
"""Of an answer that the loop guard has ended."""
"""Why something happened: a code of ours, or the class of an error; never content."""

EVENT_RETRY = "retry"
EVENT_CONTINUED = "continued"
EVENT_FIRST_TOKEN = "first_token"  # noqa: S105  # no secret
EVENT_LAST_TOKEN = "last_token"  # noqa: S105  # no secret
EVENT_TAKEN_OVER = "taken_over"
EVENT_SPLIT = "batch_split"
EVENT_SLOT = "slot_taken"
