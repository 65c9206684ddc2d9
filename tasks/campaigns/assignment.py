"""One campaign per customer and day, or the reason why none: matching, limits, priority, and the arm by lot."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from tasks.campaigns import contactable
from tasks.campaigns.holdout import GLOBAL_CONTROL, draws
from tasks.campaigns.playbook import ANY_SEGMENT, Play, Playbook
from tasks.errors import CheckFailedError

TABLES = (*contactable.TABLES, "customer_segments", "customer_features", "segment_moves", "campaign_members")
_WEEK_DAYS, _MONTH_DAYS, _LONGEST_COOLDOWN_DAYS = 7, 30, 730

WORDS = {
    **contactable.WORDS,
    "quiet_day": "no messages on this day",
    "cooldown": "had this campaign too recently",
    "weekly_cap": "already had as many messages as one week allows",
    "monthly_cap": "already had as many messages as one month allows",
    "shared_address": "somebody with the same address has a campaign today",
    "control": "belongs to the customers who never get a campaign",
    "no_play": "no play of the playbook fits",
}


@dataclass(frozen=True, slots=True)
class Lot:
    """What the arms are drawn with: the key, and the share of customers who never get a campaign."""

    key: bytes
    control_share: float = 0.0


def running(playbook: Playbook, as_of: date) -> tuple[Play, ...]:
    """The plays of a day, in order of priority."""
    plays = (play for play in playbook.plays if not play.rests(as_of))
    return tuple(sorted(plays, key=lambda play: (play.priority, play.id)))


def assign(db: duckdb.DuckDBPyConnection, playbook: Playbook, as_of: date, lot: Lot, *, applied: bool) -> None:
    """Create table ``members`` (columns of campaign_members) and ``pairs`` (customer, play, draw, reason).

    Reads the views named in TABLES and the table ``contactable``. Every customer of the day's segments gets exactly
    one row. Who is held out of the best campaign gets no other one that day: both arms differ in nothing but it.
    Raises CheckFailedError when the day has no segments.
    """
    _create_people(db, as_of)
    _create_matches(db, running(playbook, as_of), as_of)
    _draw(db, lot)
    _create_history(db, as_of)
    _judge(db, playbook, as_of)
    _choose(db)
    _create_members(db, as_of, applied=applied)


def _create_people(db: duckdb.DuckDBPyConnection, as_of: date) -> None:
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE people AS
        SELECT s.customer_id, s.segment, s.audiences, coalesce(f.lifetime_value, 0) AS worth, c.email,
            coalesce(c.blocked, CASE WHEN c.customer_id IS NULL THEN 'no_address' END) AS blocked
        FROM customer_segments s
        LEFT JOIN customer_features f ON f.customer_id = s.customer_id AND f.as_of = $as_of
        LEFT JOIN contactable c ON c.customer_id = s.customer_id
        WHERE s.as_of = $as_of ORDER BY s.customer_id
        """,
        {"as_of": as_of},
    )
    if not db.sql("SELECT count(*) FROM people").fetchall()[0][0]:
        message = f"There are no customer segments for {as_of}: run the segments of that day before its campaigns."
        raise CheckFailedError(message)
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE latest_move AS
        SELECT customer_id, from_segment, to_segment, as_of FROM segment_moves WHERE as_of <= $as_of
        QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY as_of DESC) = 1
        """,
        {"as_of": as_of},
    )


def _create_matches(db: duckdb.DuckDBPyConnection, plays: tuple[Play, ...], as_of: date) -> None:
    db.execute(
        "CREATE OR REPLACE TEMP TABLE matches (customer_id VARCHAR, play VARCHAR, campaign_id VARCHAR, "
        "channel VARCHAR, priority BIGINT, share DOUBLE, cooldown_days BIGINT, why VARCHAR)"
    )
    for play in plays:
        condition, values = _condition(play, as_of)
        db.execute(
            f"""
            INSERT INTO matches
            SELECT p.customer_id, $play, $campaign_id, $channel, $priority, $share, $cooldown_days,
                CASE WHEN $by_move THEN 'moved from ' || m.from_segment || ' to ' || m.to_segment || ' on ' || m.as_of
                ELSE 'segment ' || p.segment END || CASE WHEN len(list_intersect(p.audiences, $audiences)) > 0
                THEN ', ' || array_to_string(list_sort(list_intersect(p.audiences, $audiences)), ', ') ELSE '' END
            FROM people p LEFT JOIN latest_move m ON m.customer_id = p.customer_id AND m.to_segment = p.segment
            WHERE {condition} ORDER BY p.customer_id
            """,
            {
                "play": play.id, "campaign_id": play.campaign_id(as_of), "channel": play.channel,
                "priority": play.priority, "share": play.holdout_share, "cooldown_days": play.cooldown_days,
                "by_move": bool(play.who.moves), "audiences": list(play.who.audiences), **values,
            },
        )  # fmt: skip


def _condition(play: Play, as_of: date) -> tuple[str, dict[str, Any]]:
    who, clauses = play.who, ["true"]
    values: dict[str, Any] = {}
    if who.segments and ANY_SEGMENT not in who.segments:
        clauses.append("list_contains($segments, p.segment)")
        values["segments"] = list(who.segments)
    if who.audiences:
        clauses.append("list_has_any(p.audiences, $audiences)")
    for name, listed, column in (
        ("not_segments", who.not_segments, "list_contains($not_segments, p.segment)"),
        ("not_audiences", who.not_audiences, "list_has_any(p.audiences, $not_audiences)"),
    ):
        if listed:
            clauses.append(f"NOT {column}")
            values[name] = list(listed)
    moves = []
    for number, move in enumerate(who.moves):
        sides = [f"m.as_of > $since{number}::DATE"]
        values[f"since{number}"] = as_of - timedelta(days=move.within_days)
        for side, column in ((move.came_from, "from"), (move.now_in, "to")):
            if side:
                sides.append(f"list_contains(${column}{number}, m.{column}_segment)")
                values[f"{column}{number}"] = list(side)
        moves.append(" AND ".join(sides))
    if moves:
        clauses.append("(" + " OR ".join(f"({move})" for move in moves) + ")")
    return " AND ".join(clauses), values


def _draw(db: duckdb.DuckDBPyConnection, lot: Lot) -> None:
    """Give every matched pair and every customer its number; the pairs come out in a fixed order."""
    pairs = db.sql("SELECT campaign_id, customer_id FROM matches ORDER BY campaign_id, customer_id").to_arrow_table()
    people = db.sql("SELECT customer_id FROM people ORDER BY customer_id").to_arrow_table()
    campaign_ids, customer_ids = pairs["campaign_id"].to_pylist(), pairs["customer_id"].to_pylist()
    everybody = people["customer_id"].to_pylist()
    drawn = {
        "pair_draws": pairs.append_column("draw", pa.array(draws(lot.key, campaign_ids, customer_ids))),
        "control_draws": people.append_column(
            "draw", pa.array(draws(lot.key, [GLOBAL_CONTROL] * len(everybody), everybody))
        ),
    }
    for name, table in drawn.items():
        db.register("arriving", table)
        db.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM arriving")
        db.unregister("arriving")
    db.execute(
        "CREATE OR REPLACE TEMP TABLE controls AS SELECT customer_id FROM control_draws WHERE draw < $share",
        {"share": lot.control_share},
    )


def _create_history(db: duckdb.DuckDBPyConnection, as_of: date) -> None:
    """Earlier campaigns that were really drafted; held-out customers count alike, so that the arms stay equal."""
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE history AS
        SELECT customer_id, play, channel, as_of FROM campaign_members
        WHERE applied AND arm IN ('treated', 'holdout') AND as_of < $as_of AND as_of >= $since
        """,
        {"as_of": as_of, "since": as_of - timedelta(days=_LONGEST_COOLDOWN_DAYS)},
    )
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE messages AS
        SELECT customer_id, count(*) FILTER (as_of > $week) AS week, count(*) AS month
        FROM history WHERE channel = 'email' AND as_of > $month GROUP BY customer_id
        """,
        {"week": as_of - timedelta(days=_WEEK_DAYS), "month": as_of - timedelta(days=_MONTH_DAYS)},
    )


def _judge(db: duckdb.DuckDBPyConnection, playbook: Playbook, as_of: date) -> None:
    """Create ``pairs``: every match with the first reason against it, null where nothing is."""
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE pairs AS
        SELECT m.*, d.draw, p.email, p.worth, CASE
            WHEN c.customer_id IS NOT NULL THEN 'control'
            WHEN m.channel = 'email' AND p.blocked IS NOT NULL THEN p.blocked
            WHEN m.channel = 'email' AND $quiet THEN 'quiet_day'
            WHEN last.as_of > $as_of::DATE - m.cooldown_days::INTEGER THEN 'cooldown'
            WHEN m.channel = 'email' AND n.week >= $per_week THEN 'weekly_cap'
            WHEN m.channel = 'email' AND n.month >= $per_month THEN 'monthly_cap'
            END AS against
        FROM matches m
        JOIN people p USING (customer_id)
        JOIN pair_draws d USING (campaign_id, customer_id)
        LEFT JOIN controls c USING (customer_id)
        LEFT JOIN messages n USING (customer_id)
        LEFT JOIN (SELECT customer_id, play, max(as_of) AS as_of FROM history GROUP BY customer_id, play) last
            ON last.customer_id = m.customer_id AND last.play = m.play
        """,
        {
            "as_of": as_of, "quiet": bool(playbook.rests(as_of)),
            "per_week": playbook.caps.per_week, "per_month": playbook.caps.per_month,
        },
    )  # fmt: skip


