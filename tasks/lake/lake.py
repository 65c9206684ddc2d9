"""The lake: Delta tables under one root, read through DuckDB, written with contracts.

Delta gives atomic commits, versions (the snapshot references that stages exchange), idempotent appends, row deletion
and plain Parquet files; DuckDB reads a version's file list at full speed.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError
from pydantic import BaseModel, ConfigDict

from tasks.errors import ConfigurationError
from tasks.lake.conform import Conformed, Rows
from tasks.lake.contracts import CONTRACTS, Contract
from tasks.lake.contracts.column import TEXT, TEXTS, Column
from tasks.lake.engine import space
from tasks.lake.snapshot import Snapshot
from tasks.lake.storage import allow_s3, delta_options, filesystem, is_s3

Value = date | int | str
Where = Mapping[str, Value | Sequence[int]]  # several numbers: any of them, in one atomic commit


def _column(column: Column, known: Collection[str], partition_by: Sequence[str]) -> str:
    if column.name not in known:
        return f'NULL::{_sql_type(column.type)} AS "{column.name}"'
    return (
        f'"{column.name}"::{_sql_type(column.type)} AS "{column.name}"'
        if column.name in partition_by
        else f'"{column.name}"'
    )


def _literal(value: Value) -> str:
    if isinstance(value, bool) or not isinstance(value, date | int | str):
        raise TypeError(f"cannot compare a column with {value!r}")
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def open_table(address: str, version: int | None = None) -> DeltaTable | None:
    """The Delta table at an address, its newest version or the given one; None where none was ever written."""
    try:
        return DeltaTable(address, version=version, storage_options=delta_options(address))
    except TableNotFoundError:
        return None


@lru_cache(maxsize=256)
def _scan(address: str, snapshot: Snapshot, _stamp: int) -> str:
    """The SQL of ``Lake.scan``, read from the table's log once: a version never changes."""
    contract = _contract(snapshot.table)
    table = None if snapshot.version is None else open_table(address, snapshot.version)
    files = [] if table is None else table.file_uris()
    if table is None or not files:
        nothing = ", ".join(f'NULL::{_sql_type(c.type)} AS "{c.name}"' for c in contract.columns)
        return f"SELECT {nothing} WHERE false"
    known = {field.name for field in table.schema().fields}
    parts = [c for c in contract.columns if c.name in contract.partition_by]
    # Values of partitions come as text and are cast here: with hive_types, DuckDB 1.5 fails with an internal error
    # on max(as_of) when the table is a single file.
    hive = ", hive_partitioning = true, hive_types_autocast = false" if parts else ""
    columns = ", ".join(_column(c, known, contract.partition_by) for c in contract.columns)
    listed = ", ".join(_literal(_local(uri)) for uri in sorted(files))
    return f"SELECT {columns} FROM read_parquet([{listed}], union_by_name = true{hive})"


def _stamp(address: str, snapshot: Snapshot) -> int:
    """When a version was written: a directory may be put back to an earlier state, and its versions count anew."""
    if is_s3(address) or snapshot.version is None:
        return 0
    log = Path(address) / "_delta_log" / f"{snapshot.version:020d}.json"
    return log.stat().st_mtime_ns if log.exists() else 0


