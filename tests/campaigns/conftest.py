"""A fake SendGrid and residents for the campaign tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.lake import Lake
from tests.campaigns.fake_sendgrid import FakeSendGrid, serve


@pytest.fixture
def sendgrid() -> Iterator[FakeSendGrid]:
    """A running fake SendGrid."""
    with serve() as fake:
        yield fake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake; a town is small, a second thread would only wait."""
    return Lake(root=str(tmp_path / "lake"), memory_limit="1GB", threads=1)
