"""What is asked for on a day of campaigns."""

from dataclasses import dataclass
from datetime import date

from pydantic import SecretStr

from tasks.campaigns.assignment import Lot
from tasks.campaigns.sendgrid_wire import Wire


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: the day, whether for real, by whom it is approved, and the account to draft in (if any)."""

    as_of: date
    lot: Lot
    person_key: SecretStr
    applied: bool = False
    approved_by: str = ""
    wire: Wire | None = None
