"""The columns that a source can map, per dataset: name, kind, whether it must be mapped, meaning.

Everything else about mapping (expressions, casts, checks, the README's tables) is derived from these values.
"""

from dataclasses import dataclass
from enum import StrEnum

from tasks.config import Dataset


class Kind(StrEnum):
    """What a mapped value becomes."""

    TEXT = "text"
    NUMBER = "number"
    WHOLE = "whole number"
    MONEY = "money"
    FLAG = "true or false"
    INSTANT = "time"
    DAY = "day"
    TEXTS = "list of texts"


SQL_TYPES = {
    Kind.TEXT: "VARCHAR",
    Kind.NUMBER: "DOUBLE",
    Kind.WHOLE: "BIGINT",
    Kind.MONEY: "DECIMAL(18,4)",
    Kind.FLAG: "BOOLEAN",
    Kind.INSTANT: "TIMESTAMPTZ",
    Kind.DAY: "DATE",
    Kind.TEXTS: "VARCHAR[]",
}


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """One column of ours that a source maps to an SQL expression over its own columns."""

    name: str
    kind: Kind
    meaning: str
    required: bool = False


def _text(name: str, meaning: str, *, required: bool = False) -> MappedColumn:
    return MappedColumn(name, Kind.TEXT, meaning, required)


PERSON = (
    _text("customer_id", "Customer number in the source's id space; empty for a guest"),
    _text("loyalty_id", "Number of the loyalty card"),
    _text("email", "E-mail address"),
    _text("phone", "Telephone number; the configured country is assumed where the prefix is missing"),
)

ORDERS = (
    _text("order_id", "Order, basket or receipt number, unique across channels", required=True),
    MappedColumn("line", Kind.WHOLE, "Position on the order; the order of rows when left out"),
    *PERSON,
    MappedColumn("ordered_at", Kind.INSTANT, "When it was ordered", required=True),
    _text("channel", "Sales channel; the source's when left out"),
    _text("store_id", "Store or site"),
    _text("product_id", "Product bought", required=True),
    MappedColumn("quantity", Kind.NUMBER, "Units, negative for a return; 1 when left out"),
    MappedColumn("unit_price", Kind.MONEY, "Price of one unit before discount; from the amount when left out"),
    MappedColumn("discount", Kind.MONEY, "Reduction on the line; its sign does not matter; 0 when left out"),
    MappedColumn("amount", Kind.MONEY, "Net value of the line; quantity × unit_price − discount when left out"),
    _text("currency", "ISO 4217 code of the amounts; the source's when left out"),
    MappedColumn("gift", Kind.FLAG, "Bought as a gift"),
    MappedColumn("is_return", Kind.FLAG, "The line gives goods back: quantity and amount are made negative"),
    MappedColumn("cancelled", Kind.FLAG, "Never delivered nor paid: quantity and amount become zero"),
    _text("campaign_id", "Campaign whose coupon or link was used"),
)

CUSTOMERS = (
    *PERSON,
    _text("first_name", "Given name"),
    _text("last_name", "Family name"),
    MappedColumn("birth_year", Kind.WHOLE, "Year of birth"),
    _text("age_band", "Age group"),
    _text("postcode", "Postal code"),
    _text("country", "ISO 3166-1 alpha-2 code"),
    _text("language", "ISO 639-1 code"),
    _text("income_band", "Income group"),
    MappedColumn("household_size", Kind.WHOLE, "People in the household"),
    MappedColumn("is_business", Kind.FLAG, "Buys for a business"),
    MappedColumn("created_at", Kind.INSTANT, "Created in the source"),
    MappedColumn("updated_at", Kind.INSTANT, "Last change in the source; the file's own time when left out"),
    _text("consent_email", "May be written to by e-mail: true, false, granted, denied or empty for unknown"),
    _text("consent_sms", "May be written to by text message"),
    _text("consent_phone", "May be called"),
    _text("consent_post", "May be written to by post"),
    _text("consent_ads", "May be shown advertising made for them"),
)

PRODUCTS = (
    _text("product_id", "Product number", required=True),
    _text("name", "Name a customer would recognise"),
    _text("category", "Category for affinity and recommendations"),
    _text("department", "Department above the category"),
    _text("brand", "Brand"),
    MappedColumn("price", Kind.MONEY, "Current price of one unit"),
    MappedColumn("margin", Kind.NUMBER, "Margin as a share of the price, 0 to 1"),
    MappedColumn("stock_on_hand", Kind.NUMBER, "Units that can be sold"),
    _text("season", "Months in which it sells, as comma separated numbers"),
    _text("url", "Product page"),
    _text("image_url", "Picture"),
    MappedColumn("updated_at", Kind.INSTANT, "Last change in the source; the file's own time when left out"),
)

SESSIONS = (
    _text("session_id", "Visit", required=True),
    *PERSON,
    MappedColumn("started_at", Kind.INSTANT, "Begin of the visit", required=True),
    MappedColumn("duration_seconds", Kind.NUMBER, "Length in seconds"),
    MappedColumn("pages", Kind.WHOLE, "Pages seen"),
    MappedColumn("products_viewed", Kind.TEXTS, "Products looked at; a list, or text with commas"),
    _text("device", "Kind of device"),
)

ENGAGEMENT = (
    _text("event_id", "Event number; made from the other columns when left out"),
    *PERSON,
    _text("campaign_id", "Campaign the message belongs to"),
    _text("kind", "delivered, open, click, redeem, unsubscribe, bounce or spam", required=True),
    MappedColumn("at", Kind.INSTANT, "When it happened", required=True),
    MappedColumn("machine_open", Kind.FLAG, "Opened by a privacy proxy, not by a person"),
)

CAMPAIGNS = (
    _text("campaign_id", "Campaign", required=True),
    _text("name", "Name a marketer gave it"),
    _text("kind", "Type of campaign"),
    MappedColumn("starts_on", Kind.DAY, "First day", required=True),
    MappedColumn("ends_on", Kind.DAY, "Last day", required=True),
)

CONSENT = (
    *PERSON,
    _text("channel", "email, sms, phone, post or ads; the source's channel when left out"),
    _text("status", "true, false, granted, denied or empty for unknown", required=True),
    MappedColumn("changed_at", Kind.INSTANT, "When it was said; the file's own time when left out"),
)

DATASETS: dict[Dataset, tuple[MappedColumn, ...]] = {
    Dataset.ORDERS: ORDERS,
    Dataset.CUSTOMERS: CUSTOMERS,
    Dataset.CONTACTS: CUSTOMERS,
    Dataset.PRODUCTS: PRODUCTS,
    Dataset.SESSIONS: SESSIONS,
    Dataset.ENGAGEMENT: ENGAGEMENT,
    Dataset.CAMPAIGNS: CAMPAIGNS,
    Dataset.CONSENT: CONSENT,
}

CONSENT_CHANNELS = ("email", "sms", "phone", "post", "ads")
PEOPLE_KEYS = tuple(column.name for column in PERSON)
ABOUT_PEOPLE = {Dataset.CUSTOMERS, Dataset.CONTACTS, Dataset.CONSENT}
