"""What may be offered today: in stock, and how well it fits the season."""

import duckdb
import numpy as np

from tasks.errors import CheckFailedError
from tasks.recommendations.purchases import Floats
from tasks.recommendations.settings import RecommendationSettings

# Reads "11,12" and "[11, 12]" alike; anything that is no month is an error further down.
_OFFERABLE = r"""
    SELECT product_id, season,
           coalesce(stock_on_hand >= $minimum_stock AND stock_on_hand > 0, true) AS in_stock,
           list_transform(
               regexp_split_to_array(trim(season, '[] '), '\s*,\s*'), month -> try_cast(month AS INT)
           ) AS months
    FROM known_products ORDER BY product
"""


def offer_weights(db: duckdb.DuckDBPyConnection, month: int, settings: RecommendationSettings) -> Floats:
    """Per product code: 0 out of stock, 1 in season or all year, ``settings.out_of_season_weight`` out of season.

    Stock null is unknown and counts as available. Raises CheckFailedError for a season that is no list of months.
    """
    rows = db.execute(
        f"""
        SELECT in_stock, coalesce(list_contains(months, $month), true) AS in_season,
               CASE WHEN list_bool_or(list_transform(months, m -> m IS NULL OR m NOT BETWEEN 1 AND 12))
                    THEN product_id END AS odd, season
        FROM ({_OFFERABLE})
    """,
        {"minimum_stock": settings.minimum_stock, "month": month},
    ).fetchnumpy()
    odd = np.flatnonzero(~np.ma.getmaskarray(np.ma.asarray(rows["odd"])))
    if len(odd):
        raise CheckFailedError(
            f"products: season {rows['season'][odd[0]]!r} of product {rows['odd'][odd[0]]!r} is no list of months. "
            'Map it to numbers like "11,12", or to null for all year.'
        )
    weight = np.where(np.asarray(rows["in_season"], bool), 1.0, settings.out_of_season_weight)
    return np.where(np.asarray(rows["in_stock"], bool), weight, 0.0)
