"""What a retailer configures about campaigns: the brand, the account, the hold-outs; no behaviour."""

import re
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

SMALLEST_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3: text against its background

Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
Share = Annotated[float, Field(ge=0.0, le=0.5)]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(address: str) -> str:
    """Return a web address that is encrypted or never leaves the machine; raises ValueError otherwise."""
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return address.rstrip("/")
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return address.rstrip("/")
    message = "must start with https://"
    raise ValueError(message)


Address = Annotated[str, AfterValidator(check_address)]


def _luminance(colour: str) -> float:
    channels = (int(part, 16) / 255 for part in re.findall("..", colour.removeprefix("#")))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)  # noqa: PLR2004 - sRGB
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_NO_NAME = "Your shop"


class Brand(_Settings):
    """How messages look and who sends them."""

    name: str = Field(default=_NO_NAME, pattern=r"^[^{}<>]+$", max_length=60, description="Name customers know")
    website: Address = Field(default="https://www.example.com", description="Where the logo and the buttons lead")
    logo_url: Address | None = Field(default=None, description="Picture of the logo; the name is shown without it")
    logo_width: int = Field(default=140, ge=40, le=280, description="Width of the logo in pixels")
    placeholder_image_url: Address | None = Field(
        default=None, description="Picture for products without one; no product pictures are shown without it"
    )
    support_email: str = Field(default="", description="Where customers can write to")
    primary: Colour = "#1f5c4d"
    on_primary: Colour = "#ffffff"
    accent: Colour = "#f3ede2"
    ink: Colour = "#1d2321"
    utm_source: str = Field(default="newsletter", pattern=r"^[a-z0-9_-]+$", description="Source in web analytics")

    @model_validator(mode="after")
    def _readable(self) -> "Brand":
        for name, one, other in (("on_primary", self.on_primary, self.primary), ("ink", self.ink, self.accent)):
            if contrast(one, other) < SMALLEST_CONTRAST:
                message = f"{name} {one} cannot be read on {other}: contrast {contrast(one, other):.1f}, 4.5 is needed"
                raise ValueError(message)
        return self


class SendGridSettings(_Settings):
    """The account that keeps the drafts; every id is a number shown in SendGrid's own pages."""

    secret: str = Field(default="sendgrid-api-key", description="Name of the secret with the API key")
    sender_id: int = Field(gt=0, description="Verified sender (Marketing > Senders)")
    suppression_group_id: int = Field(gt=0, description="Unsubscribe group (Suppressions > Unsubscribe Groups)")
    base_url: Address = "https://api.sendgrid.com"
    contacts_per_request: int = Field(default=5_000, ge=1, le=30_000, description="SendGrid takes 30,000 or 6 MB")
    request_timeout_seconds: float = Field(default=30.0, gt=0)
    job_timeout_seconds: float = Field(default=1_800.0, gt=0, description="How long an import may take")
    longest_wait_seconds: float = Field(default=90.0, ge=0, description="Longest wait for the account's rate limit")
    prefix: str = Field(default="rs", pattern=r"^[a-z][a-z0-9]{0,9}$", description="Prefix of our custom fields")


class CampaignSettings(_Settings):
    """Everything about campaigns that is not the playbook."""

    remark: str = Field(default="", description="Said above the drafts, on their page and in the summary of a run")
    texts: str | None = Field(default=None, description="Folder with <language>.yaml for more languages")
    brand: Brand = Brand()
    language: str = Field(default="en", pattern=r"^[a-z]{2}$", description="Language where a customer's is unknown")
    consent: Literal["granted", "not_denied"] = Field(
        default="granted", description="Who may be written to: an explicit yes, or everybody who did not say no"
    )
    holdout_key_secret: str = Field(
        default="", description="Name of the secret that draws the hold-outs; a key kept with the lake when left out"
    )
    control_share: Share = Field(default=0.0, description="Customers who never get any campaign")
    cost_per_thousand: Decimal = Field(default=Decimal("1.00"), ge=0, description="Price of a thousand messages")
    outbox: str = Field(
        default="",
        description="Folder for drafts to open and the offers file; in the lake when left out",
    )
    sendgrid: SendGridSettings | None = Field(default=None, description="Without it drafts go to the outbox only")

    @model_validator(mode="after")
    def _named(self) -> "CampaignSettings":
        if self.sendgrid and self.brand.name == _NO_NAME:
            message = "sendgrid needs brand.name and brand.website: customers must see who writes to them"
            raise ValueError(message)
        return self
