"""How identity, features, segments and the report are computed."""

from typing import Literal

from pydantic import Field

from tasks.config.base import Settings


class IdentitySettings(Settings):
    """How records of several sources become one customer."""

    match_on: tuple[Literal["loyalty_id", "email", "phone"], ...] = Field(
        ("loyalty_id", "email", "phone"), description="Keys that join records, besides the same id in the same id space"
    )
    max_records_per_key: int = Field(
        8, ge=2, description="A key shared by more records (a shop's own phone number) joins nobody"
    )


class FeatureSettings(Settings):
    """How customers are measured and predicted."""

    horizon_days: int | None = Field(
        None, ge=7, le=730, description="Horizon of predictions; from the data if left out"
    )
    business_hours: tuple[int, int] = Field((9, 17), description="Office hours on weekdays, local time")
    refit_days: int = Field(
        7,
        ge=1,
        description="Clusters are chosen again after these days, or on drift; predictions learn anew daily",
    )


class ClusterSettings(Settings):
    """How customers are clustered beside the rules."""

    smallest: int = Field(3, ge=2, description="Fewest clusters tried")
    largest: int = Field(8, ge=2, le=20, description="Most clusters tried")
    smallest_share: float = Field(0.02, gt=0, lt=0.5, description="No cluster may hold a smaller share of customers")
    min_stability: float = Field(0.6, ge=0, le=1, description="Smallest mean adjusted Rand index over bootstrap fits")
    sample: int = Field(50_000, ge=100, description="Customers used to fit; all are assigned")
    seed: int = Field(7, description="Seed of the fits")


class ReportSettings(Settings):
    """What the insight report and the key figures assume."""

    margin: float = Field(0.3, gt=0, le=1, description="Gross margin, used where products carry none")
    redemption_days: int = Field(14, ge=1, description="Days after a message in which an order counts as a conversion")
    fresh_within_days: int = Field(2, ge=1, description="A source whose newest fact is older is late")
    title: str = Field("Customer segments", description="Title of the report")


class BrakeSettings(Settings):
    """Tolerances between two runs; beyond them nothing is pushed until a person releases it."""

    max_segment_move: float = Field(0.5, gt=0, le=1, description="Largest relative change of a segment's size")
    min_segment_size: int = Field(50, ge=0, description="Smaller segments may change freely")
    max_leave: float = Field(0.25, gt=0, le=1, description="Largest share of a destination's customers that may leave")
