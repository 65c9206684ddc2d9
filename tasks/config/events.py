"""How events reach the system: the queue, and who may put something into it."""

from typing import Literal

from pydantic import Field

from tasks.config.base import Settings


class WebhookSettings(Settings):
    """One shop that tells of orders and customers by signed requests."""

    platform: Literal["shopify", "woocommerce"] = Field(description="Shop system")
    secret: str = Field(description="Name of the secret that signs the requests")
    channel: str = Field("web", description="Sales channel of the orders, where no connector of this platform says it")


class EventSettings(Settings):
    """The queue of events and the receiver in front of it."""

    queue: str = Field("", description="Directory, or https:// address of an SQS queue; _queue in the lake if left out")
    batch: int = Field(5_000, ge=1, le=100_000, description="Most events taken in at a time")
    visible_again_seconds: int = Field(
        900, ge=10, le=43_200, description="An event taken but not finished is offered again after this time"
    )
    most_tries: int = Field(5, ge=1, le=100, description="An event offered more often is put aside as a dead letter")
    token: str = Field("", description="Name of the secret that senders to /events show; no token, no such sender")
    webhooks: tuple[WebhookSettings, ...] = Field((), description="Shops that send webhooks")
