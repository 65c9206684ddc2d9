"""Files become streams of Arrow batches: Parquet keeps its types, CSV and NDJSON arrive as text.

Guessing types from text loses leading zeros of numbers that are names and the offset of times, and differs from file to
file; text does not. Every row carries its position in the file; a line that is no row is kept as text with a reason.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

import duckdb
import pyarrow as pa

from tasks.config import Source
from tasks.errors import ConfigurationError, TransientError
from tasks.intake.files import SourceFile
from tasks.lake.storage import allow_s3, filesystem, is_s3

ROW = "#row"
BROKEN = "#broken"
BROKEN_LINE = "broken_line"
BATCH_ROWS = 65_536
_PACKED = {".gz", ".zst"}
_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
}
_TEXT_OPTIONS = {"delimiter": "delim", "quote": "quote", "encoding": "encoding"}


class UnreadableFileError(Exception):
    """The file as a whole cannot be taken; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file being read: its columns, the stream of its rows, and the connection that reads."""

    connection: duckdb.DuckDBPyConnection
    schema: pa.Schema
    sql: str

    def rows(self) -> pa.RecordBatchReader:
        """The rows, in the order of the file, with their position in column ``#row``."""
        return self.connection.sql(self.sql).to_arrow_reader(BATCH_ROWS)

    def broken_lines(self) -> list[tuple[int, str]]:
        """Number and text of the CSV lines that are no rows; complete once the rows were read."""
        tables = self.connection.sql("SELECT table_name FROM duckdb_tables() WHERE table_name = 'reject_errors'")
        if not tables.fetchall():
            return []
        return self.connection.sql(
            "SELECT line, any_value(csv_line) FROM reject_errors GROUP BY line ORDER BY line"
        ).fetchall()


@contextmanager
def open_file(file: SourceFile, source: Source, memory_limit: str) -> Iterator[OpenFile]:
    """Open a file for reading; raises ``UnreadableFileError`` when it is not what its name says."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET memory_limit = '{memory_limit}'")
        _allow(connection, file.uri)
        with reading_errors(file):
            sql = _read_sql(connection, file, source)
            schema = connection.sql(f"SELECT * FROM ({sql}) LIMIT 0").to_arrow_table().schema
        yield OpenFile(connection, schema, sql)


@contextmanager
def reading_errors(file: SourceFile) -> Iterator[None]:
    """Tell a file that is wrong (quarantined whole) from a store that does not answer (tried again)."""
    try:
        yield
    except (duckdb.HTTPException, duckdb.OutOfMemoryException) as error:
        raise TransientError(f"{file.uri}: {_first_line(error)}") from error
    except duckdb.Error as error:
        if "Out of Memory" in str(error) or "HTTP Error" in str(error):
            raise TransientError(f"{file.uri}: {_first_line(error)}") from error
        raise UnreadableFileError(f"cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def _allow(connection: duckdb.DuckDBPyConnection, uri: str) -> None:
    if is_s3(uri):
        allow_s3(connection)
    elif "://" in uri:
        connection.register_filesystem(filesystem(uri))


def file_format(uri: str) -> str:
    """parquet, csv or ndjson, by the ending of the name."""
    path = PurePosixPath(uri)
    suffix = PurePosixPath(path.stem).suffix if path.suffix.lower() in _PACKED else path.suffix
    try:
        return _FORMATS[suffix.lower()]
    except KeyError:
        raise UnreadableFileError(
            f"its name ends in {suffix or 'nothing'}; known endings: {', '.join(_FORMATS)}, also with .gz or .zst"
        ) from None


def _read_sql(connection: duckdb.DuckDBPyConnection, file: SourceFile, source: Source) -> str:
    if file.bytes == 0:
        raise UnreadableFileError("is empty: not even a header")
    match file_format(file.uri):
        case "parquet":
            return f'SELECT row_number() OVER () AS "{ROW}", * FROM read_parquet({quote(file.uri)})'
        case "csv":
            return (
                f'SELECT row_number() OVER () AS "{ROW}", * FROM read_csv({quote(file.uri)}, all_varchar = true, '
                f"header = true, ignore_errors = true, store_rejects = true{_text_options(source)})"
            )
        case _:
            return _ndjson_sql(connection, file)


def _text_options(source: Source) -> str:
    unknown = sorted(set(source.options) - set(_TEXT_OPTIONS))
    if unknown:
        raise ConfigurationError(
            f"Source {source.name}: options {', '.join(unknown)} are unknown for files. "
            f"Known: {', '.join(_TEXT_OPTIONS)}."
        )
    return "".join(f", {_TEXT_OPTIONS[name]} = {quote(value)}" for name, value in source.options.items())


def _ndjson_sql(connection: duckdb.DuckDBPyConnection, file: SourceFile) -> str:
    lines = (
        f"SELECT row_number() OVER () AS row, line FROM read_csv({quote(file.uri)}, columns = {{'line': 'VARCHAR'}}, "
        "auto_detect = false, header = false, delim = '\x01', quote = '', escape = '', strict_mode = false)"
    )
    is_object = "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"
    names = [
        name
        for (name,) in connection.sql(
            f"SELECT DISTINCT unnest(json_keys(line)) AS name FROM ({lines}) WHERE {is_object} ORDER BY name"
        ).fetchall()
    ]
    if not names:
        raise UnreadableFileError("holds no line with a JSON object; write one object per line")
    shape = quote(json.dumps(dict.fromkeys(names, "VARCHAR")))
    return (
        f'SELECT row AS "{ROW}", CASE WHEN NOT {is_object} THEN line END AS "{BROKEN}", '
        f"unnest(from_json(CASE WHEN {is_object} THEN line END, {shape})) "
        f"FROM ({lines}) WHERE line IS NOT NULL AND trim(line) <> ''"
    )


def quote(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
