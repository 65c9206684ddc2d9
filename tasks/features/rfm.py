"""Recency, frequency and monetary scores: quintiles in which equal values always share a score.

A customer's position is the middle of its rank among equals, so ties never split and the score is monotone in the
value. With few distinct values some quintiles stay empty; that is the truth about the data, and the cuts stored beside
the scores say so. Hughes, A. M. (1994), Strategic Database Marketing.
"""

_SCORES = {"r": ("recency_days", "DESC"), "f": ("orders", "ASC"), "m": ("monetary", "ASC")}


def _score(value: str, direction: str) -> str:
    rank = f"rank() OVER (PARTITION BY buys ORDER BY {value} {direction})"
    peers = f"count(*) OVER (PARTITION BY buys, {value})"
    position = f"({rank} - 1 + ({peers} - 1) / 2.0) / count(*) OVER (PARTITION BY buys)"
    return f"CASE WHEN buys THEN least(5, 1 + floor(5 * {position}))::BIGINT END"


def scores_sql(table: str) -> str:
    """SQL that gives ``customer_id, r_score, f_score, m_score, rfm_score`` (null without an order) from a table with
    ``customer_id, recency_days, orders, monetary``."""
    scored = ", ".join(f"{_score(value, way)} AS {name}_score" for name, (value, way) in _SCORES.items())
    return f"""
        SELECT customer_id, r_score, f_score, m_score, r_score + f_score + m_score AS rfm_score FROM (
            SELECT customer_id, {scored} FROM (SELECT *, recency_days IS NOT NULL AS buys FROM {table})
        )"""


def cuts_sql(table: str) -> str:
    """SQL that gives the borders of each quintile from a table that holds the values and their scores."""
    parts = (
        f"SELECT as_of, '{name}' AS score, {name}_score AS quintile, count(*) AS customers, "
        f"min({value})::DOUBLE AS lowest, max({value})::DOUBLE AS highest "
        f"FROM {table} WHERE {name}_score IS NOT NULL GROUP BY ALL"
        for name, (value, _) in _SCORES.items()
    )
    return " UNION ALL ".join(parts) + " ORDER BY score, quintile"
