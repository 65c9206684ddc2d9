"""A small town of customers, written into a lake table by table; every one has a name and a reason to be there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa
from pydantic import SecretStr

from tasks.campaigns.assignment import Lot
from tasks.campaigns.day import READS, make
from tasks.campaigns.drafts import Studio, languages
from tasks.campaigns.order import Order
from tasks.campaigns.playbook import Playbook
from tasks.campaigns.playbook_file import load
from tasks.campaigns.sendgrid_wire import Wire
from tasks.campaigns.settings import Brand, CampaignSettings, SendGridSettings
from tasks.campaigns.summary import DaySummary
from tasks.campaigns.words import read_words
from tasks.lake import Lake
from tasks.lake.contracts import CONTRACTS

AS_OF = date(2017, 11, 15)  # a Wednesday in the gift season
LONG_AGO = datetime(2017, 1, 1, tzinfo=UTC)
KEY = b"a key that is long enough"
PERSON_KEY = SecretStr("a key for people")
SHOP = Brand(name="Harbour & Sons", website="https://shop.example.com", support_email="help@example.com")


@cache
def packaged(*plays: str) -> Playbook:
    """The packaged playbook, read once; only the named plays where some are named."""
    book = load(None)
    return book.model_copy(update={"plays": tuple(p for p in book.plays if p.id in plays)}) if plays else book


@cache
def everybody_in(*plays: str) -> Playbook:
    """The same with nobody held out."""
    book = packaged(*plays)
    return book.model_copy(update={"plays": tuple(p.model_copy(update={"holdout_share": 0.0}) for p in book.plays)})


@dataclass(frozen=True)
class Resident:
    """One customer of the town."""

    name: str
    segment: str = "loyal"
    audiences: tuple[str, ...] = ()
    email: str | None = ""
    consent: str | None = "granted"
    first_name: str | None = ""
    language: str | None = "en"
    moved_from: str | None = None
    loyalty_id: str | None = ""
    worth: float = 100.0

    def customer(self) -> dict[str, Any]:
        """Row of table customers."""
        return {
            "customer_id": self.name,
            "email": f"{self.name.lower()}@example.com" if self.email == "" else self.email,
            "loyalty_id": f"card-{self.name}" if self.loyalty_id == "" else self.loyalty_id,
            "first_name": self.name if self.first_name == "" else self.first_name,
            "language": self.language,
            "sources": ["till"],
        }


PRODUCTS = (
    {"product_id": "milk", "name": "FLUID MILK WHITE ONLY", "price": Decimal("2.49"), "stock_on_hand": 40.0},
    {"product_id": "bread", "name": "Rye bread", "price": Decimal("3.90"), "stock_on_hand": 3.0},
    {"product_id": "coffee", "name": "Coffee beans", "price": None, "stock_on_hand": None},
    {"product_id": "tea", "name": "Green tea", "price": Decimal(5), "stock_on_hand": 0.0},
    {"product_id": "cheese", "name": "Cheddar", "price": Decimal("6.25"), "stock_on_hand": 12.0},
)
RECOMMENDED = (
    ("milk", "replenish", "You usually buy it every 6 days"),
    ("tea", "replenish", "You usually buy it every month"),
    ("bread", "cross_sell", "Goes with butter, which you buy often"),
    ("coffee", "popular", "Popular with customers like you"),
    ("cheese", "up_sell", "A step up from your usual cheese"),
)


def rows(table: str, records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Records as rows of a table: what is not given takes a plain value that fits."""
    contract = CONTRACTS[table]
    filled = [{c.name: record.get(c.name, None if c.nullable else _plain(c.type)) for c in contract.columns}
              for record in records]  # fmt: skip
    return pa.Table.from_pylist(filled, schema=contract.schema)


