"""Where finished stages are kept: beside the tables they wrote, so that every restart on any machine finds them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.filesystems import LocalFileSystem, RemoteFileSystem, WritableFileSystem

from tasks.config import Config
from tasks.lake.storage import endpoint_url, is_s3

P = ParamSpec("P")
R = TypeVar("R")

FOLDER = "_results"


def result_storage(config: Config) -> WritableFileSystem:
    """The folder of the lake that holds the small results of finished stages."""
    if not is_s3(config.lake):
        return LocalFileSystem(basepath=str(Path(config.lake).resolve() / FOLDER))
    settings: dict[str, Any] = {"endpoint_url": endpoint_url()} if endpoint_url() else {}
    return RemoteFileSystem(basepath=f"{config.lake.rstrip('/')}/{FOLDER}", settings=settings)


def kept(config: Config) -> Callable[[Task[P, R]], Task[P, R]]:
    """Bind a stage to the result folder of the lake."""
    storage = result_storage(config)

    def bind(stage: Task[P, R]) -> Task[P, R]:
        return stage.with_options(result_storage=storage)

    return bind
