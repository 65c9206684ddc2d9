"""The playbook: who gets which message, offer and action, as a marketer writes it down."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

TEMPLATES = ("welcome", "thanks", "letter", "products", "offer", "gift")
DEFAULT_SEGMENTS = (
    "new", "vip", "loyal", "promising", "at_risk", "lapsing", "dormant", "occasional", "prospect",
)  # fmt: skip
DEFAULT_AUDIENCES = (
    "gift_buyers", "business_buyers", "bargain_hunters", "category_fans", "replenishment_due", "expected_this_week",
    "high_value_low_churn", "losing_speed", "one_order_only", "weekend_shoppers", "big_baskets", "online_only",
    "browsing_not_buying", "attentive_readers", "ready_for_a_new_category", "like_vip",
)  # fmt: skip
ANY_SEGMENT = "any"

Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
Subject = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=90)]
MonthDay = Annotated[str, StringConstraints(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Kind = Literal["replenish", "cross_sell", "up_sell", "popular"]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Move(_Entry):
    """A change of primary segment; an empty side stands for any segment."""

    came_from: tuple[Id, ...] = ()
    now_in: tuple[Id, ...] = ()
    within_days: int = Field(default=7, ge=1, le=90)

    @model_validator(mode="after")
    def _names_a_side(self) -> "Move":
        if not (self.came_from or self.now_in):
            message = "a move needs came_from, now_in or both"
            raise ValueError(message)
        return self


class Who(_Entry):
    """Customers of a play: in one of the segments, and in one of the audiences, and moved so (where given)."""

    segments: tuple[Id, ...] = ()
    audiences: tuple[Id, ...] = ()
    moves: tuple[Move, ...] = ()
    not_segments: tuple[Id, ...] = ()
    not_audiences: tuple[Id, ...] = ()

    @model_validator(mode="after")
    def _names_someone(self) -> "Who":
        if not (self.segments or self.audiences or self.moves):
            message = f"name segments, audiences or moves; segments: [{ANY_SEGMENT}] stands for everybody"
            raise ValueError(message)
        return self


class Offer(_Entry):
    """What the customer gets; a code is shared by all, or made for each customer from a prefix."""

    kind: Literal["percent", "amount", "free_delivery", "double_points"]
    value: Decimal | None = Field(default=None, gt=0, description="Percent, or amount in the retailer's currency")
    code: str | None = Field(default=None, pattern=r"^[A-Z0-9]{3,20}$")
    personal_code_prefix: str | None = Field(default=None, pattern=r"^[A-Z0-9]{2,8}$")
    minimum_spend: Decimal | None = Field(default=None, gt=0)
    valid_days: int = Field(default=14, ge=1, le=120)

    @model_validator(mode="after")
    def _consistent(self) -> "Offer":
        needs_value = self.kind in ("percent", "amount")
        if needs_value != (self.value is not None):
            message = f"an offer of kind {self.kind} {'needs a' if needs_value else 'has no'} value"
            raise ValueError(message)
        if self.kind == "percent" and self.value is not None and self.value > 90:  # noqa: PLR2004 - a typing error
            message = "more than 90 percent off is taken for a typing error"
            raise ValueError(message)
        if self.code and self.personal_code_prefix:
            message = "give a shared code or a prefix for personal codes, not both"
            raise ValueError(message)
        return self


class Texts(_Entry):
    """The words of a message in one language; {brand}, {offer}, {until} and {code} are filled in."""

    subjects: tuple[Subject, ...] = Field(min_length=1, max_length=6)
    preheader: Subject
    headline: Subject
    body: tuple[Line, ...] = Field(min_length=1, max_length=6)
    button: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]


class Action(_Entry):
    """What sales staff should do when this customer stands before them."""

    what: Line
    why: Line


class Play(_Entry):
    """One entry of the playbook; of all that fit a customer the lowest ``priority`` number wins."""

    id: Id
    label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50)]
    goal: Line
    priority: int = Field(ge=1, le=1000)
    who: Who
    channel: Literal["email", "store"] = "email"
    template: Literal["welcome", "thanks", "letter", "products", "offer", "gift"] = "products"
    offer: Offer | None = None
    products: tuple[Kind, ...] = Field(default=("replenish", "cross_sell", "up_sell", "popular"), max_length=4)
    products_shown: int = Field(default=3, ge=0, le=3)
    holdout_share: float = Field(default=0.1, ge=0.0, le=0.5)
    smallest_effect: float = Field(default=0.02, gt=0.0, le=0.5)
    measure_days: int = Field(default=30, ge=1, le=365)
    cooldown_days: int = Field(default=30, ge=0, le=730)
    edition: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{0,12}$")] = ""
    valid_from: date | None = None
    valid_until: date | None = None
    season: tuple[MonthDay, MonthDay] | None = None
    weekdays: tuple[Weekday, ...] = ()
    quiet_dates: tuple[date | MonthDay, ...] = ()
    action: Action
    texts: dict[Language, Texts] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Play":
        if self.valid_from and self.valid_until and self.valid_until < self.valid_from:
            message = "valid_until lies before valid_from"
            raise ValueError(message)
        if self.channel == "email" and not self.texts:
            message = "an e-mail needs texts in at least one language"
            raise ValueError(message)
        return self

    def season_year(self, as_of: date) -> int | None:
        """Year in which the season that covers ``as_of`` began; None outside it or for a play without season."""
        if self.season is None:
            return None
        today, (first, last) = as_of.strftime("%m-%d"), self.season
        if first <= last:
            return as_of.year if first <= today <= last else None
        if today >= first:
            return as_of.year
        return as_of.year - 1 if today <= last else None

    def campaign_id(self, as_of: date) -> str:
        """Id of the campaign this play is part of on a day: hold-outs are drawn anew only when it changes."""
        year = self.season_year(as_of)
        return "-".join(part for part in (self.id, self.edition, f"{year or ''}") if part)

    def rests(self, as_of: date) -> str:
        """Why the play does not run on a day; empty when it runs."""
        if self.valid_from and as_of < self.valid_from:
            return f"not before {self.valid_from}"
        if self.valid_until and as_of > self.valid_until:
            return f"ended on {self.valid_until}"
        if self.season and self.season_year(as_of) is None:
            return f"out of season ({self.season[0]} to {self.season[1]})"
        if self.weekdays and WEEKDAYS[as_of.weekday()] not in self.weekdays:
            return f"runs on {', '.join(self.weekdays)} only"
        if _is_quiet(as_of, self.quiet_dates):
            return f"quiet day {as_of}"
        return ""

    def offer_until(self, as_of: date) -> date | None:
        """Last day of the offer made on a day."""
        return as_of + timedelta(days=self.offer.valid_days) if self.offer else None


class Caps(_Entry):
    """How many messages one customer gets at most."""

    per_week: int = Field(default=2, ge=1, le=14)
    per_month: int = Field(default=5, ge=1, le=60)


class Playbook(_Entry):
    """All plays with what holds for every one of them."""

    language: Language = "en"
    caps: Caps = Caps()
    quiet_dates: tuple[date | MonthDay, ...] = ()
    quiet_weekdays: tuple[Weekday, ...] = ()
    default_action: Action
    plays: tuple[Play, ...] = Field(min_length=1)

    def rests(self, as_of: date) -> str:
        """Why no message goes out at all on a day; empty on a working day."""
        if _is_quiet(as_of, self.quiet_dates):
            return f"quiet day {as_of}"
        weekday = WEEKDAYS[as_of.weekday()]
        return f"no messages on {weekday}" if weekday in self.quiet_weekdays else ""

    def play(self, play_id: str) -> Play:
        """The play with an id."""
        return next(play for play in self.plays if play.id == play_id)


def _is_quiet(as_of: date, quiet: tuple[date | str, ...]) -> bool:
    return as_of in quiet or as_of.strftime("%m-%d") in quiet
