"""What an event says, whoever sent it: a purchase, a profile, a visit, a file, a tag or a request to look again."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from tasks.errors import RejectedError

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
MOST_LINES = 10_000
MOST_CUSTOMERS = 100_000


class EventKind(StrEnum):
    """Kinds of events."""

    PURCHASE = "purchase"
    REGISTRATION = "registration"
    PROFILE_UPDATE = "profile_update"
    LOYALTY_RETURN = "loyalty_return"
    CONTACT_FILE = "contact_file"
    TAG = "tag"
    RECALCULATE = "recalculate"


class Part(BaseModel):
    """A frozen part of an event that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Person(Part):
    """Who it is about; at least one key, or a guest."""

    customer_id: Name | None = None
    loyalty_id: Name | None = None
    email: Name | None = None
    phone: Name | None = None


class Profile(Person):
    """What is told about a person; what is left out says nothing. ``consent`` maps a channel to granted or denied."""

    first_name: str | None = None
    last_name: str | None = None
    birth_year: int | None = None
    age_band: str | None = None
    postcode: str | None = None
    country: str | None = None
    language: str | None = None
    income_band: str | None = None
    household_size: int | None = None
    is_business: bool | None = None
    created_at: AwareDatetime | None = None
    consent: dict[str, str] = {}


class Line(Part):
    """One product of an order; a negative quantity is a return. ``amount``: quantity × price − discount if left out."""

    product_id: Name
    quantity: Decimal = Decimal(1)
    unit_price: Decimal | None = None
    discount: Decimal = Decimal(0)
    amount: Decimal | None = None
    gift: bool = False

    @model_validator(mode="after")
    def _valued(self) -> Self:
        if self.amount is None and self.unit_price is None:
            raise ValueError("give amount or unit_price")
        return self

    @property
    def net(self) -> Decimal:
        """Net value of the line."""
        return self.amount if self.amount is not None else self.quantity * (self.unit_price or 0) - self.discount


class Order(Part):
    """An order as it is now, with all its lines; a later event about the same order replaces it line by line."""

    order_id: Name
    ordered_at: AwareDatetime | None = None
    lines: tuple[Line, ...] = Field(min_length=1, max_length=MOST_LINES)
    channel: str | None = None
    store_id: str | None = None
    currency: str | None = None
    campaign_id: str | None = None
    cancelled: bool = False


class Event(Part):
    """One event. ``at`` is when its sender says it became so: of two about the same thing the later one counts."""

    id: Name
    kind: EventKind
    at: AwareDatetime
    source: str = "api"
    customer: Profile = Profile()
    order: Order | None = None
    uri: str = ""
    tag: str = ""
    customers: tuple[Name, ...] = Field((), max_length=MOST_CUSTOMERS)
    everyone: bool = False
    by: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        known = any((self.customer.customer_id, self.customer.loyalty_id, self.customer.email, self.customer.phone))
        named = bool(self.customers or self.everyone)
        problems = {
            EventKind.PURCHASE: (self.order is not None, "a purchase needs `order`"),
            EventKind.REGISTRATION: (known, "name the customer by customer_id, loyalty_id, email or phone"),
            EventKind.PROFILE_UPDATE: (known, "name the customer by customer_id, loyalty_id, email or phone"),
            EventKind.LOYALTY_RETURN: (known, "name the customer by customer_id, loyalty_id, email or phone"),
            EventKind.CONTACT_FILE: (bool(self.uri), "a contact file needs `uri`"),
            EventKind.TAG: (bool(self.tag and self.customers), "a tag needs `tag` and `customers`"),
            EventKind.RECALCULATE: (named, "a request needs `customers` or `everyone`"),
        }
        fine, problem = problems[self.kind]
        if not fine:
            raise ValueError(problem)
        return self

    @property
    def happened_at(self) -> datetime:
        """When it happened: the order's own time, else the event's."""
        return (self.order.ordered_at if self.order else None) or self.at


def parse_events(body: str) -> tuple[Event, ...]:
    """The events of an API body: one JSON object, or a list. RejectedError: names fields, never their values."""
    many = body.lstrip().startswith("[")
    try:
        if many:
            return _Events.model_validate_json(f'{{"events": {body}}}').events
        return (Event.model_validate_json(body),)
    except ValidationError as error:
        raise RejectedError(describe_problems(error)) from None


class _Events(Part):
    events: tuple[Event, ...]


def describe_problems(error: ValidationError) -> str:
    """The first problems by place and kind, without the values, which may name a person."""
    told = [
        f"{'.'.join(map(str, problem['loc'])) or 'event'}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return "; ".join(told[:5]) + (f"; and {len(told) - 5} more" if len(told) > 5 else "")  # noqa: PLR2004 - as above
