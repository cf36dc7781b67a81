"""Celery as the bell that wakes workers (port: Bell). What there is to do stands in the database alone."""

import asyncio
from pathlib import Path

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

TASK = "penstock.ingestion.work"
QUEUE = "penstock-ingestion"
POLL_SECONDS = 0.5
log = structlog.get_logger()


def make_app(broker: str) -> Celery:
    """Return a Celery app; `broker` is a URL of Celery's, or `folder:///path` for a directory."""
    app = Celery("penstock-ingestion", set_as_current=False)
    options: dict[str, object] = {}
    if broker.startswith("folder://"):
        folder = Path(broker.removeprefix("folder://"))
        for name in ("queue", "control"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        broker = "filesystem://localhost"
        queue = str(folder / "queue")
        options = {
            "data_folder_in": queue,
            "data_folder_out": queue,
            "control_folder": str(folder / "control"),
            "polling_interval": POLL_SECONDS,
        }
    app.conf.update(
        broker_url=broker,
        broker_transport_options=options,
        broker_connection_retry_on_startup=True,
        task_acks_late=True,
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
    )
    return app


class CeleryBell:
    """Port: Bell."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    async def ring(self) -> None:
        try:
            await asyncio.to_thread(self._app.send_task, TASK, expires=60, retry=False)
        except (OperationalError, OSError) as error:
            log.warning("bell_not_rung", reason=str(error))
