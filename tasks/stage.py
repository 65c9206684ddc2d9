"""How every stage behaves as a task: its finished result is found again, and only faults that pass are tried again.

A result is fit for reuse when code release, lake, day, settings and input versions are the same.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import date
from importlib.metadata import version
from typing import Any

from tasks.config import Config
from tasks.errors import TransientError
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS
from tasks.lake.opened import identity, open_lake
from tasks.lake.snapshot import Snapshots

CacheKey = Callable[[Any, Mapping[str, Any]], str]


def reuse_key(
    stage: str, *, reads: tuple[str, ...], settings: tuple[str, ...], remembers: tuple[str, ...] = ()
) -> CacheKey:
    """A Prefect ``cache_key_fn`` for a stage called with ``config``, ``as_of``, ``known`` and maybe more.

    ``remembers`` names tables in which the stage looks up what earlier runs wrote: of daily tables the last day
    counts, of others (the grades of models) the version.
    """

    def key(_context: Any, arguments: Mapping[str, Any]) -> str:
        config: Config = arguments["config"]
        known: Snapshots = arguments["known"]
        as_of: date = arguments["as_of"]
        lake = open_lake(config)
        parts = [
            stage,
            version("retail-segmentation"),
            identity(lake),
            str(as_of),
            config.digest(*settings),
            [str(snapshot) for snapshot in known.only(reads)],
            [_remembered(lake, table, as_of) for table in remembers],
            [repr(value) for name, value in sorted(arguments.items()) if name not in {"config", "as_of", "known"}],
        ]
        return f"{stage}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"

    return key


def _remembered(lake: Lake, table: str, as_of: date) -> str:
    if "as_of" not in CONTRACTS[table].partition_by:
        return str(lake.latest(table))
    return str(max((day for day in lake.days(table) if day < as_of), default=None))


def will_pass(_task: Any, _run: Any, state: Any) -> bool:
    """A Prefect ``retry_condition_fn``: waiting helps only against a ``TransientError``."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


def stage(
    name: str, *, reads: tuple[str, ...], settings: tuple[str, ...], remembers: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Options of the Prefect task of a stage."""
    return {
        "name": name,
        "cache_key_fn": reuse_key(name.replace(" ", "-"), reads=reads, settings=settings, remembers=remembers),
        "persist_result": True,
        "result_serializer": "json",
        **RETRIES,
    }


RETRIES: dict[str, Any] = {"retries": 3, "retry_delay_seconds": [5, 30, 120], "retry_condition_fn": will_pass}
