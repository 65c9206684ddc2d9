"""One DuckDB engine per process; whoever asks gets a space of its own in it.

Starting an engine costs tens of milliseconds and a run asks a hundred times; a space (a connection whose tables and
views live in an attached database in memory) costs two. The memory limit holds for all spaces together.
"""

import atexit
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from tempfile import mkdtemp

import duckdb

_NUMBERS = itertools.count()


@contextmanager
def space(memory_limit: str, threads: int | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that shares nothing but the engine; what it made is gone when the block ends."""
    engine = _engine(os.getpid(), memory_limit, threads)
    name = f"space_{next(_NUMBERS)}"
    try:
        with engine.cursor() as connection:
            connection.execute(f"ATTACH ':memory:' AS {name}; USE {name}; SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")  # it is printed among the answers of a command
            yield connection
    finally:
        with engine.cursor() as connection:
            connection.execute(f"DETACH DATABASE IF EXISTS {name}")


@lru_cache
def _engine(_process: int, memory_limit: str, threads: int | None) -> duckdb.DuckDBPyConnection:
    """The engine of this process (a fork must not use its parent's), spilling to a folder that goes with it."""
    spill = mkdtemp(prefix="segmentation-")
    atexit.register(shutil.rmtree, spill, ignore_errors=True)
    engine = duckdb.connect()
    engine.execute(f"SET temp_directory = '{spill}'")
    engine.execute(f"SET memory_limit = '{memory_limit}'")
    engine.execute("SET enable_external_file_cache = false")  # files are read once; memory is for the work
    if threads:
        engine.execute(f"SET threads = {threads}")
    return engine