def _plain(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return []
    if pa.types.is_boolean(kind):
        return False
    if pa.types.is_date(kind):
        return AS_OF
    if pa.types.is_timestamp(kind):
        return LONG_AGO
    if pa.types.is_decimal(kind):
        return Decimal(0)
    return 0 if pa.types.is_integer(kind) or pa.types.is_floating(kind) else ""


@dataclass
class Town:
    """A lake with residents, and the means to make a day of campaigns in it."""

    lake: Lake
    residents: tuple[Resident, ...]
    playbook: Playbook = field(default_factory=packaged)
    control_share: float = 0.0
    outbox: str = ""
    sendgrid: SendGridSettings | None = None

    def settle(self, as_of: date = AS_OF, products: Iterable[Mapping[str, Any]] = PRODUCTS) -> "Town":
        """Write the tables of a day as the stages before would have."""
        day = {"as_of": as_of}
        everybody = self.residents
        self.lake.replace("customers", rows("customers", (r.customer() for r in everybody)))
        consent = [{"customer_key": r.name, "customer_id": r.name, "channel": "email", "status": r.consent,
                    "changed_at": LONG_AGO} for r in everybody if r.consent]  # fmt: skip
        self.lake.replace("consent", rows("consent", consent))
        self.lake.replace("products", rows("products", products))
        segments = [{"customer_id": r.name, "as_of": as_of, "segment": r.segment, "audiences": sorted(r.audiences)}
                    for r in everybody]  # fmt: skip
        self.lake.replace("customer_segments", rows("customer_segments", segments), where=day)
        features = [{"customer_id": r.name, "as_of": as_of, "churn_probability": 0.8, "lifetime_value": r.worth,
                     "average_order_value": 30.0, "email_consent": "unknown"} for r in everybody]  # fmt: skip
        self.lake.replace("customer_features", rows("customer_features", features), where=day)
        moves = [{"as_of": as_of, "customer_id": r.name, "from_segment": r.moved_from, "to_segment": r.segment,
                  "since": as_of - timedelta(days=1)} for r in everybody if r.moved_from]  # fmt: skip
        self.lake.replace("segment_moves", rows("segment_moves", moves), where=day)
        recommended = [{"customer_id": r.name, "as_of": as_of, "rank": rank, "product_id": product, "kind": kind,
                        "because": because} for r in everybody
                       for rank, (product, kind, because) in enumerate(RECOMMENDED, 1)]  # fmt: skip
        self.lake.replace("customer_recommendations", rows("customer_recommendations", recommended), where=day)
        return self

    def says_no(self, name: str, at: datetime = datetime(2017, 11, 14, tzinfo=UTC)) -> None:
        """A resident withdraws consent."""
        said = {"customer_key": name, "customer_id": name, "channel": "email", "status": "denied", "changed_at": at}
        self.lake.merge("consent", rows("consent", [said]))

    @property
    def studio(self) -> Studio:
        """What the drafts are made with."""
        settings = CampaignSettings(
            brand=SHOP, outbox=self.outbox or f"{self.lake.root}/outbox", sendgrid=self.sendgrid,
            control_share=self.control_share,
        )  # fmt: skip
        words = read_words(languages(self.playbook))
        return Studio(self.playbook, settings, words, "GBP", KEY)

    def make(
        self, as_of: date = AS_OF, *, applied: bool = False, wire: Wire | None = None, approved_by: str = ""
    ) -> DaySummary:
        """Make the campaigns of a day."""
        order = Order(as_of, Lot(KEY, self.control_share), PERSON_KEY, applied, approved_by, wire)
        return make(self.lake, [self.lake.latest(table) for table in READS], self.studio, order)

    def members(self, as_of: date = AS_OF) -> dict[str, dict[str, Any]]:
        """Rows of campaign_members by name."""
        table = self.lake.read(self.lake.latest("campaign_members"), where={"as_of": as_of})
        return {row["customer_id"]: row for row in table.to_pylist()}

    def table(self, name: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        return list(self.lake.read(self.lake.latest(name)).to_pylist())
