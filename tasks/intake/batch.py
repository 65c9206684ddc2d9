"""One file of one source in one run: what every step of taking it needs to know."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from tasks.config import Config, Source
from tasks.intake.files import SourceFile
from tasks.lake import Lake


@dataclass(frozen=True, slots=True)
class Batch:
    """A file to be taken; ``person_key`` is the key of the hashes of forgotten people."""

    lake: Lake
    config: Config
    source: Source
    file: SourceFile
    as_of: date
    person_key: str = ""
    refused_before: str = ""  # why the file was quarantined whole in an earlier run

    @property
    def name(self) -> str:
        """Digest that names this content of this file in the lake."""
        return self.file.batch

    @property
    def told_at(self) -> datetime:
        """Time of words that carry none: the file's own."""
        return self.file.modified or _start_of(self.as_of)

    @property
    def known_until(self) -> datetime:
        """No fact in the file can be newer: a day after its last change, because clocks differ."""
        return (self.file.modified or _start_of(self.as_of)) + timedelta(days=1)


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
