"""What a retailer decides about recommendations."""

from typing import Literal

from pydantic import Field

from tasks.config.base import Settings

Kind = Literal["replenish", "cross_sell", "up_sell", "popular"]


class KindShares(Settings):
    """Share of the places on a customer's list per kind; places that a kind cannot fill go to the others."""

    replenish: float = Field(0.5, ge=0, le=1, description="Products the customer buys again and again")
    cross_sell: float = Field(0.3, ge=0, le=1, description="Products that go with what the customer buys")
    up_sell: float = Field(0.1, ge=0, le=1, description="A dearer product than the one usually taken from a category")
    popular: float = Field(0.1, ge=0, le=1, description="Products that the customer's segment buys at the moment")


class RecommendationSettings(Settings):
    """How many products are recommended, of which kinds, and what the models may use.

    A product's ``season`` is text with the months in which it sells ("11,12"); no text is all year. ``stock_on_hand``
    null is unknown and counts as available.
    """

    per_customer: int = Field(10, ge=1, le=100, description="Longest list per customer")
    mix: KindShares = Field(default_factory=KindShares, description="Share of each kind on a list")
    horizon_days: int = Field(31, ge=1, le=365, description="Days ahead in which a purchase counts as a hit")
    half_life_days: float = Field(120, gt=0, description="A purchase this many days ago counts half")
    popularity_days: int = Field(28, ge=1, description="Days that make a product popular")
    minimum_stock: float = Field(1, ge=0, description="A product with fewer units in stock is never recommended")
    out_of_season_weight: float = Field(0.2, ge=0, le=1, description="Scores out of season are multiplied by this")
    smallest_step: float = Field(1.1, gt=1, description="An up-sell costs at least this many times the usual product")
    largest_step: float = Field(2.0, gt=1, description="An up-sell costs at most this many times the usual product")
    leave_out: tuple[str, ...] = Field(
        ("fuel", "gasoline", "coupon", "gift card", "postage"),
        description="Words in a category or department whose products are no recommendation",
    )
    item_limit: int = Field(3000, ge=10, le=20_000, description="Best-selling products that cross-selling looks at")
    fit_customers: int = Field(5000, ge=100, description="Customers that models learn from; all are served")
    lessons: int = Field(2, ge=1, le=6, description="Past windows that a booster learns from")
    chunk_customers: int = Field(1000, ge=1, description="Customers scored at once; bounds memory")
