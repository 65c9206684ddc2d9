"""The four kinds of error, named by what happens next."""


class SegmentationError(Exception):
    """Base of every error this system raises on purpose; its text says what, where and what to do."""


class ConfigurationError(SegmentationError):
    """A person must act (wrong key, missing column, bad secret); never retried."""


class TransientError(SegmentationError):
    """Waiting helps (time-out, rate limit, service down); ``wait_seconds`` is the wait the other side asked for."""

    def __init__(self, message: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class RejectedError(SegmentationError):
    """One row is refused and kept with its reason; the others go on."""


class CheckFailedError(SegmentationError):
    """The data is wrong; the run stops before anything leaves the house."""
