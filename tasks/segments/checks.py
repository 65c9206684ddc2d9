"""Checks of an assignment: everyone has one segment, nobody's segment vanished, sizes moved as far as is believable."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from tasks.config import BrakeSettings
from tasks.lake.contracts import CONTRACTS
from tasks.segments.lookalikes import SMALLEST_SEED, Search
from tasks.segments.rules import RuleFile

STAGE = "segments"


def check_segments(
    db: duckdb.DuckDBPyConnection,
    rules: RuleFile,
    as_of: date,
    tolerance: BrakeSettings,
    searches: Sequence[Search] = (),
) -> pa.Table:
    """Rows of ``check_results``; only missing or double customers are ``stopped``, the rest is ``told``.

    ``db`` has the views ``customer_features`` and ``customer_segments``, this morning included; ``searches`` say how
    look-alikes were looked for.
    """
    rows = [_coverage(db, as_of), *_sizes(db, rules, as_of, tolerance), *(_seed(search) for search in searches)]
    full = [{"as_of": as_of, "stage": STAGE, **row} for row in rows]
    return pa.Table.from_pylist(full, schema=CONTRACTS["check_results"].schema)


def _coverage(db: duckdb.DuckDBPyConnection, as_of: date) -> dict[str, Any]:
    wrong = db.execute(
        """
        WITH placed AS (SELECT customer_id, count(*) AS times FROM customer_segments WHERE as_of = $day GROUP BY 1),
        known AS (SELECT customer_id FROM customer_features WHERE as_of = $day)
        SELECT count(*) FROM known FULL JOIN placed USING (customer_id)
        WHERE times IS DISTINCT FROM 1 OR known.customer_id IS NULL""",
        {"day": as_of},
    ).fetchall()[0][0]
    fault = f"{wrong} customers are missing, double or unknown in customer_segments. Run the segments stage again."
    return {
        "check": "exactly_one_segment",
        "subject": "customer_segments",
        "verdict": "stopped" if wrong else "passed",
        "value": float(wrong),
        "limit": 0.0,
        "message": fault if wrong else "Every customer has exactly one primary segment.",
    }


def _sizes(
    db: duckdb.DuckDBPyConnection, rules: RuleFile, as_of: date, tolerance: BrakeSettings
) -> Iterator[dict[str, Any]]:
    now, before = (
        _count(db, as_of, "= $day"),
        _count(db, as_of, "= (SELECT max(as_of) FROM all_days WHERE as_of < $day)"),
    )
    for rule in rules.rules:
        size, was = now.get(rule.id, 0), before.get(rule.id, 0)
        if was >= max(tolerance.min_segment_size, 1):
            yield _moved(rule.id, was, size, tolerance)
        elif size:
            yield _row("has_members", rule.id, told=False, value=float(size), limit=1.0, message=f"{size} customers.")
    empty = sorted(rule.id for rule in rules.rules if not now.get(rule.id))
    if empty:
        message = f"Nobody is in {', '.join(empty)}. If that surprises you, look at their conditions in the rule file."
        yield _row("has_members", "empty", told=True, value=0.0, limit=1.0, message=message)


def _seed(search: Search) -> dict[str, Any]:
    size, least = search.seed_customers, SMALLEST_SEED
    if size < least:
        message = (
            f"{search.audience} is empty: its seed {search.seed} has {size} customers, and at least {least} are needed "
            "to see what they have in common. Take a larger seed."
        )
    elif search.other_customers == 0:
        message = f"{search.audience} is empty: everybody is in its seed {search.seed}. Take a narrower seed."
    else:
        message = f"{search.found} customers resemble the {size} of {search.seed}."
    told = size < least or search.other_customers == 0
    return _row("seed_says_enough", search.audience, told=told, value=float(size), limit=float(least), message=message)


def _moved(rule: str, was: int, size: int, tolerance: BrakeSettings) -> dict[str, Any]:
    change = abs(size - was) / was
    told = change > tolerance.max_segment_move
    what = f"{rule} went from {was} to {size} customers."
    doubt = " Check the newest data and the rule before you push." if told else ""
    limit = tolerance.max_segment_move
    return _row("size_moved", rule, told=told, value=change, limit=limit, message=what + doubt)


def _row(check: str, subject: str, *, told: bool, value: float, limit: float, message: str) -> dict[str, Any]:
    verdict = "told" if told else "passed"
    return {"check": check, "subject": subject, "verdict": verdict, "value": value, "limit": limit, "message": message}


def _count(db: duckdb.DuckDBPyConnection, as_of: date, when: str) -> dict[str, int]:
    rows = db.execute(
        f"""
        WITH all_days AS (SELECT as_of, segment, audiences FROM customer_segments),
        day AS (SELECT * FROM all_days WHERE as_of {when})
        SELECT id, count(*) FROM (SELECT segment AS id FROM day UNION ALL SELECT unnest(audiences) FROM day) GROUP BY id
        """,
        {"day": as_of},
    ).fetchall()
    return dict(rows)
