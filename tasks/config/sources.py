"""Where data comes from and how its columns become ours."""

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from tasks.config.base import Settings


class Dataset(StrEnum):
    """Kinds of data that intake understands."""

    ORDERS = "orders"
    CUSTOMERS = "customers"
    CONTACTS = "contacts"
    PRODUCTS = "products"
    SESSIONS = "sessions"
    ENGAGEMENT = "engagement"
    CAMPAIGNS = "campaigns"
    CONSENT = "consent"


class Checks(Settings):
    """Limits for one source; a row beyond them is quarantined, a share beyond them stops or tells."""

    max_quarantined: float = Field(0.02, ge=0, le=1, description="Largest share of quarantined rows")
    max_quantity: float = Field(1_000, gt=0, description="Largest believable quantity on one line, in units")
    max_amount: float = Field(100_000, gt=0, description="Largest believable net value of one line, in its currency")
    min_rows: int = Field(0, ge=0, description="Fewest rows in a run with new files")
    max_shrink: float = Field(0.5, ge=0, le=1, description="Largest drop of rows against the mean of earlier batches")
    on_breach: Literal["stop", "tell"] = Field("stop", description="stop the run before anything leaves, or only tell")
    earliest: str = Field("1990-01-01", description="Facts before this day are refused")


class Source(Settings):
    """One source of one dataset."""

    name: str = Field("", description="Name in logs and tables; made from channel and dataset when left out")
    dataset: Dataset = Field(description="What it holds")
    channel: str = Field("all", description="Sales or message channel it belongs to: pos, web, email, …")
    files: str = Field("", description="Glob of Parquet, CSV or NDJSON files; local, s3:// or any fsspec address")
    connector: Literal["", "redshift", "bigquery", "shopify", "woocommerce", "salesforce", "hubspot"] = Field(
        "", description="Where it comes from when not from files"
    )
    options: dict[str, str] = Field(default_factory=dict, description="Settings of the connector (shop, query, …)")
    secret: str = Field("", description="Name of the connector's secret")
    columns: dict[str, str] = Field(default_factory=dict, description="Our column: an SQL expression over theirs")
    where: str = Field("", description="SQL condition over their columns; other rows do not belong to the source")
    id_space: str = Field("main", description="Sources with the same id space number customers alike")
    timezone: str = Field("", description="Time zone of times without one; the retailer's when left out")
    currency: str = Field("", description="Currency of rows that name none; the retailer's when left out")
    required: bool = Field(False, description="No file at all stops the run instead of telling")
    checks: Checks = Field(default_factory=Checks, description="Limits")

    @model_validator(mode="after")
    def _complete(self) -> "Source":
        if bool(self.files) == bool(self.connector):
            raise ValueError("give either files or connector")
        if not self.name:
            object.__setattr__(self, "name", f"{self.channel}-{self.dataset.value}")
        return self
