"""Their columns become ours: SQL expressions, evaluated where nothing but the row can be reached.

The database that evaluates them cannot open files, load extensions or change its own settings; rows come in as an Arrow
stream. An expression that fails on a row gives no value there, never a failed run.
"""

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from tasks.config import Dataset, Source
from tasks.intake.casting import cast_sql, mark_sql
from tasks.intake.columns import ABOUT_PEOPLE, DATASETS, PEOPLE_KEYS, SQL_TYPES, Kind
from tasks.intake.reading import BROKEN, BROKEN_LINE, ROW, quote

_LOCK = (
    "SET TimeZone = 'UTC'; SET python_enable_replacements = false; SET enable_external_access = false; "
    "SET lock_configuration = true"
)
_MISSING = re.compile(r'Referenced column "([^"]+)" not found')
_WRONG_TYPES = {
    Kind.INSTANT: re.compile(r"^(?!DATE$|TIMESTAMP|VARCHAR$|\"NULL\"$)"),
    Kind.DAY: re.compile(r"^(?!DATE$|TIMESTAMP|VARCHAR$|\"NULL\"$)"),
    Kind.NUMBER: re.compile(r"^(DATE|TIME|INTERVAL|STRUCT|BLOB)|\[\]$"),
    Kind.MONEY: re.compile(r"^(DATE|TIME|INTERVAL|STRUCT|BLOB|BOOLEAN)|\[\]$"),
    Kind.WHOLE: re.compile(r"^(DATE|TIME|INTERVAL|STRUCT|BLOB)|\[\]$"),
    Kind.FLAG: re.compile(r"^(DATE|TIME|INTERVAL|STRUCT|BLOB)|\[\]$"),
    Kind.TEXT: re.compile(r"^(STRUCT|MAP|BLOB)|\[\]$"),
    Kind.TEXTS: re.compile(r"^(DATE|TIME|STRUCT|MAP|BLOB)"),
}
_REMEDIES = {
    Kind.INSTANT: "give a timestamp, a date or text; seconds since 1970 become one with to_timestamp(…)",
    Kind.DAY: "give a date or text",
}


class MappingProblemError(Exception):
    """An expression does not fit the columns of a file; ``key`` is the configuration key below the source."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")
        self.key = key
        self.text = text


@contextmanager
def locked_database(memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB in which expressions of the configuration are evaluated and can reach nothing else."""
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = {quote(memory_limit)}")
        connection.execute(_LOCK)
        yield connection


def find_problems(source: Source) -> list[MappingProblemError]:
    """What is wrong with a mapping before any file is seen: unknown columns of ours, required ones missing."""
    mapped = set(source.columns)
    problems = [
        MappingProblemError(
            f"columns.{name}", f"is no column of {source.dataset}. {did_you_mean(name, _names(source))}"
        )
        for name in source.columns
        if name not in _names(source)
    ]
    problems += [
        MappingProblemError("columns", f"{column.name} is missing. Add it with an expression over their columns.")
        for column in DATASETS[source.dataset]
        if column.required and column.name not in mapped
    ]
    if source.dataset is Dataset.ORDERS and not {"amount", "unit_price"} & mapped:
        problems.append(MappingProblemError("columns", "amount is missing. Map it, or quantity and unit_price."))
    if source.dataset in ABOUT_PEOPLE and not set(PEOPLE_KEYS) & mapped:
        problems.append(MappingProblemError("columns", f"map at least one of {', '.join(PEOPLE_KEYS)}."))
    return problems


def find_type_problems(source: Source, schema: pa.Schema) -> list[MappingProblemError]:
    """Everything that keeps the source's expressions from fitting a file of this schema."""
    with locked_database("1GB") as database:
        try:
            mapped_types(database, source, schema)
        except MappingProblemError:
            return list(_each_problem(database, source, schema))
    return []


def _names(source: Source) -> list[str]:
    return [column.name for column in DATASETS[source.dataset]]


def _each_problem(
    database: duckdb.DuckDBPyConnection, source: Source, schema: pa.Schema
) -> Iterator[MappingProblemError]:
    for name in source.columns:
        if name in _names(source):
            one = source.model_copy(update={"columns": {name: source.columns[name]}, "where": ""})
            yield from _problem_of(database, one, schema)
    if source.where:
        yield from _problem_of(database, source.model_copy(update={"columns": {}}), schema)


def _problem_of(
    database: duckdb.DuckDBPyConnection, source: Source, schema: pa.Schema
) -> Iterator[MappingProblemError]:
    try:
        mapped_types(database, source, schema)
    except MappingProblemError as problem:
        yield problem


