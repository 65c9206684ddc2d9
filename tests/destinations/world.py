"""A small retailer in a lake, with named people, for tests of the push."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from tasks.config import BrakeSettings, DestinationSettings
from tasks.destinations.connect import connector
from tasks.destinations.http import Patience
from tasks.destinations.limits import unpaced
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS

AS_OF = date(2026, 3, 2)
AT = datetime(2026, 3, 2, 6, tzinfo=UTC)
KEY = "a key for tests"
HASTE = Patience(first_seconds=0.0, longest_seconds=0.0)
LOOSE = BrakeSettings(max_segment_move=1.0, max_leave=1.0)

PEOPLE = {
    "ana": "vip",
    "ben": "loyal",
    "cleo": "loyal",
    "dora": "at_risk",
    "emil": "new",
}


def rows(table: str, records: Sequence[dict[str, Any]]) -> pa.Table:
    """Records as rows of a table: what a record leaves out gets an empty value of its type."""
    contract = CONTRACTS[table]
    filled = [{c.name: _empty(c) for c in contract.columns} | record for record in records]
    return pa.Table.from_pylist(filled, schema=contract.schema)


def _empty(column: Any) -> Any:
    if column.nullable:
        return None
    kind = str(column.type)
    if kind.startswith("list"):
        return []
    return {"string": "", "bool": False, "double": 0.0}.get(kind, AT if kind.startswith("time") else 0)


def retailer(
    root: object,
    people: dict[str, str] | None = None,
    *,
    as_of: date = AS_OF,
    audiences: dict[str, list[str]] | None = None,
) -> Lake:
    """A lake in which each person has an address, a segment, a value and products to offer."""
    lake = Lake(root=str(root), threads=1)
    people = PEOPLE if people is None else people
    lake.replace("customers", rows("customers", [customer(name) for name in people]))
    assign(lake, people, as_of=as_of, audiences=audiences)
    return lake


def customer(name: str, **more: Any) -> dict[str, Any]:
    """A profile."""
    head = {"customer_id": name, "email": f"{name}@example.com", "first_name": name.title(), "last_name": "Example"}
    return {**head, **more}


def assign(
    lake: Lake, people: dict[str, str], *, as_of: date = AS_OF, audiences: dict[str, list[str]] | None = None
) -> None:
    """Segments, features and recommendations of one morning."""
    where = {"as_of": as_of}
    segments = [
        {"customer_id": n, "as_of": as_of, "segment": s, "audiences": (audiences or {}).get(n, []),
         "recommended_action": f"Talk to {s}"}
        for n, s in people.items()
    ]  # fmt: skip
    features = [
        {"customer_id": n, "as_of": as_of, "lifetime_value": 100.4 * (i + 1), "churn_probability": 0.125 * (i % 8)}
        for i, n in enumerate(people)
    ]
    offers = [
        {"customer_id": n, "as_of": as_of, "rank": rank, "product_id": f"sku-{rank}", "kind": "popular"}
        for n in people
        for rank in (1, 2)
    ]
    lake.replace("customer_segments", rows("customer_segments", segments), where=where)
    lake.replace("customer_features", rows("customer_features", features), where=where)
    lake.replace("customer_recommendations", rows("customer_recommendations", offers), where=where)


def outbox(folder: object, **more: Any) -> DestinationSettings:
    """The embedded destination."""
    return DestinationSettings(platform="outbox", settings={"folder": str(folder)}, **more)


def plain_connect() -> Any:
    """Sessions without pauses or pace."""
    return connector(pace=unpaced, patience=HASTE)
