"""A fake SendGrid and residents for the campaign tests."""

from collections.abc import Iterator

import pytest

from tests.campaigns.fake_sendgrid import FakeSendGrid, serve


@pytest.fixture
def sendgrid() -> Iterator[FakeSendGrid]:
    """A running fake SendGrid."""
    with serve() as fake:
        yield fake
