"""Why a customer is where they are: from what was measured to what each platform answered."""

from datetime import date
from typing import Any

from flows.sync_segments import newest_day
from tasks.config import load_config
from tasks.errors import ConfigurationError
from tasks.lake import Lake
from tasks.lake.opened import open_lake

Place = tuple[str, str, str]  # table, condition, order

_DAILY: dict[str, Place] = {
    "Segment": ("customer_segments", "customer_id = $customer AND as_of = $as_of", "customer_id"),
    "Measured and predicted": ("customer_features", "customer_id = $customer AND as_of = $as_of", "customer_id"),
    "Move": ("segment_moves", "customer_id = $customer AND as_of = $as_of", "customer_id"),
    "Campaign": ("campaign_members", "customer_id = $customer AND as_of = $as_of", "customer_id"),
    "Offer": ("offers", "customer_id = $customer AND as_of = $as_of", "customer_id"),
}
_LISTS: dict[str, Place] = {
    "Recommended": ("customer_recommendations", "customer_id = $customer AND as_of = $as_of", "rank"),
    "Planned": ("sync_plan_rows", "customer_id = $customer AND as_of = $as_of", "destination, plan_id"),
    "Answered": ("sync_answers", "customer_id = $customer AND as_of = $as_of", "destination, plan_id"),
    "Last accepted": ("sync_ledger", "customer_id = $customer", "destination"),
    "Kept for another try": ("dead_letters", "customer_id = $customer", '"where"'),
}
_PERSONAL = {"payload", "email", "phone", "first_name", "last_name", "loyalty_id"}


def explain_customer(address: str, customer_id: str, as_of: date | None) -> dict[str, dict[str, Any]]:
    """Chapters of facts about one customer on one day, without personal data."""
    lake = open_lake(load_config(address))
    day = as_of or newest_day(lake)
    chapters = {title: facts for title, place in _DAILY.items() if (facts := _facts(lake, place, customer_id, day))}
    if "Segment" not in chapters:
        raise ConfigurationError(
            f"Customer {customer_id!r} has no segment on {day}. Days with segments: {_days(lake)}; check the id too."
        )
    lists = {title: _rows(lake, place, customer_id, day) for title, place in _LISTS.items()}
    for title, rows in lists.items():
        if rows:
            chapters[title] = {str(number): _told(row) for number, row in enumerate(rows, start=1)}
    return chapters


def _days(lake: Lake) -> str:
    days = lake.days("customer_segments")
    return f"{days[0]} to {days[-1]}" if days else "none"


def _facts(lake: Lake, place: Place, customer_id: str, day: date) -> dict[str, Any]:
    rows = _rows(lake, place, customer_id, day)
    return {name: value for name, value in rows[0].items() if value not in (None, [], "")} if rows else {}


def _rows(lake: Lake, place: Place, customer_id: str, day: date) -> list[dict[str, Any]]:
    table, where, order = place
    values = {"customer": customer_id, "as_of": day}
    with lake.database([lake.latest(table)]) as db:
        used = {name: value for name, value in values.items() if f"${name}" in where}
        found = db.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY {order}", used).to_arrow_table().to_pylist()
    return [{name: value for name, value in row.items() if name not in _PERSONAL} for row in found]


def _told(row: dict[str, Any]) -> str:
    left_out = {"customer_id", "as_of", "digest"}
    return ", ".join(f"{name} {value}" for name, value in row.items() if name not in left_out and value is not None)
