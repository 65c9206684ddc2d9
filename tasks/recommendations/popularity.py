"""What each segment buys at the moment."""

from dataclasses import dataclass

import duckdb
import numpy as np

from tasks.recommendations.purchases import Codes, Floats

PRIOR_BUYERS = 50.0
"""So many buyers of all segments stand beside a segment's own: the taste of a small segment is not over-read."""


@dataclass(frozen=True, slots=True, eq=False)
class Favourites:
    """Per customer code a row of ``products`` and ``scores`` (best first); products end with -1 where there are few."""

    row: Codes
    products: Codes
    scores: Floats


def segment_favourites(
    db: duckdb.DuckDBPyConnection, days: range, overall: Floats, weight: Floats, kept: int
) -> Favourites:
    """The ``kept`` most bought products of each segment in ``days``.

    Scores are shares of the segment's recent buyers, drawn towards ``overall`` (buyers per product code in the same
    days), times ``weight`` per product; products with weight 0 never appear. Customers without segment share a row.
    """
    recent = f"bought JOIN known_customers USING (customer) WHERE day >= {days.start} AND day < {days.stop}"
    segments = db.execute(
        "SELECT coalesce(segment, '') AS segment, count(DISTINCT b.customer) AS active FROM known_customers "
        f"LEFT JOIN (SELECT customer FROM bought WHERE day >= {days.start} AND day < {days.stop}) b USING (customer) "
        "GROUP BY ALL ORDER BY segment"
    ).fetchall()
    everyone = max(sum(active for _, active in segments), 1)
    products = np.full((len(segments), kept), -1, np.int64)
    scores = np.zeros((len(segments), kept))
    for number, (segment, active) in enumerate(segments):
        rows = db.execute(
            f"SELECT product, count(DISTINCT customer) AS buyers FROM {recent} AND coalesce(segment, '') = $segment "
            "GROUP BY product",
            {"segment": segment},
        ).fetchnumpy()
        share = overall / everyone * PRIOR_BUYERS
        share[np.asarray(rows["product"], np.int64)] += np.asarray(rows["buyers"], np.float64)
        share *= weight / (active + PRIOR_BUYERS)
        best = np.lexsort((np.arange(len(share)), -share))[:kept]
        best = best[share[best] > 0]
        products[number, : len(best)] = best
        scores[number, : len(best)] = share[best]
    names = [segment for segment, _ in segments]
    row = db.execute("SELECT coalesce(segment, '') AS segment FROM known_customers ORDER BY customer").fetchnumpy()
    return Favourites(np.searchsorted(np.array(names, object), row["segment"]).astype(np.int64), products, scores)
