"""Where finished stages are kept: beside the tables they wrote, so that every restart on any machine finds them."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.filesystems import RemoteFileSystem

from tasks.config import Config
from tasks.lake.storage import endpoint_url, is_s3

P = ParamSpec("P")
R = TypeVar("R")

FOLDER = "_results"


def result_storage(config: Config) -> Path | str:
    """The folder of the lake for the small results of finished stages; on S3 the name of a block that says so."""
    if not is_s3(config.lake):
        return Path(config.lake).resolve() / FOLDER
    address = f"{config.lake.rstrip('/')}/{FOLDER}"
    settings: dict[str, Any] = {"endpoint_url": endpoint_url()} if endpoint_url() else {}
    name = f"segmentation-results-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
    RemoteFileSystem(basepath=address, settings=settings).save(name, overwrite=True)
    return f"remote-file-system/{name}"


def kept(config: Config) -> Callable[[Task[P, R]], Task[P, R]]:
    """Bind a stage to the result folder of the lake."""
    storage = result_storage(config)

    def bind(stage: Task[P, R]) -> Task[P, R]:
        return stage.with_options(result_storage=storage)

    return bind
