"""Fixtures shared by all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.lake import Lake

SHARED = Path(__file__).parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with whole jobs begin, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("prefect") is None)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake in a directory."""
    return Lake(root=str(tmp_path / "lake"), memory_limit="1GB", threads=2)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One Prefect server for all tests that run flows."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield
