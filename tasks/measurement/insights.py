"""The chapters of the insight report: a picture, what it says, and one sentence of what to do."""

from datetime import date

import duckdb

from tasks.measurement import charts
from tasks.measurement.chapter import Chapter, Reader, number, texts
from tasks.measurement.grade_chapters import how_good, over_time

MOST = 12  # rows of a picture; the tables hold the rest


def chapters(db: duckdb.DuckDBPyConnection, as_of: date, currency: str) -> list[Chapter]:
    """All chapters that the data of the day has something to say about, in reading order."""

    def read(sql: str) -> list[tuple[object, ...]]:
        return db.execute(sql, {"as_of": as_of} if "$as_of" in sql else {}).fetchall()

    found = [
        sizes_and_value(read, currency),
        value_at_risk(read, currency),
        moves(read, currency),
        rfm_grid(read),
        clusters(read),
        audiences(read),
        conversion(read),
        relevance(read),
        how_good(read),
        over_time(read),
        data_health(read),
    ]
    return [chapter for chapter in found if chapter is not None]


def sizes_and_value(read: Reader, currency: str) -> Chapter | None:
    """Share of customers and of revenue per segment."""
    rows = read(
        "SELECT label, share, revenue_share, customers, monetary::DOUBLE FROM segment_profiles "
        "WHERE as_of = $as_of AND kind = 'segment' AND customers > 0 ORDER BY revenue_share DESC, segment"
    )
    if not rows:
        return None
    label, share, revenue = rows[0][0], number(rows[0][1]), number(rows[0][2])
    return Chapter(
        title="Who brings the revenue",
        says=f"{label} are {share:.0%} of customers and bring {revenue:.0%} of revenue.",
        do=f"Protect {label} first: keep them out of discount campaigns and let service know their names.",
        picture=charts.paired_bars(
            "Share of customers and revenue by segment",
            [str(row[0]) for row in rows],
            [number(row[1]) for row in rows],
            [number(row[2]) for row in rows],
            ("customers", "revenue"),
        ),
        headers=("segment", "customers", f"revenue {currency}"),
        rows=texts([(row[0], f"{row[3]:,}", f"{number(row[4]):,.0f}") for row in rows]),
    )


def value_at_risk(read: Reader, currency: str) -> Chapter | None:
    """Lifetime value times churn probability per segment."""
    rows = read(
        "SELECT p.label, sum(f.lifetime_value * f.churn_probability) AS at_risk, avg(f.churn_probability), count(*) "
        "FROM customer_features f JOIN customer_segments s USING (customer_id, as_of) "
        "JOIN segment_profiles p ON p.segment = s.segment AND p.kind = 'segment' AND p.as_of = s.as_of "
        "WHERE f.as_of = $as_of AND f.lifetime_value IS NOT NULL AND f.churn_probability IS NOT NULL "
        "GROUP BY p.label HAVING at_risk > 0 ORDER BY at_risk DESC, p.label"
    )
    if not rows:
        return None
    total = sum(number(row[1]) for row in rows)
    return Chapter(
        title="Value at risk",
        says=f"{currency} {total:,.0f} of the next 365 days' spend hangs on customers who may not come back; "
        f"{number(rows[0][1]) / total:.0%} of it lies with {rows[0][0]}.",
        do=f"Spend the win-back budget where the money is: start with {rows[0][0]}, highest lifetime value first.",
        picture=charts.bars(
            "Value at risk by segment", [str(row[0]) for row in rows], [number(row[1]) for row in rows], "{:,.0f}"
        ),
        headers=("segment", f"at risk {currency}", "churn probability", "customers"),
        rows=texts([(row[0], f"{number(row[1]):,.0f}", f"{number(row[2]):.0%}", f"{row[3]:,}") for row in rows]),
    )


def moves(read: Reader, currency: str) -> Chapter | None:
    """From where to where customers moved since the last run."""
    rows = read(
        "SELECT from_segment, to_segment, count(*) AS customers, sum(value_at_stake), any_value(since), min(why) "
        "FROM segment_moves WHERE as_of = $as_of GROUP BY ALL ORDER BY customers DESC, from_segment, to_segment"
    )
    if not rows:
        return None
    sources = sorted({str(row[0]) for row in rows})
    targets = sorted({str(row[1]) for row in rows})
    count = {(row[0], row[1]): number(row[2]) for row in rows}
    down = max(rows, key=lambda row: (number(row[3]), str(row[0])))
    return Chapter(
        title="Who moved",
        says=f"{sum(number(row[2]) for row in rows):,.0f} customers moved since {rows[0][4]}; the move worth most is "
        f"{down[0]} → {down[1]} ({down[2]} customers, {currency} {number(down[3]):,.0f}).",
        do=f"Write to those who went {down[0]} → {down[1]} this week, while the reason is fresh: {down[5]}.",
        picture=charts.heat_map(
            "Customers by segment before and now",
            sources,
            targets,
            [[count.get((source, target), 0.0) for target in targets] for source in sources],
            show="{:.0f}",
            axis_names=("now", "before"),
        ),
        headers=("before", "now", "customers", f"value {currency}", "why, for example"),
        rows=texts([(row[0], row[1], row[2], f"{number(row[3]):,.0f}", row[5]) for row in rows[:MOST]]),
    )


def rfm_grid(read: Reader) -> Chapter | None:
    """Customers by recency and frequency score."""
    rows = read(
        "SELECT r_score, f_score, count(*) FROM customer_features "
        "WHERE as_of = $as_of AND r_score IS NOT NULL GROUP BY ALL"
    )
    if not rows:
        return None
    count = {(int(number(row[0])), int(number(row[1]))): number(row[2]) for row in rows}
    scores = range(5, 0, -1)
    slipping = sum(count.get((r, f), 0.0) for r in (1, 2) for f in (4, 5))
    return Chapter(
        title="Recency and frequency",
        says=f"{slipping:,.0f} customers used to come often and have not come lately (bottom right).",
        do="Ask them why: they know the shop well, and a short survey costs less than a voucher.",
        picture=charts.heat_map(
            "Customers by recency and frequency score",
            [f"R{score}" for score in scores],
            [f"F{score}" for score in range(1, 6)],
            [[count.get((r, f), 0.0) for f in range(1, 6)] for r in scores],
            show="{:.0f}",
            axis_names=("frequency: 5 comes most often", "recency: 5 came last"),
        ),
    )


def clusters(read: Reader) -> Chapter | None:
    """Clusters with what distinguishes them."""
    rows = read(
        "SELECT label, share, revenue_share, customers, traits FROM segment_profiles "
        "WHERE as_of = $as_of AND kind = 'cluster' ORDER BY revenue_share DESC, segment"
    )
    if not rows:
        return None
    return Chapter(
        title="What the data groups by itself",
        says=f"{len(rows)} clusters of alike customers; {rows[0][0]} bring {number(rows[0][2]):.0%} of revenue.",
        do="Compare a cluster with your segments before you write a new rule: its traits say which fields to use.",
        picture=charts.paired_bars(
            "Share of customers and revenue by cluster",
            [str(row[0]) for row in rows],
            [number(row[1]) for row in rows],
            [number(row[2]) for row in rows],
            ("customers", "revenue"),
        ),
        headers=("cluster", "customers", "what distinguishes it"),
        rows=tuple((str(row[0]), f"{row[3]:,}", "; ".join(list(row[4])[:4])) for row in rows),  # type: ignore[call-overload]
    )


def audiences(read: Reader) -> Chapter | None:
    """Sizes of the audiences."""
    rows = read(
        "SELECT label, customers, share, lifetime_value FROM segment_profiles "
        "WHERE as_of = $as_of AND kind = 'audience' AND customers > 0 ORDER BY customers DESC, segment"
    )[:MOST]
    if not rows:
        return None
    return Chapter(
        title="Audiences ready to use",
        says=f"{len(rows)} audiences have members today; the largest is {rows[0][0]} with {rows[0][1]:,} customers.",
        do="Pick the audience that fits next week's offer; each is already a list on your platforms.",
        picture=charts.bars(
            "Customers by audience", [str(row[0]) for row in rows], [number(row[1]) for row in rows], "{:,.0f}"
        ),
    )


