"""Where the daemon's log goes and how it looks: JSON lines, or text on a terminal. Set up by `service`."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

from trueup.redaction import redact

_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure_logs(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Sends every log line of the process to one stream (stderr), those of libraries too.

    Tracebacks never show local variables: those may hold what must not be shown.
    """
    stream = stream or sys.stderr
    renderer: list[structlog.typing.Processor]
    if stream.isatty():
        renderer = [
            _lead_with_stack,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    else:
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(sort_keys=False)]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _MaskingFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries tell their warnings; what they tell beyond that may quote requests and their headers.
    root.setLevel(logging.WARNING)
    logging.getLogger("trueup").setLevel(level)


class _MaskingFormatter(structlog.stdlib.ProcessorFormatter):
    """Masks the secrets that were read in what libraries say and in the texts of exceptions."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _lead_with_stack(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """For a person: the console's renderer takes a key named `stack` for a stack trace."""
    if name := event.pop("stack", ""):
        event["event"] = f"{name}: {event['event']}"
    return event
