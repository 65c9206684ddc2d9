"""What a person sees in the terminal: progress while a job runs, a summary when it is done."""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)


class ProgressHandler(logging.Handler):
    """Shows what a flow says, with the seconds since ``begin``, a moment of the monotonic clock."""

    def __init__(self, begin: float) -> None:
        super().__init__(logging.INFO)
        self._begin = begin

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line for one record."""
        style = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}.get(record.levelname, "")
        seconds = f"{time.monotonic() - self._begin:6.1f}s"
        ERR.print(f"[dim]{seconds}[/dim] ", record.getMessage(), style=style, markup=True, sep="")


@contextmanager
def progress(begin: float) -> Iterator[None]:
    """Show the lines of flows and tasks while they run, with the seconds since ``begin``."""
    loggers = [logging.getLogger(name) for name in ("prefect.flow_runs", "prefect.task_runs")]
    handler = ProgressHandler(begin)
    handler.addFilter(lambda record: not _is_bookkeeping(record))
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def _is_bookkeeping(record: logging.LogRecord) -> bool:
    """Prefect's own words about states; tracebacks belong to the log, not to the terminal."""
    return record.exc_info is not None or record.getMessage().startswith(
        (
            "Finished in state",
            "Beginning flow run",
            "Created task run",
            "View at",
            "Encountered an exception",
            "Executing",
        )
    )


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> None:
    """Print a small table; columns in ``right`` are aligned to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for position, name in enumerate(columns):
        table.add_column(name, justify="right" if position in right else "left", overflow="fold", no_wrap=position == 0)
    for row in rows:
        table.add_row(*(str(value) for value in row))
    if title:
        OUT.print(f"[bold]{title}[/bold]")
    OUT.print(table)
    OUT.print()


def show_json(value: Any) -> None:
    """Print a value for machines."""
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False))