class Lake(BaseModel):
    """All tables under ``root``, a directory or ``s3://bucket/prefix``."""

    model_config = ConfigDict(frozen=True)

    root: str
    memory_limit: str = "4GB"
    threads: int | None = None

    def address(self, name: str) -> str:
        """Address of a table or file below the root."""
        return f"{self.root.rstrip('/')}/{name}"

    def latest(self, table: str) -> Snapshot:
        """The newest snapshot of a table."""
        found = self._open(_contract(table))
        return Snapshot(table=table, version=None if found is None else found.version())

    def _open(self, contract: Contract) -> DeltaTable | None:
        return open_table(self.address(contract.table))

    @contextmanager
    def database(self, snapshots: Sequence[Snapshot] = ()) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection with one view per snapshot, named after its table; it spills to disk when memory ends."""
        with space(self.memory_limit, self.threads) as connection:
            if is_s3(self.root):
                allow_s3(connection)
            for snapshot in snapshots:
                connection.execute(f"CREATE OR REPLACE VIEW {snapshot.table} AS {self.scan(snapshot)}")
            yield connection

    def scan(self, snapshot: Snapshot) -> str:
        """The SQL that reads a snapshot with exactly the columns of its contract."""
        address = self.address(snapshot.table)
        return _scan(address, snapshot, _stamp(address, snapshot))

    def read(self, snapshot: Snapshot, columns: Sequence[str] | None = None, where: Where | None = None) -> pa.Table:
        """Rows of a snapshot as an Arrow table, ordered by its key."""
        contract = _contract(snapshot.table)
        condition = f"WHERE {_conditions(where)}" if where else ""
        order = ", ".join(f'"{name}"' for name in contract.key)
        with self.database([snapshot]) as db:
            return db.sql(
                f"SELECT {', '.join(columns) if columns else '*'} FROM {snapshot.table} {condition} ORDER BY {order}"
            ).to_arrow_table()

    def days(self, table: str) -> list[date]:
        """The days (``as_of`` partitions) that a table holds, oldest first; from the log, without reading rows."""
        found = self._open(_contract(table))
        return [] if found is None else sorted({date.fromisoformat(part["as_of"]) for part in found.partitions()})

    def fingerprint(self, snapshot: Snapshot, where: Where | None = None) -> str:
        """Digest of the content, whatever the order of rows and files."""
        condition = f"WHERE {_conditions(where)}" if where else ""
        with self.database([snapshot]) as db:
            rows, digest = db.sql(
                "SELECT count(*), coalesce(sum(md5_number(t::VARCHAR) % 1000000007), 0)::BIGINT "
                f"FROM {snapshot.table} t {condition}"
            ).fetchall()[0]
        return f"{rows}:{digest}"

    def append(self, table: str, rows: Rows, *, transaction: str) -> Snapshot:
        """Add rows once: a transaction that is already in the table is not written again."""
        contract = _contract(table)
        found = self._open(contract)
        if found is not None and found.transaction_version(transaction) is not None:
            return Snapshot(table=table, version=found.version())
        return self._write(contract, rows, mode="append", transaction=transaction, unique=False)

    def replace(self, table: str, rows: Rows, *, where: Where | None = None) -> Snapshot:
        """Replace the whole table, or the partitions that ``where`` names."""
        contract = _contract(table)
        if where and (stray := sorted(set(where) - set(contract.partition_by))):
            raise ConfigurationError(f"Table {table} is not partitioned by {', '.join(stray)}.")
        predicate = _conditions(where) if where else None
        return self._write(contract, rows, mode="overwrite", predicate=predicate, unique=True)

    def merge(self, table: str, rows: Rows) -> Snapshot:
        """Insert rows, or replace those with the same key."""
        contract = _contract(table)
        found = self._open(contract)
        if found is None:
            return self._write(contract, rows, mode="append", unique=True)
        same = " AND ".join(f"old.{name} = new.{name}" for name in contract.key)
        checked = Conformed(rows, contract, unique=True).reader().read_all()
        if len(checked):
            merging = found.merge(checked, predicate=same, source_alias="new", target_alias="old")
            merging.when_matched_update_all().when_not_matched_insert_all().execute()
        return Snapshot(table=table, version=found.version())

    def delete(self, table: str, where: str) -> Snapshot:
        """Delete the rows that the SQL condition names; older versions keep them until ``vacuum``."""
        found = self._open(_contract(table))
        if found is None:
            return Snapshot(table=table)
        found.delete(where)
        return Snapshot(table=table, version=found.version())

    def _write(
        self,
        contract: Contract,
        rows: Rows,
        *,
        mode: Any,
        unique: bool,
        predicate: str | None = None,
        transaction: str | None = None,
    ) -> Snapshot:
        address = self.address(contract.table)
        marks = CommitProperties(app_transactions=[Transaction(transaction, 1)]) if transaction else None
        missing = self._open(contract) is None
        conformed = Conformed(rows, contract, unique=unique)
        try:
            write_deltalake(
                address,
                conformed.reader(),
                mode=mode,
                partition_by=list(contract.partition_by) or None,
                predicate=None if missing else predicate,
                schema_mode=None if missing or predicate else "merge",
                commit_properties=marks,
                storage_options=delta_options(address),
            )
        except DeltaError:
            if conformed.failure is not None:
                raise conformed.failure from None
            raise
        return self.latest(contract.table)

    def write_text(self, name: str, text: str) -> str:
        """Write a text file (a report, a receipt) below the root and return its address."""
        return self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> str:
        """Write a file below the root and return its address."""
        address = self.address(name)
        files = filesystem(address)
        files.makedirs(address.rsplit("/", 1)[0], exist_ok=True)
        with files.open(address, "wb") as handle:
            handle.write(content)
        return address


def _contract(table: str) -> Contract:
    try:
        return CONTRACTS[table]
    except KeyError:
        raise ConfigurationError(f"There is no table {table!r}. Tables: {', '.join(sorted(CONTRACTS))}.") from None


def _conditions(where: Where) -> str:
    return " AND ".join(_condition(name, value) for name, value in where.items())


def _condition(name: str, value: Value | Sequence[int]) -> str:
    if isinstance(value, date | int | str):
        return f"{name} = {_literal(value)}"
    return f"{name} IN ({', '.join(_literal(number) for number in value)})"


def _local(uri: str) -> str:
    return uri.removeprefix("file://")


_SQL_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "date32[day]": "DATE",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
    "decimal128(18, 4)": "DECIMAL(18,4)",
}


def _sql_type(kind: pa.DataType) -> str:
    return f"{_SQL_TYPES[str(TEXT)]}[]" if kind == TEXTS else _SQL_TYPES[str(kind)]