def mapped_types(database: duckdb.DuckDBPyConnection, source: Source, schema: pa.Schema) -> dict[str, str]:
    """DuckDB type of each mapped expression; raises ``MappingProblemError`` for one that does not bind or fit."""
    database.register("theirs", schema.empty_table())
    try:
        described = database.sql(f"DESCRIBE {_bound_sql(source, schema)}").fetchall()
    except duckdb.Error as error:
        raise _explain(database, source, schema, error) from None
    types = {str(name)[1:]: str(kind) for name, kind, *_ in described if str(name).startswith("_")}
    for column in DATASETS[source.dataset]:
        kind = types.get(column.name)
        if kind is not None and _WRONG_TYPES[column.kind].search(kind):
            remedy = _REMEDIES.get(column.kind, f"cast it: CAST({source.columns[column.name]} AS …)")
            raise MappingProblemError(
                f"columns.{column.name}", f"gives {kind} where a {column.kind} is needed; {remedy}."
            )
    return types


def _explain(
    database: duckdb.DuckDBPyConnection, source: Source, schema: pa.Schema, error: duckdb.Error
) -> MappingProblemError:
    expressions = {f"columns.{name}": text for name, text in source.columns.items() if name in _names(source)}
    if source.where:
        expressions["where"] = source.where
    for key, expression in expressions.items():
        try:
            database.sql(f"DESCRIBE SELECT TRY({_expression(expression, schema)}) FROM theirs")
        except duckdb.Error as own:
            return MappingProblemError(key, _describe(expression, schema, own))
    return MappingProblemError("columns", str(error).split("\n", 1)[0])


def _describe(expression: str, schema: pa.Schema, error: duckdb.Error) -> str:
    text = str(error).strip()
    theirs = [name for name in schema.names if not name.startswith("#")]
    if missing := _MISSING.search(text):
        return f"there is no column {missing[1]!r} in the file. {did_you_mean(missing[1], theirs)}"
    hint = ""
    if "No function matches" in text:
        hint = " Columns of CSV and NDJSON files are text: CAST(… AS DOUBLE)."
    elif "syntax error" in text:
        hint = ' Put names of columns that are words of SQL, or hold blanks, in double quotes: "order".'
    return f"the expression {expression!r} is not valid ({text.split(chr(10), 1)[0]}).{hint}"


def did_you_mean(name: str, known: list[str]) -> str:
    """A hint at the closest known name, or all of them."""
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1)
    return f"Did you mean {by_lower[close[0]]}?" if close else f"Known: {', '.join(sorted(known))}."


def _bound_sql(source: Source, schema: pa.Schema) -> str:
    """Row number, each expression as ``_name`` and the whole row, of the rows that belong to the source."""
    known = _names(source)
    expressions = [
        f"TRY({_expression(text, schema)}) AS _{name}" for name, text in source.columns.items() if name in known
    ]
    fields = ", ".join(f"{name} := theirs.{name}" for name in map(identifier, schema.names) if name[1] != "#")
    carried = [f'theirs."{name}"' for name in schema.names if name.startswith("#")]
    condition = f"WHERE TRY({source.where})" if source.where else ""
    return f'SELECT {", ".join([*carried, *expressions])}, struct_pack({fields}) AS "#raw" FROM theirs {condition}'


def _expression(text: str, schema: pa.Schema) -> str:
    """The expression; one that is just a column's name may be a word of SQL, like order, and is quoted."""
    return identifier(text.strip()) if text.strip() in schema.names else text


def identifier(name: str) -> str:
    """A column name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def mapped_sql(source: Source, schema: pa.Schema, types: dict[str, str], zone: str) -> str:
    """SQL over ``theirs``: ``row``, our columns cast to their kind, ``marks`` (reason codes, comma separated), ``raw``.

    ``zone`` is the time zone of times that carry no offset.
    """
    columns = DATASETS[source.dataset]
    mapped = [(column, types[column.name]) for column in columns if column.name in types]
    casts = {column.name: cast_sql(column, their_type, zone) for column, their_type in mapped}
    marks = [
        f"CASE WHEN {test} THEN '{code}' END"
        for column, their_type in mapped
        for code, test in mark_sql(column, their_type, zone).items()
    ]
    raw = '"#raw"'
    if BROKEN in schema.names:
        raw = f'CASE WHEN "{BROKEN}" IS NULL THEN to_json("#raw") ELSE to_json({{line: "{BROKEN}"}}) END'
        marks.append(f"CASE WHEN \"{BROKEN}\" IS NOT NULL THEN '{BROKEN_LINE}' END")
    values = [f'{casts.get(c.name, f"NULL::{SQL_TYPES[c.kind]}")} AS "{c.name}"' for c in columns]
    return (
        f'SELECT "{ROW}" AS row, {", ".join(values)}, {joined_marks(marks)} AS marks, {raw} AS raw '
        f"FROM ({_bound_sql(source, schema)})"
    )


def joined_marks(marks: list[str]) -> str:
    """SQL that joins reason codes with commas; texts are much cheaper than lists while nearly all rows are good."""
    return f"concat_ws(',', {', '.join(marks) or 'NULL'})"
