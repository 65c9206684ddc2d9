"""A few customers assigned again during the day, by the rules and the clustering of the day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa

from tasks.lake import Lake, Snapshot, Snapshots
from tasks.lake.contracts.column import TEXT
from tasks.segments.assign import assign
from tasks.segments.cluster_tables import FRAME_COLUMNS, customer_clusters, solution_in_use
from tasks.segments.lookalikes import resemblance_reason
from tasks.segments.moves import find_moves
from tasks.segments.registry import Rules

TABLE = "customer_segments"


@dataclass(frozen=True, slots=True)
class Reassigned:
    """The snapshots written, and how many customers changed their primary segment."""

    snapshots: tuple[Snapshot, ...]
    customers: int
    moved: int


def reassign(lake: Lake, day: date, customers: Sequence[str], rules: Rules, known: Snapshots) -> Reassigned:
    """Assign ``customers`` again and merge them into the partition ``day`` of customer_segments; renew segment_moves.

    Profiles of segments stay as the daily run told them, and so do look-alikes, except that whoever joined the seed
    since is none any more. Customers without features of the day (joined with another)
    are taken out.
    """
    asked = pa.table({"customer_id": pa.array(sorted(customers), pa.string())})
    with lake.database([lake.latest("cluster_models")]) as db:
        db.register("asked", asked)
        db.execute("CREATE TEMP TABLE concerned AS SELECT * FROM asked")
        db.execute(
            f"CREATE VIEW customer_features AS SELECT * FROM ({lake.scan(known['customer_features'])}) "
            f"SEMI JOIN concerned USING (customer_id) WHERE as_of = DATE '{day}'"
        )
        old = f"SELECT * FROM ({lake.scan(known[TABLE])}) SEMI JOIN concerned USING (customer_id)"
        # yesterday is looked for among everybody: a customer may be new since
        db.execute(f"CREATE VIEW {TABLE} AS {lake.scan(known[TABLE])}")
        solution = solution_in_use(db.sql("FROM cluster_models").to_arrow_table().to_pylist(), day)
        today = db.sql(f"SELECT {', '.join(FRAME_COLUMNS)} FROM customer_features").df()
        db.execute(f"CREATE TEMP TABLE before AS {old} WHERE as_of = DATE '{day}'")
        clusters, similar = customer_clusters(solution, today), _found_this_morning(db, rules)
        rows = assign(db, rules.file, day, rules.version, clusters, similar=similar).to_arrow_table()
        db.register("assigned", rows)
        moved = db.sql(
            "SELECT count(*) FROM before JOIN assigned USING (customer_id) WHERE before.segment <> assigned.segment"
        ).fetchall()[0][0]
        gone = [
            c for (c,) in db.sql("SELECT customer_id FROM before ANTI JOIN assigned USING (customer_id)").fetchall()
        ]
    written = lake.merge(TABLE, rows) if len(rows) else lake.latest(TABLE)
    if gone:
        named = ", ".join("'" + customer.replace("'", "''") + "'" for customer in gone)
        written = lake.delete(TABLE, f"as_of = '{day}' AND customer_id IN ({named})")
    return Reassigned((written, _renew_moves(lake, day, written, known)), len(rows), int(moved))


def _found_this_morning(db: duckdb.DuckDBPyConnection, rules: Rules) -> pa.Table:
    """Customer, audience and reason of the look-alikes in the table ``before``."""
    labels = {rule.id: rule.label for rule in rules.file.rules}
    found = [(rule.id, resemblance_reason(labels[rule.like])) for rule in rules.file.lookalikes if rule.like]
    names, starts = ([pair[part] for pair in found] for part in (0, 1))
    db.register("lookalikes", pa.table({"audience": pa.array(names, TEXT), "start": pa.array(starts, TEXT)}))
    return db.sql(
        """
        SELECT customer_id, audience,
               coalesce(list_filter(reasons, lambda told: starts_with(told || ':', start || ':'))[1], start) AS reason
        FROM (SELECT customer_id, reasons, unnest(audiences) AS audience FROM before) JOIN lookalikes USING (audience)
        ORDER BY audience, customer_id"""
    ).to_arrow_table()


def _renew_moves(lake: Lake, day: date, written: Snapshot, known: Snapshots) -> Snapshot:
    with lake.database([written, known["customer_features"]]) as db:
        return lake.replace("segment_moves", find_moves(db, day).to_arrow_table(), where={"as_of": day})
