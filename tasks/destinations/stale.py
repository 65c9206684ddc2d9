"""A plan is executed as it stands or not at all: here is told when it no longer fits the world."""

from datetime import date

import duckdb

from tasks.destinations.journal import journal_files
from tasks.destinations.plan import DestinationPlan
from tasks.errors import CheckFailedError
from tasks.lake import Lake, Snapshot


def refuse_stale(lake: Lake, part: DestinationPlan) -> None:
    """CheckFailedError when a newer plan exists, or segments or ledger have changed since the plan was made.

    A plan that was already begun may be continued: its own answers are the change.
    """
    if why := overtaken_by(lake, part):
        raise CheckFailedError(f"Plan {part.plan_id} for {part.destination} is stale: {why}. Make a new plan.")


def overtaken_by(lake: Lake, part: DestinationPlan) -> str:
    """What has made the plan stale; empty while it can be sent as it stands."""
    given = {"plan_id": part.plan_id, "destination": part.destination}
    with lake.database([lake.latest("sync_plans"), lake.latest("sync_answers")]) as db:
        newest, stored, begun = db.execute(
            """
            SELECT arg_max(plan_id, (made_at, ledger_version)), count(*) FILTER (plan_id = $plan_id),
                (SELECT count(*) FROM sync_answers WHERE plan_id = $plan_id AND destination = $destination)
            FROM sync_plans WHERE destination = $destination
            """,
            given,
        ).fetchall()[0]
    if not stored:
        raise CheckFailedError(f"Plan {part.plan_id} for {part.destination} is not stored; make a plan first.")
    if newest != part.plan_id:
        return f"plan {newest} is newer"
    if begun or journal_files(lake, part.plan_id, part.destination):
        return ""
    ledger = Snapshot(table="sync_ledger", version=part.ledger_version if part.ledger_version >= 0 else None)
    if _differs(lake, ledger, {"destination": part.destination}):
        return "the ledger has changed since"
    if _differs(lake, _input(part, "customer_segments"), {"as_of": part.as_of}):
        return "the segments have changed since"
    return ""


def _input(part: DestinationPlan, table: str) -> Snapshot:
    for name in part.inputs:
        found, _, version = name.partition("@")
        if found == table:
            return Snapshot(table=table, version=None if version == "-" else int(version))
    return Snapshot(table=table)


def _differs(lake: Lake, then: Snapshot, where: dict[str, date | int | str]) -> bool:
    now = lake.latest(then.table)
    if now.version == then.version:
        return False
    try:
        return lake.fingerprint(then, where) != lake.fingerprint(now, where)
    except duckdb.IOException:
        return True  # the files of the old version are gone
