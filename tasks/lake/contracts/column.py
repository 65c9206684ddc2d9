"""What a table promises: its columns with type, unit and meaning, its key and its partitions."""

from dataclasses import dataclass

import pyarrow as pa

TEXT = pa.string()
TEXTS = pa.list_(pa.string())
WHOLE = pa.int64()
SMALL = pa.int32()
REAL = pa.float64()
FLAG = pa.bool_()
DAY = pa.date32()
INSTANT = pa.timestamp("us", tz="UTC")
MONEY = pa.decimal128(18, 4)  # exact sums: the same rows in any order give the same bytes


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``type`` is an Arrow type, ``unit`` is empty where the value has none."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Contract:
    """One table of the lake; rows are unique by ``key``, files are split by ``partition_by``."""

    table: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema that every write is cast to."""
        return pa.schema([pa.field(c.name, c.type, c.nullable) for c in self.columns])

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in the order of the table."""
        return tuple(column.name for column in self.columns)


def required(name: str, kind: pa.DataType, meaning: str, unit: str = "") -> Column:
    """A column that is never null."""
    return Column(name, kind, meaning, unit, nullable=False)
