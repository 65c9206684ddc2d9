"""Snapshots: tables at a version. Stages pass these to each other, never rows."""

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict


class Snapshot(BaseModel):
    """A table of the lake at one version; version ``None`` means never written and reads as empty."""

    model_config = ConfigDict(frozen=True)

    table: str
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.table}@{'-' if self.version is None else self.version}"


class Snapshots(BaseModel):
    """The state of the lake a run works on: one version per table."""

    model_config = ConfigDict(frozen=True)

    versions: dict[str, int | None] = {}

    @classmethod
    def of(cls, snapshots: Iterable[Snapshot]) -> Self:
        """The given snapshots; of two of the same table the later one counts."""
        return cls(versions={snapshot.table: snapshot.version for snapshot in snapshots})

    def __getitem__(self, table: str) -> Snapshot:
        return Snapshot(table=table, version=self.versions.get(table))

    def only(self, tables: Iterable[str]) -> list[Snapshot]:
        """The snapshots of the named tables; one that no stage has written is empty."""
        return [self[table] for table in tables]

    def having(self, *written: Snapshot) -> Self:
        """These snapshots with newer ones in their place."""
        return type(self)(versions=self.versions | {snapshot.table: snapshot.version for snapshot in written})