def _choose(db: duckdb.DuckDBPyConnection) -> None:
    """Create ``chosen``: the best play left for each customer, and one customer for each address.

    The address is given away before the arm is drawn: nobody is written to through a held-out relative's address.
    """
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE chosen AS
        WITH best AS (
            SELECT * FROM pairs WHERE against IS NULL
            QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY priority, play) = 1
        )
        SELECT *, CASE WHEN channel = 'email' AND row_number() OVER (
            PARTITION BY channel, email ORDER BY priority, worth DESC, customer_id) > 1 THEN 'shared_address'
            WHEN draw < share THEN 'holdout' ELSE 'treated' END AS outcome
        FROM best
        """
    )


def _create_members(db: duckdb.DuckDBPyConnection, as_of: date, *, applied: bool) -> None:
    """``applied`` stays with a row that an earlier run of the same day drafted and that is still the same."""
    words = "MAP {" + ", ".join(f"'{code}': '{text}'" for code, text in sorted(WORDS.items())) + "}"
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE members AS
        WITH listed AS (
            SELECT pairs.customer_id, first(against ORDER BY priority, play) AS first_reason,
                list(play || ': ' || coalesce(against, 'lower priority') ORDER BY priority, play)
                    FILTER (play IS DISTINCT FROM winner) AS rejected
            FROM pairs LEFT JOIN (SELECT customer_id, play AS winner FROM chosen) USING (customer_id)
            GROUP BY pairs.customer_id
        ), told AS (
            SELECT p.customer_id, p.segment, k.customer_id IS NOT NULL AS controlled, c.* EXCLUDE (customer_id),
                l.first_reason, coalesce(l.rejected, []) AS rejected
            FROM people p LEFT JOIN controls k USING (customer_id)
            LEFT JOIN chosen c USING (customer_id) LEFT JOIN listed l USING (customer_id)
        )
        SELECT $as_of::DATE AS as_of, t.customer_id, t.campaign_id, t.play, t.channel,
            CASE WHEN controlled THEN 'control' WHEN outcome IN ('treated', 'holdout') THEN outcome
                ELSE 'left_out' END AS arm,
            t.segment,
            CASE WHEN controlled THEN {words}['control'] WHEN outcome = 'shared_address' THEN {words}[outcome]
                WHEN outcome IS NOT NULL THEN t.why
                ELSE {words}[coalesce(first_reason, 'no_play')] END AS reason,
            t.rejected, t.campaign_id IS NOT NULL AND outcome <> 'shared_address'
                AND ($applied OR coalesce(before.applied, false)) AS applied
        FROM told t LEFT JOIN (SELECT * FROM campaign_members WHERE as_of = $as_of) before
            ON before.customer_id = t.customer_id AND before.campaign_id = t.campaign_id
        ORDER BY t.customer_id
        """,
        {"as_of": as_of, "applied": applied},
    )
