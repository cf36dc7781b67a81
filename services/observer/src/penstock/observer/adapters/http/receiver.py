"""OTLP over HTTP: traces and metrics, in protobuf (opentelemetry.io/docs/specs/otlp, section OTLP/HTTP).

A message that is understood is answered 200, with how many of its parts were not taken. One that is not is
answered 400, and never sent again by a client that keeps to the protocol; 429, 502, 503 and 504 are.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from google.protobuf.message import Message
from google.rpc.code_pb2 import INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNAVAILABLE, UNIMPLEMENTED
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from penstock.observer.adapters.http.body import TooLarge, Unreadable, read_body, unpacked
from penstock.observer.adapters.otlp import Undecodable, read_points, read_spans
from penstock.observer.domain.points import LastPoints
from penstock.observer.ports import Traces

PROTOBUF = "application/x-protobuf"
AT_ONCE = 4
RETRY_AFTER_S = 1


class _Refused(Exception):
    """The answer to a request that is not taken."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class _Partly(NamedTuple):
    """How many parts of a message were not taken, and why."""

    rejected: int = 0
    reason: str = ""


class Receiver:
    """Takes spans and points. Few bodies are in memory at once."""

    def __init__(self, traces: Traces, points: LastPoints) -> None:
        self._traces = traces
        self._points = points
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def take_traces(self, request: Request) -> Response:
        """POST /v1/traces."""

        def take(body: bytes) -> Callable[[], _Partly]:
            taken = read_spans(body)

            def keep() -> _Partly:
                if not self._traces.add(taken.rows):
                    raise _Refused(503, UNAVAILABLE, "more spans come than can be written")
                return _Partly(taken.rejected, taken.reason)

            return keep

        def answer(partly: _Partly) -> Message:
            told = ExportTraceServiceResponse()
            if partly.rejected:
                told.partial_success.rejected_spans = partly.rejected
                told.partial_success.error_message = partly.reason
            return told

        return await self._take(request, take, answer)

    async def take_metrics(self, request: Request) -> Response:
        """POST /v1/metrics."""

        def take(body: bytes) -> Callable[[], _Partly]:
            points = read_points(body)
            return lambda: _Partly(self._points.take(points), "too many series are kept already")

        def answer(partly: _Partly) -> Message:
            told = ExportMetricsServiceResponse()
            if partly.rejected:
                told.partial_success.rejected_data_points = partly.rejected
                told.partial_success.error_message = partly.reason
            return told

        return await self._take(request, take, answer)

    async def _take(
        self,
        request: Request,
        take: Callable[[bytes], Callable[[], _Partly]],
        answer: Callable[[_Partly], Message],
    ) -> Response:
        """Read in a thread of its own, keep in the event loop's."""
        try:
            packed = _is_packed(request)
            async with self._turn:
                body = await read_body(request)
                keep = await asyncio.to_thread(lambda: take(unpacked(body) if packed else body))
            return _reply(200, answer(keep()))
        except _Refused as refused:
            return _error(refused)
        except TooLarge:
            return _error(_Refused(413, RESOURCE_EXHAUSTED, "the body is too large: export less at once"))
        except (Unreadable, Undecodable, ClientDisconnect) as error:
            return _error(_Refused(400, INVALID_ARGUMENT, str(error) or "the body broke off"))


def _is_packed(request: Request) -> bool:
    """Return whether the body is gzip. Raises _Refused."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != PROTOBUF:
        raise _Refused(415, UNIMPLEMENTED, f"only {PROTOBUF} is taken")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("gzip", "identity"):
        raise _Refused(415, UNIMPLEMENTED, "only gzip is unpacked")
    return coding == "gzip"


def _error(refused: _Refused) -> Response:
    response = _reply(refused.status, Status(code=refused.code, message=refused.message))
    if refused.status == 503:
        response.headers["retry-after"] = str(RETRY_AFTER_S)
    return response


def _reply(status: int, message: Message) -> Response:
    return Response(message.SerializeToString(), status, media_type=PROTOBUF)
