"""One file on its way into the lake: read, mapped, checked row by row, with its people named by one key."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import duckdb

from tasks.config import Config, Dataset, Source
from tasks.intake.batch import Batch
from tasks.intake.columns import DATASETS
from tasks.intake.contacts import name_people
from tasks.intake.files import SourceFile
from tasks.intake.forgotten import leave_out_forgotten
from tasks.intake.mapping import MappingProblemError, locked_database, mapped_sql, mapped_types
from tasks.intake.order_rows import order_rows_sql
from tasks.intake.other_rows import other_rows_sql
from tasks.intake.reading import BATCH_ROWS, BROKEN_LINE, OpenFile, UnreadableFileError, open_file, reading_errors
from tasks.lake import Lake

_ALWAYS_FILLED = ("quantity", "discount", "amount")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file in a database of its own: view ``facts`` holds its rows, ready to be compared with the lake.

    ``facts`` has ``row``, the columns of the dataset, ``customer_key`` where people occur, ``reasons`` (codes, comma
    separated; empty: the row is good), ``stake`` (net value in the retailer's currency) and ``raw`` (JSON of a refused
    row).
    """

    db: duckdb.DuckDBPyConnection
    batch: Batch

    @property
    def lake(self) -> Lake:
        """Where it goes."""
        return self.batch.lake

    @property
    def config(self) -> Config:
        """How it goes there."""
        return self.batch.config

    @property
    def source(self) -> Source:
        """Where it comes from."""
        return self.batch.source

    @property
    def file(self) -> SourceFile:
        """The file."""
        return self.batch.file

    @property
    def as_of(self) -> date:
        """The run that takes it."""
        return self.batch.as_of


@contextmanager
def receive(batch: Batch) -> Iterator[Incoming]:
    """The rows of one file as view ``facts``; raises ``UnreadableFileError`` when the file is quarantined whole."""
    lake, source = batch.lake, batch.source
    tables = [lake.latest(name) for name in ("identity", "forgotten")]
    with lake.database(tables) as db, open_file(batch.file, source, batch.config.memory_limit) as opened:
        _map_rows(db, batch, opened)
        _keep_broken_lines(db, opened)
        name_people(db, source, batch.config)
        leave_out_forgotten(db, source, batch.person_key)
        yield Incoming(db, batch)


def _map_rows(db: duckdb.DuckDBPyConnection, batch: Batch, opened: OpenFile) -> None:
    """Table ``incoming``: their rows in our columns, straight from the file, through the locked database."""
    source, config = batch.source, batch.config
    with locked_database(config.memory_limit) as locked:
        try:
            types = mapped_types(locked, source, opened.schema)
        except MappingProblemError as problem:
            raise UnreadableFileError(str(problem)) from None
        mapped = mapped_sql(source, opened.schema, types, source.timezone or config.timezone)
        if source.dataset is Dataset.ORDERS:
            checked = order_rows_sql(mapped, config, source, batch.known_until.isoformat())
        else:
            checked = other_rows_sql(mapped, source, batch.known_until.isoformat())
        locked.register("theirs", opened.rows())
        finished = locked.sql(_finished(checked, source))
        with reading_errors(batch.file):
            db.register("checked", finished.to_arrow_reader(BATCH_ROWS))
            db.execute("CREATE TABLE incoming AS SELECT * FROM checked")
    db.unregister("checked")


def _finished(checked: str, source: Source) -> str:
    """The columns that can hold a value, ``reasons``, ``stake``, and ``raw`` of rows that are or may be refused."""
    filled = {*source.columns, *(_ALWAYS_FILLED if source.dataset is Dataset.ORDERS else ())}
    names = ", ".join(f'"{column.name}"' for column in DATASETS[source.dataset] if column.name in filled)
    # a row that only a contact names may still be refused: addresses and numbers are judged later
    contacts = {"email", "phone"} & set(source.columns)
    undecided = "OR (customer_id IS NULL AND loyalty_id IS NULL)" if contacts else ""
    return (
        f"SELECT row, {names}, stake, "
        f"CASE WHEN contains(marks, '{BROKEN_LINE}') THEN '{BROKEN_LINE}' ELSE marks END AS reasons, "
        f"CASE WHEN marks <> '' {undecided} THEN to_json(raw)::VARCHAR END AS raw FROM ({checked})"
    )


def _keep_broken_lines(db: duckdb.DuckDBPyConnection, opened: OpenFile) -> None:
    broken = opened.broken_lines()
    if not broken:
        return
    last = db.sql("SELECT coalesce(max(row), 0) FROM incoming").fetchall()[0][0]
    db.executemany(
        "INSERT INTO incoming BY NAME SELECT $row AS row, $reason AS reasons, 0 AS stake, "
        "to_json({line: $line, text: $text})::VARCHAR AS raw",
        [
            {"row": last + position, "reason": BROKEN_LINE, "line": line, "text": text}
            for position, (line, text) in enumerate(broken, start=1)
        ],
    )
