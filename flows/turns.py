"""One run at a time changes a lake: the daily job, a refresh, a push or an erasure wait for each other.

Each reads tables, computes and writes; two at once could write what the other has just outdated. A lake in a directory
is guarded by locks on files of it, a lake on S3 by global concurrency limits of the Prefect server. Both are given back
when the process that holds them dies: at once, and after a minute. Whoever is next in line keeps the others behind it:
a consumer that is done with a batch and wants the lake again cannot overtake the daily job.
"""

import fcntl
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from prefect import get_client, get_run_logger
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL

from tasks.errors import TransientError
from tasks.lake import Lake
from tasks.lake.storage import is_s3

LEASE_SECONDS = 60  # the least that Prefect allows; renewed while the process lives
LOOK_EVERY_SECONDS = 0.2


def turn(lake: Lake, stopped: Callable[[], bool] = lambda: False) -> AbstractContextManager[None]:
    """Inside, nobody else changes the lake; waits until that is so.

    On S3 without a Prefect server that the processes share, nothing keeps them apart. TransientError: ``stopped``
    became true while waiting for a directory.
    """
    if is_s3(lake.root):
        return _turn_on_server(limit_name(lake))
    return _turn_in_directory(Path(lake.root), stopped)


def limit_name(lake: Lake) -> str:
    """The global concurrency limit of a lake; the same whoever spells its address."""
    return f"segmentation-lake-{hashlib.sha256(lake.root.rstrip('/').encode()).hexdigest()[:12]}"


@contextmanager
def _turn_in_directory(folder: Path, stopped: Callable[[], bool]) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "_turn").open("ab") as mine, (folder / "_next").open("ab") as first_in_line:
        _wait_for(first_in_line, stopped)
        _wait_for(mine, stopped)
        fcntl.flock(first_in_line, fcntl.LOCK_UN)
        yield


def _wait_for(handle: BinaryIO, stopped: Callable[[], bool]) -> None:
    told = False
    while not _locked(handle):
        if not told:
            _say("Another run is changing the lake; this one waits for its turn")
        told = True
        if stopped():
            raise TransientError("Told to stop while another run was changing the lake; nothing was begun.")
        time.sleep(LOOK_EVERY_SECONDS)


def _locked(handle: BinaryIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _turn_on_server(name: str) -> Iterator[None]:
    if not PREFECT_API_URL.value():
        yield
        return
    with ExitStack() as mine:
        with _slot(f"{name}-next"):
            mine.enter_context(_slot(name))
        yield


@contextmanager
def _slot(name: str) -> Iterator[None]:
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):  # by another run at this very moment
        client.upsert_global_concurrency_limit_by_name(name, limit=1)
    # Losing the server for a minute must not end a run that is half way through its tables.
    with concurrency(name, lease_duration=LEASE_SECONDS, strict=True, raise_on_lease_renewal_failure=False):
        yield


def _say(text: str) -> None:
    if flow_run.id:
        get_run_logger().info(text)
    else:
        logging.getLogger("segmentation").info(text)
