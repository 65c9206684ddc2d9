"""Who gets which alert: a route is one channel with its address and the kinds of alert it takes."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.alerts.messages import Kind
from tasks.errors import ConfigurationError

Channel = Literal["webhook", "slack", "teams", "pagerduty", "email"]

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
SENDGRID = "https://api.sendgrid.com/v3/mail/send"
_LOOPBACK = ("http://127.0.0.1:", "http://localhost:")


class Route(BaseModel):
    """One receiver of alerts.

    ``secret`` names the environment variable that holds the address (webhook, slack, teams), the routing key
    (pagerduty) or the API key (email); the value itself never stands in a file. ``kinds`` empty: every kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    channel: Channel
    secret: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
    kinds: tuple[Kind, ...] = ()
    sender: str | None = None
    to: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _email_has_people(self) -> "Route":
        if (self.channel == "email") != bool(self.sender and self.to):
            raise ValueError("email, and only email, needs sender and to")
        return self

    def takes(self, kind: Kind) -> bool:
        """Whether alerts of this kind go here."""
        return not self.kinds or kind in self.kinds


class Request(BaseModel):
    """The HTTP request of one route; ``{{subject}}``, ``{{body}}`` and ``{{key}}`` (the secret) are filled later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    headers: dict[str, str] = {"content-type": "application/json"}
    payload: dict[str, object]


def shape(route: Route) -> Request:
    """Return how the channel of a route wants to be told.

    Slack: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks;
    Teams: https://learn.microsoft.com/power-automate/teams/send-a-message-in-teams;
    PagerDuty: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/;
    SendGrid: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send.
    """
    match route.channel:
        case "slack":
            return Request(url="{{key}}", payload={"text": "*{{subject}}*\n{{body}}"})
        case "teams":
            return Request(url="{{key}}", payload=_teams_card())
        case "pagerduty":
            summary = {
                "summary": "{{subject}}",
                "source": "retail-segmentation",
                "severity": "error",
                "custom_details": {"body": "{{body}}"},
            }
            return Request(
                url=PAGERDUTY, payload={"routing_key": "{{key}}", "event_action": "trigger", "payload": summary}
            )
        case "email":
            return Request(
                url=SENDGRID,
                headers={"content-type": "application/json", "authorization": "Bearer {{key}}"},
                payload={
                    "personalizations": [{"to": [{"email": address} for address in route.to]}],
                    "from": {"email": route.sender},
                    "subject": "{{subject}}",
                    "content": [{"type": "text/plain", "value": "{{body}}"}],
                },
            )
        case "webhook":
            return Request(url="{{key}}", payload={"subject": "{{subject}}", "body": "{{body}}"})


def check_secret(route: Route, value: str | None) -> str:
    """Return the secret of a route if it can work; ConfigurationError names the variable, never its value."""
    if not value:
        raise ConfigurationError(f"alert route {route.name}: environment variable {route.secret} is not set")
    is_address = route.channel in ("webhook", "slack", "teams")
    if is_address and not value.startswith(("https://", *_LOOPBACK)):
        raise ConfigurationError(f"alert route {route.name}: the address in {route.secret} must begin with https://")
    return value


def _teams_card() -> dict[str, object]:
    lines = [
        {"type": "TextBlock", "text": "{{subject}}", "weight": "bolder", "wrap": True},
        {"type": "TextBlock", "text": "{{body}}", "wrap": True},
    ]
    card = {"type": "AdaptiveCard", "version": "1.4", "body": lines}
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }
