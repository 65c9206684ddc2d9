"""The table of hold-outs, how large each should be, and who was reached although held out."""

from datetime import date, timedelta

import duckdb

from tasks.campaigns.holdout import GLOBAL_CONTROL, Advice, advise, detectable_difference
from tasks.campaigns.playbook import ANY_SEGMENT, Playbook, Who

CONTAMINATION_TABLES = ("holdouts", "engagement", "campaign_members", "customers", "orders")
_UNKNOWN_BASELINE = 0.1


def create_holdouts(db: duckdb.DuckDBPyConnection, playbook: Playbook, as_of: date) -> None:
    """Create table ``new_holdouts`` (columns of holdouts): rows to merge, none where nothing changed.

    Needs ``pairs`` and ``controls`` of the assignment and the view holdouts. Everybody who matches a play and is
    drawn is on it, e-mail or not, so that no other channel reaches them either; the first day stays.
    """
    days = {play.id: play.measure_days for play in playbook.plays}
    db.execute("CREATE OR REPLACE TEMP TABLE measured (play VARCHAR, days INTEGER)")
    db.executemany("INSERT INTO measured VALUES (?, ?)", sorted(days.items()))
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE new_holdouts AS
        WITH wanted AS (
            SELECT campaign_id, customer_id, $as_of::DATE + days - 1 AS until
            FROM pairs JOIN measured USING (play) WHERE draw < share
            UNION ALL SELECT $everywhere, customer_id, NULL FROM controls
        ), merged AS (
            SELECT campaign_id, customer_id, least(coalesce(h.since, $as_of::DATE), $as_of::DATE) AS since,
                CASE WHEN campaign_id = $everywhere THEN NULL ELSE greatest(w.until, h.until) END AS until
            FROM wanted w LEFT JOIN holdouts h USING (campaign_id, customer_id)
            UNION ALL
            SELECT campaign_id, customer_id, since, greatest(since, $as_of::DATE - 1) FROM holdouts
            WHERE campaign_id = $everywhere AND until IS NULL AND since < $as_of
                AND customer_id NOT IN (SELECT customer_id FROM controls)
        )
        SELECT campaign_id, customer_id, since, until FROM merged
        EXCEPT SELECT campaign_id, customer_id, since, until FROM holdouts
        ORDER BY campaign_id, customer_id
        """,
        {"as_of": as_of, "everywhere": GLOBAL_CONTROL},
    )


def create_campaigns(
    db: duckdb.DuckDBPyConnection, playbook: Playbook, as_of: date, subjects: dict[str, str | None]
) -> None:
    """Create table ``campaign_rows`` (columns of campaigns) from ``pairs`` and ``members``; ``subjects`` by play."""
    db.execute(
        """
        CREATE OR REPLACE TEMP TABLE counted AS
        SELECT p.play, p.campaign_id, count(*) AS matched,
            count(*) FILTER (m.arm = 'treated') AS treated, count(*) FILTER (m.arm = 'holdout') AS held_out,
            avg(1 - f.churn_probability) FILTER (m.arm IN ('treated', 'holdout')) AS baseline
        FROM pairs p
        LEFT JOIN members m ON m.customer_id = p.customer_id AND m.play = p.play AND m.arm <> 'left_out'
        LEFT JOIN customer_features f ON f.customer_id = p.customer_id AND f.as_of = $as_of
        GROUP BY p.play, p.campaign_id ORDER BY p.play
        """,
        {"as_of": as_of},
    )
    db.execute(
        "CREATE OR REPLACE TEMP TABLE campaign_rows (as_of DATE, campaign_id VARCHAR, play VARCHAR, name VARCHAR, "
        "goal VARCHAR, audiences VARCHAR[], subject VARCHAR, template VARCHAR, channel VARCHAR, priority BIGINT, "
        "matched BIGINT, treated BIGINT, held_out BIGINT, holdout_share DOUBLE, baseline DOUBLE, "
        "smallest_effect DOUBLE, advised_share DOUBLE, detectable DOUBLE, advice VARCHAR, valid_until DATE, "
        "measure_until DATE)"
    )
    for play_id, campaign_id, matched, treated, held, baseline in db.sql("FROM counted").fetchall():
        play = playbook.play(play_id)
        advice, detectable = size_of(treated, held, baseline, play.smallest_effect)
        row = (
            as_of, campaign_id, play.id, play.label, play.goal, addressed(play.who), subjects.get(play.id),
            play.template, play.channel, play.priority, matched, treated, held, play.holdout_share, baseline,
            play.smallest_effect, advice.share, detectable, advice.sentence, play.offer_until(as_of),
            as_of + timedelta(days=play.measure_days - 1),
        )  # fmt: skip
        db.execute(f"INSERT INTO campaign_rows VALUES ({', '.join('?' * len(row))})", row)


def addressed(who: Who) -> list[str]:
    """The segments or audiences that stand for a play on a platform: its held-out customers are kept off these lists.

    Empty for a play by moves or for everybody: no list holds exactly those.
    """
    if who.moves or (not who.audiences and ANY_SEGMENT in who.segments):
        return []
    return sorted(who.audiences or who.segments)


def size_of(treated: int, held: int, baseline: float | None, smallest_effect: float) -> tuple[Advice, float | None]:
    """Advice for a campaign, and the difference its present hold-out can show (None without a hold-out)."""
    rate = _UNKNOWN_BASELINE if baseline is None else baseline
    detectable = detectable_difference(treated, held, rate) if treated and held else None
    return advise(treated + held, rate, smallest_effect), detectable


def contamination(db: duckdb.DuckDBPyConnection, as_of: date) -> list[tuple[str, str, int, int]]:
    """Held-out customers who were reached all the same: (campaign, how, customers, held out in all).

    ``how``: engaged (an event of this campaign), redeemed (its code on an order), drafted (a treated row of this
    campaign) or address (somebody with the same e-mail address was treated). Reads CONTAMINATION_TABLES.
    """
    return db.execute(
        """
        WITH held AS (SELECT * FROM holdouts WHERE since <= $as_of AND campaign_id <> '*'),
        treated AS (
            SELECT m.as_of, m.campaign_id, m.customer_id, lower(trim(c.email)) AS email
            FROM campaign_members m LEFT JOIN customers c USING (customer_id)
            WHERE m.applied AND m.arm = 'treated' AND m.as_of <= $as_of
        ), found AS (
            SELECT h.campaign_id, 'engaged' AS how, h.customer_id FROM held h JOIN engagement e
                ON e.customer_id = h.customer_id AND e.campaign_id = h.campaign_id AND e.event_date >= h.since
                AND e.event_date < $as_of AND e.event_date <= coalesce(h.until, $as_of)
            UNION ALL SELECT h.campaign_id, 'redeemed', h.customer_id FROM held h JOIN orders o
                ON o.customer_id = h.customer_id AND o.campaign_id = h.campaign_id AND o.order_date >= h.since
                AND o.order_date < $as_of AND o.order_date <= coalesce(h.until, $as_of)
            UNION ALL SELECT h.campaign_id, 'drafted', h.customer_id FROM held h JOIN treated t
                ON t.customer_id = h.customer_id AND t.campaign_id = h.campaign_id AND t.as_of >= h.since
            UNION ALL SELECT h.campaign_id, 'address', h.customer_id FROM held h
                JOIN customers c ON c.customer_id = h.customer_id JOIN treated t ON t.email = lower(trim(c.email))
                AND t.campaign_id = h.campaign_id AND t.customer_id <> h.customer_id AND t.as_of >= h.since
        )
        SELECT campaign_id, how, count(DISTINCT found.customer_id),
            (SELECT count(*) FROM held WHERE held.campaign_id = found.campaign_id)
        FROM found GROUP BY campaign_id, how ORDER BY campaign_id, how
        """,
        {"as_of": as_of},
    ).fetchall()
