"""Rows are cast to their contract and checked on the way into a table."""

from collections.abc import Iterator
from typing import TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import CheckFailedError
from tasks.lake.contracts import Contract

Rows: TypeAlias = pa.Table | pa.RecordBatchReader | duckdb.DuckDBPyRelation
BATCH_ROWS = 65_536


def as_reader(rows: Rows) -> pa.RecordBatchReader:
    """The rows as a stream of record batches."""
    if isinstance(rows, pa.Table):
        return rows.to_reader(BATCH_ROWS)
    if isinstance(rows, pa.RecordBatchReader):
        return rows
    return rows.to_arrow_reader(BATCH_ROWS)


class Conformed:
    """The rows in the columns, order and types of a contract, as a stream that fails before anything is committed.

    ``failure`` holds the ``CheckFailedError`` of a missing or unknown column, a value that does not fit its type, a
    null where none may be or, when ``unique``, a key that occurs twice: a writer in another language would hide it.
    """

    def __init__(self, rows: Rows, contract: Contract, *, unique: bool) -> None:
        self.failure: CheckFailedError | None = None
        self._contract = contract
        self._rows = as_reader(rows)
        self._seen: list[npt.NDArray[np.uint64]] | None = [] if unique else None
        _check_names(self._rows.schema, contract)

    def reader(self) -> pa.RecordBatchReader:
        """The stream, to be read once."""
        return pa.RecordBatchReader.from_batches(self._contract.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._rows:
                fitted = _fit(batch, self._contract)
                if self._seen is not None and len(fitted):
                    self._seen.append(_hash_keys(fitted, self._contract))
                yield fitted
            _check_unique(self._seen or [], self._contract)
        except CheckFailedError as error:
            self.failure = error
            raise


def _check_names(schema: pa.Schema, contract: Contract) -> None:
    nullable = {column.name for column in contract.columns if column.nullable}
    missing = sorted(set(contract.names) - set(schema.names) - nullable)
    unknown = sorted(set(schema.names) - set(contract.names))
    if missing or unknown:
        raise CheckFailedError(
            f"Table {contract.table}: rows do not fit the contract (missing: {missing or 'none'}, "
            f"unknown: {unknown or 'none'}). Write exactly the columns of tasks/lake/contracts."
        )


def _fit(batch: pa.RecordBatch, contract: Contract) -> pa.RecordBatch:
    present = set(batch.schema.names)
    arrays = []
    for column in contract.columns:
        if column.name not in present:
            arrays.append(pa.nulls(len(batch), column.type))
            continue
        values = batch.column(column.name)
        try:
            fitted = values if values.type == column.type else pc.cast(values, column.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise CheckFailedError(
                f"Table {contract.table}, column {column.name}: {values.type} does not fit {column.type} ({error})."
            ) from error
        if not column.nullable and fitted.null_count:
            raise CheckFailedError(
                f"Table {contract.table}, column {column.name}: {fitted.null_count} rows have no value where the "
                "contract asks for one."
            )
        arrays.append(fitted)
    return pa.RecordBatch.from_arrays(arrays, schema=contract.schema)


def _hash_keys(batch: pa.RecordBatch, contract: Contract) -> npt.NDArray[np.uint64]:
    frame = batch.select(list(contract.key)).to_pandas()
    return np.asarray(pd.util.hash_pandas_object(frame, index=False), dtype=np.uint64)


def _check_unique(seen: list[npt.NDArray[np.uint64]], contract: Contract) -> None:
    hashes = np.concatenate(seen) if seen else np.empty(0, np.uint64)
    doubles = len(hashes) - len(np.unique(hashes))
    if doubles:
        raise CheckFailedError(
            f"Table {contract.table}: {doubles} rows repeat the key {', '.join(contract.key)}. Nothing was written."
        )
