"""What makes the result of a finished stage fit for reuse: same code release, lake, day, settings and input versions."""

import hashlib
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from tasks.config import Config
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
