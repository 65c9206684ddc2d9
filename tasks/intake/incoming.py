"""One file on its way into the lake: read, mapped, checked row by row, with its people named by one key."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import duckdb

from tasks.config import Config, Dataset, Source
from tasks.intake.columns import DATASETS
from tasks.intake.contacts import name_people
from tasks.intake.files import SourceFile
from tasks.intake.forgotten import leave_out_forgotten
from tasks.intake.mapping import MappingProblemError, locked_database, mapped_sql, mapped_types
from tasks.intake.order_rows import order_rows_sql
from tasks.intake.other_rows import other_rows_sql
from tasks.intake.reading import BATCH_ROWS, OpenFile, UnreadableFileError, open_file, reading_errors
from tasks.lake import Lake


_ALWAYS_FILLED = ("quantity", "discount", "amount")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file in a database of its own: table ``facts`` holds its rows, ready to be compared with the lake.

    ``facts`` has ``row``, the columns of the dataset, ``customer_key`` where people occur, ``reasons`` (codes, comma
    separated; empty: the row is good), ``raw`` (JSON of a refused row) and ``stake`` (net value in the retailer's currency).
    """

    db: duckdb.DuckDBPyConnection
    lake: Lake
    config: Config
    source: Source
    file: SourceFile
    as_of: date
    person_key: str = ""

    @property
    def zone(self) -> str:
        """Time zone in which days begin and end."""
        return self.config.timezone

    @property
    def told_at(self) -> datetime:
        """Time of facts that carry none: the file's own."""
        return self.file.modified or start_of(self.as_of)


def start_of(day: date) -> datetime:
    """The first instant of a day, UTC."""
    return datetime.combine(day, time(), UTC)


@contextmanager
def receive(
    lake: Lake, config: Config, source: Source, file: SourceFile, as_of: date, person_key: str = ""
) -> Iterator[Incoming]:
    """The rows of one file in table ``facts``; raises ``UnreadableFileError`` when the file is quarantined whole."""
    tables = [lake.latest(name) for name in ("identity", "forgotten")]
    with lake.database(tables) as db, open_file(file, source, config.memory_limit) as opened:
        incoming = Incoming(db, lake, config, source, file, as_of, person_key)
        _map_rows(incoming, opened)
        _keep_broken_lines(incoming, opened)
        name_people(db, source, config)
        leave_out_forgotten(db, source, person_key)
        yield incoming


def _map_rows(incoming: Incoming, opened: OpenFile) -> None:
    source, config = incoming.source, incoming.config
    known_until = incoming.file.known_until(start_of(incoming.as_of) + timedelta(days=1)).isoformat()
    with locked_database(config.memory_limit) as locked:
        try:
            types = mapped_types(locked, source, opened.schema)
        except MappingProblemError as problem:
            raise UnreadableFileError(str(problem)) from None
        mapped = mapped_sql(source, opened.schema, types, source.timezone or config.timezone)
        if source.dataset is Dataset.ORDERS:
            checked = order_rows_sql(mapped, config, source, known_until)
        else:
            checked = other_rows_sql(mapped, source, known_until)
        locked.register("theirs", opened.rows())
        finished = locked.sql(_finished(checked, source))
        with reading_errors(incoming.file):
            incoming.db.register("checked", finished.to_arrow_reader(BATCH_ROWS))
            incoming.db.execute("CREATE TABLE incoming AS SELECT * FROM checked")
    incoming.db.unregister("checked")


def _finished(checked: str, source: Source) -> str:
    """The columns that can hold a value, ``reasons``, ``stake``, and ``raw`` of rows that are or may be refused."""
    filled = {*source.columns, *(_ALWAYS_FILLED if source.dataset is Dataset.ORDERS else ())}
    names = ", ".join(f'"{column.name}"' for column in DATASETS[source.dataset] if column.name in filled)
    # a row that only a telephone number names may still be refused: numbers are read later
    undecided = "OR (customer_id IS NULL AND loyalty_id IS NULL)" if "phone" in source.columns else ""
    return (
        f"SELECT row, {names}, marks AS reasons, stake, "
        f"CASE WHEN marks <> '' {undecided} THEN to_json(raw)::VARCHAR END AS raw FROM ({checked})"
    )


def _keep_broken_lines(incoming: Incoming, opened: OpenFile) -> None:
    broken = opened.broken_lines()
    if not broken:
        return
    last = incoming.db.sql("SELECT coalesce(max(row), 0) FROM incoming").fetchall()[0][0]
    incoming.db.executemany(
        "INSERT INTO incoming BY NAME SELECT $row AS row, 'broken_line' AS reasons, 0 AS stake, "
        "to_json({line: $line, text: $text})::VARCHAR AS raw",
        [
            {"row": last + position, "line": line, "text": text}
            for position, (line, text) in enumerate(broken, start=1)
        ],
    )
