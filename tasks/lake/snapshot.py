"""A snapshot: one table at one version. Stages pass these to each other, never rows."""

from pydantic import BaseModel, ConfigDict


class Snapshot(BaseModel):
    """A table of the lake at one version; version ``None`` means never written and reads as empty."""

    model_config = ConfigDict(frozen=True)

    table: str
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.table}@{'-' if self.version is None else self.version}"
