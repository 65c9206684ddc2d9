"""When a push calls for people: shares of its updates that may go wrong unnoticed."""

from pydantic import Field

from tasks.config.base import Settings


class AlarmSettings(Settings):
    """Tolerances of a push at one destination; beyond them an alert is raised."""

    max_rejected: float = Field(0.01, ge=0, le=1, description="Largest share of updates refused without an alert")
    max_later: float = Field(0.01, ge=0, le=1, description="Largest share of updates put off without an alert")
