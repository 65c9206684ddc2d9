"""Customers named by hand: tags of campaign managers, and ids as people write them."""

from collections.abc import Sequence

import pyarrow as pa

from tasks.intake.event import Event
from tasks.lake import Lake, Snapshot
from tasks.lake.contracts import CONTRACTS

TABLE = "customer_tags"


def resolve_names(lake: Lake, names: Sequence[str]) -> dict[str, str]:
    """Customer ids by the names given: a customer id, or a record's id with its id space (``shopify:123``).

    Names that nobody has are left out.
    """
    asked = pa.table({"name": pa.array(sorted(set(names)), pa.string())})
    with lake.database([lake.latest("customers"), lake.latest("identity")]) as db:
        db.register("asked", asked)
        found = db.sql(
            "SELECT name, customer_id FROM asked JOIN customers ON customer_id = name "
            "UNION SELECT name, identity.customer_id FROM asked "
            "JOIN identity ON customer_key IN (name, 'main:' || name) "
            "ORDER BY ALL"
        ).fetchall()
    return dict(found)


def tag_customers(lake: Lake, events: Sequence[Event]) -> Snapshot:
    """Write the tags of ``events``; of two about the same customer and tag the later one counts."""
    ids = resolve_names(lake, [name for event in events for name in event.customers])
    rows = {
        (ids[name], event.tag): {"customer_id": ids[name], "tag": event.tag, "by": event.by, "at": event.at}
        for event in sorted(events, key=lambda one: (one.at, one.id))
        for name in event.customers
        if name in ids
    }
    if not rows:
        return lake.latest(TABLE)
    return lake.merge(TABLE, pa.Table.from_pylist(list(rows.values()), schema=CONTRACTS[TABLE].schema))
