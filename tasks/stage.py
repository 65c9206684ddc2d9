"""How every stage behaves as a task: its finished result is found again, and only faults that pass are tried again.

A result is fit for reuse when code release, lake, day, settings and input versions are the same.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from tasks.config import Config
from tasks.errors import TransientError
from tasks.lake.opened import identity, open_lake
from tasks.lake.snapshot import Snapshots

CacheKey = Callable[[Any, Mapping[str, Any]], str]


def reuse_key(stage: str, *, reads: tuple[str, ...], settings: tuple[str, ...]) -> CacheKey:
    """A Prefect ``cache_key_fn`` for a stage called with ``config``, ``as_of`` and ``known``."""

    def key(_context: Any, arguments: Mapping[str, Any]) -> str:
        config: Config = arguments["config"]
        known: Snapshots = arguments["known"]
        parts = [
            stage,
            version("retail-segmentation"),
            identity(open_lake(config)),
            str(arguments["as_of"]),
            config.digest(*settings),
            [str(snapshot) for snapshot in known.only(reads)],
        ]
        return f"{stage}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"

    return key


def will_pass(_task: Any, _run: Any, state: Any) -> bool:
    """A Prefect ``retry_condition_fn``: waiting helps only against a ``TransientError``."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


def stage(name: str, *, reads: tuple[str, ...], settings: tuple[str, ...]) -> dict[str, Any]:
    """Options of the Prefect task of a stage."""
    return {
        "name": name,
        "cache_key_fn": reuse_key(name.replace(" ", "-"), reads=reads, settings=settings),
        "persist_result": True,
        "result_serializer": "json",
        **RETRIES,
    }


RETRIES: dict[str, Any] = {"retries": 3, "retry_delay_seconds": [5, 30, 120], "retry_condition_fn": will_pass}