def conversion(read: Reader) -> Chapter | None:
    """Response to campaigns by segment with intervals."""
    rows = read(
        "SELECT coalesce(label, subject), value, coalesce(low, value), coalesce(high, value) FROM kpis k "
        "LEFT JOIN segment_profiles p "
        "ON p.as_of = k.as_of AND p.kind = 'segment' AND 'segment:' || p.segment = k.subject "
        "WHERE k.as_of = $as_of AND kpi = 'conversion' AND subject LIKE 'segment:%' ORDER BY value DESC, subject"
    )
    if not rows:
        return None
    return Chapter(
        title="Who responds to campaigns",
        says=f"{rows[0][0]} respond most ({number(rows[0][1]):.1%}), {rows[-1][0]} least ({number(rows[-1][1]):.1%}).",
        do=f"Send {rows[-1][0]} fewer messages and test one different offer; more of the same will not move them.",
        picture=charts.bars(
            "Conversion by segment",
            [str(row[0]) for row in rows],
            [number(row[1]) for row in rows],
            "{:.1%}",
            [(number(row[2]), number(row[3])) for row in rows],
        ),
    )


def relevance(read: Reader) -> Chapter | None:
    """Targeted against mass campaigns."""
    rows = read(
        "SELECT replace(subject, 'kind:', ''), value, coalesce(low, value), coalesce(high, value) FROM kpis "
        "WHERE as_of = $as_of AND kpi = 'conversion' AND subject LIKE 'kind:%' ORDER BY value DESC"
    )
    score = read("SELECT value, low, high FROM kpis WHERE as_of = $as_of AND kpi = 'campaign_relevance'")
    if not rows or not score:
        return None
    value, low, high = (number(cell) for cell in score[0])
    targeted = value > 1
    return Chapter(
        title="Campaign relevance",
        says=f"Targeted campaigns get {value:.1f} times the response of mass campaigns "
        f"(90 % interval {low:.1f} to {high:.1f}).",
        do="Move the next mass mailing's budget to targeted offers."
        if targeted
        else "Check how targets are chosen before the next campaign.",
        picture=charts.bars(
            "Conversion by kind of campaign",
            [str(row[0]) for row in rows],
            [number(row[1]) for row in rows],
            "{:.1%}",
            [(number(row[2]), number(row[3])) for row in rows],
        ),
    )


def data_health(read: Reader) -> Chapter | None:
    """Rows kept and refused per source, and how old the newest fact is."""
    rows = read(
        "SELECT source, sum(rows_read), sum(rows_kept), sum(rows_quarantined), sum(rows_duplicate), "
        "sum(rows_quarantined)::DOUBLE / nullif(sum(rows_read), 0) FROM intake_log GROUP BY source ORDER BY source"
    )
    if not rows:
        return None
    worst = max(rows, key=lambda row: number(row[5]))
    reasons = read(
        "SELECT reason, count(*), sum(amount_at_stake)::DOUBLE FROM (SELECT unnest(reasons) AS reason, amount_at_stake "
        "FROM quarantine) GROUP BY reason ORDER BY 2 DESC, 1"
    )
    why = f" Most often: {reasons[0][0]} ({reasons[0][1]:,} rows)." if reasons else ""
    return Chapter(
        title="Data health",
        says=f"{sum(number(row[1]) for row in rows):,.0f} rows read, "
        f"{sum(number(row[3]) for row in rows):,.0f} set aside.{why}",
        do=f"Talk to the owner of {worst[0]}: it has the largest share of refused rows ({number(worst[5]):.2%})."
        if number(worst[5])
        else "Nothing to do: every row was taken.",
        picture=charts.bars(
            "Share of rows set aside by source",
            [str(row[0]) for row in rows],
            [number(row[5]) for row in rows],
            "{:.2%}",
        ),
        headers=("source", "read", "kept", "set aside", "duplicate"),
        rows=tuple((str(row[0]), *(f"{number(cell):,.0f}" for cell in row[1:5])) for row in rows),
    )
