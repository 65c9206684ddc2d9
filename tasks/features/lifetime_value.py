"""Lifetime value: how often a customer will buy, whether they are still there, and what they will spend.

The purchase models read three columns per customer: ``frequency`` (repeat purchases; purchases of one day count once),
``recency`` (time from first to last purchase) and ``age`` (time from first purchase to the end of observation), both
times in one unit of the caller's choice, which is also the unit of every horizon.
"""

from typing import TypeAlias

from numpy.typing import ArrayLike

from tasks.features.bg_nbd import BgNbd, MbgNbd, fit_bg_nbd, fit_mbg_nbd
from tasks.features.gamma_gamma import GammaGamma, fit_gamma_gamma
from tasks.features.pareto_nbd import ParetoNbd, fit_pareto_nbd
from tasks.features.purchase_histories import Floats, same_length

PurchaseModel: TypeAlias = BgNbd | MbgNbd | ParetoNbd

__all__ = [
    "BgNbd",
    "GammaGamma",
    "MbgNbd",
    "ParetoNbd",
    "PurchaseModel",
    "expected_value",
    "fit_bg_nbd",
    "fit_gamma_gamma",
    "fit_mbg_nbd",
    "fit_pareto_nbd",
]


def expected_value(
    purchases: PurchaseModel,
    spend: GammaGamma,
    horizon: float,
    *,
    frequency: ArrayLike,
    recency: ArrayLike,
    age: ArrayLike,
    mean_value: ArrayLike,
) -> Floats:
    """Expected spend per customer within ``horizon`` (unit of age): expected purchases times expected value of each.

    Money in the unit of ``mean_value``, the average over the ``frequency`` repeat purchases (ignored where there are
    none); not discounted. Raises ConfigurationError for columns that make no sense.
    """
    expected = purchases.expected_purchases(horizon, frequency, recency, age)
    value = spend.expected_spend(frequency, mean_value)
    same_length(frequency=expected, mean_value=value)
    return expected * value
