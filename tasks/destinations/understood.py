"""Reading answers whose shape nobody promised: what cannot be read is an unknown outcome, never a crash."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.destinations.platform import Platform
from tasks.errors import TransientError

MALFORMED = (LookupError, TypeError, ValueError, AttributeError)
"""What reading an answer of unexpected shape raises."""


@contextmanager
def understood(platform: Platform) -> Iterator[None]:
    """Inside, an answer of unexpected shape becomes a TransientError that names the platform and holds no data."""
    try:
        yield
    except MALFORMED as error:
        raise TransientError(f"{platform.title} answered in an unexpected shape ({type(error).__name__})") from error
