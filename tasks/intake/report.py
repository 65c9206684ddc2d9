"""What intake says it did: counts and amounts that add up."""

from datetime import date
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from tasks.lake import Snapshot


class Sums(BaseModel):
    """Rows and net value, by what became of them; what was read is counted by itself, so that sums can be compared."""

    model_config = ConfigDict(frozen=True)

    rows_read: int = 0
    rows_kept: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    amount_read: Decimal = Decimal(0)
    amount_kept: Decimal = Decimal(0)
    amount_quarantined: Decimal = Decimal(0)
    amount_duplicate: Decimal = Decimal(0)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(**{name: getattr(self, name) + getattr(other, name) for name in Sums.model_fields})

    @property
    def balanced(self) -> bool:
        """Nothing was lost and nothing appeared."""
        return (
            self.rows_read == self.rows_kept + self.rows_quarantined + self.rows_duplicate
            and self.amount_read == self.amount_kept + self.amount_quarantined + self.amount_duplicate
        )


class FileReport(BaseModel):
    """One file and what became of its rows; ``reason`` says why it was quarantined whole."""

    model_config = ConfigDict(frozen=True)

    uri: str
    status: str
    reason: str = ""
    sums: Sums = Sums()


class SourceReport(BaseModel):
    """One source in one run: the files found, and those that were new."""

    model_config = ConfigDict(frozen=True)

    source: str
    dataset: str
    channel: str
    files_found: int
    files: tuple[FileReport, ...] = ()

    @property
    def sums(self) -> Sums:
        """Over the new files."""
        return sum((file.sums for file in self.files), Sums())


class Finding(BaseModel):
    """The verdict of one check, as it stands in table check_results."""

    model_config = ConfigDict(frozen=True)

    check: str
    subject: str
    verdict: str
    value: float
    limit: float | None = None
    message: str


class IntakeReport(BaseModel):
    """One run of intake."""

    model_config = ConfigDict(frozen=True)

    as_of: date
    sources: tuple[SourceReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()

    @property
    def sums(self) -> Sums:
        """Over all new files."""
        return sum((source.sums for source in self.sources), Sums())

    @property
    def stopped(self) -> tuple[Finding, ...]:
        """What must be put right before anything leaves."""
        return tuple(finding for finding in self.findings if finding.verdict == "stopped")
