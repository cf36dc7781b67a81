"""Attribute names of OpenTelemetry's semantic conventions that Penstock writes, in one place.

Source: the published conventions for messaging (Kafka), GenAI and service resources, in the package
`opentelemetry-semantic-conventions`; only the last block is our own.
"""

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes import error_attributes as error
from opentelemetry.semconv.attributes import service_attributes as service

SERVICE_NAME = service.SERVICE_NAME
ERROR_TYPE = error.ERROR_TYPE

MESSAGING_SYSTEM = messaging.MESSAGING_SYSTEM
MESSAGING_DESTINATION = messaging.MESSAGING_DESTINATION_NAME
MESSAGING_PARTITION = messaging.MESSAGING_DESTINATION_PARTITION_ID
MESSAGING_OFFSET = messaging.MESSAGING_KAFKA_OFFSET
MESSAGING_GROUP = messaging.MESSAGING_CONSUMER_GROUP_NAME
MESSAGING_MESSAGE_ID = messaging.MESSAGING_MESSAGE_ID
MESSAGING_CONVERSATION_ID = messaging.MESSAGING_MESSAGE_CONVERSATION_ID
MESSAGING_OPERATION_TYPE = messaging.MESSAGING_OPERATION_TYPE
MESSAGING_OPERATION_NAME = messaging.MESSAGING_OPERATION_NAME
MESSAGING_BATCH_SIZE = messaging.MESSAGING_BATCH_MESSAGE_COUNT

GEN_AI_OPERATION = gen_ai.GEN_AI_OPERATION_NAME
GEN_AI_REQUEST_MODEL = gen_ai.GEN_AI_REQUEST_MODEL
GEN_AI_INPUT_TOKENS = gen_ai.GEN_AI_USAGE_INPUT_TOKENS
GEN_AI_OUTPUT_TOKENS = gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS
GEN_AI_FINISH_REASONS = gen_ai.GEN_AI_RESPONSE_FINISH_REASONS

PENSTOCK_TENANT = "penstock.tenant"
PENSTOCK_EPOCH = "penstock.epoch"
