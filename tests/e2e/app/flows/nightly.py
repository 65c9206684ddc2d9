"""A small daily job for the end-to-end tests: two stages that leave traces, and a door that can be held shut."""

import os
import time
from pathlib import Path

from prefect import flow, task
from prefect.runtime import flow_run


@task
def gather(folder: str, source: str) -> str:
    """First stage: must run once, whatever happens later."""
    _trace(folder, f"gather {source}")
    return source


@task
def publish(folder: str, source: str, *, hold: bool, fail: bool) -> str:
    """Second stage: waits while it is held, fails when told to."""
    _trace(folder, f"publish {source}")
    while hold and not (Path(folder) / "open").exists():
        time.sleep(0.2)
    if fail:
        raise RuntimeError("ana@example.com could not be reached with key sk-live-123")
    _trace(folder, f"done {source}")
    return source


@flow
def nightly(folder: str, source: str = "till", hold: bool = False, fail: bool = False) -> str:
    """Gather, then publish.

    Args:
        folder: Where traces are left.
        source: Who started it.
        hold: Wait in the second stage until a file named open appears.
        fail: End in an error.
    """
    return publish(folder, gather(folder, source), hold=hold, fail=fail)


def _trace(folder: str, line: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    with (Path(folder) / "trace").open("a") as trace:
        trace.write(f"{line} attempt {flow_run.run_count} pid {os.getpid()}\n")
