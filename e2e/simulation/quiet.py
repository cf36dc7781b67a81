"""Silence: services log what they do, and dead processes are closed by the garbage collector."""

import logging
import sys

import structlog


def quiet() -> None:
    """Let this operating system's process say nothing but what the simulation prints."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
