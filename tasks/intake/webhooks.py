"""Deliveries from shops, object stores and our own systems: checked for their signature, then read as events.

Shopify and WooCommerce sign the raw body with a shared secret (base64 of HMAC-SHA256), in ``X-Shopify-Hmac-SHA256`` and
``X-WC-Webhook-Signature``. The signature is checked where the queue is read, so it does not matter who filled it:
https://shopify.dev/docs/apps/build/webhooks/verify-deliveries,
https://woocommerce.github.io/woocommerce-rest-api-docs/#webhooks.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import unquote_plus

from pydantic import SecretStr, ValidationError

from tasks.errors import RejectedError
from tasks.intake.event import Event, EventKind, describe_problems, parse_events
from tasks.intake.queue import Delivery
from tasks.intake.shop_orders import shopify_customer, shopify_order, woocommerce_customer, woocommerce_order

Secrets: TypeAlias = Mapping[str, Sequence[SecretStr]]
"""Signing secrets by platform; several while one is being changed for another."""

SIGNATURE_HEADERS = {"shopify": "x-shopify-hmac-sha256", "woocommerce": "x-wc-webhook-signature"}
TOPIC_HEADERS = {"shopify": "x-shopify-topic", "woocommerce": "x-wc-webhook-topic"}
EVENT_HEADERS = {"shopify": "x-shopify-webhook-id", "woocommerce": "x-wc-webhook-delivery-id"}
PRIVACY_TOPICS = frozenset({"customers/redact", "customers/data_request", "shop/redact"})
_PING = "webhook_id="
_CONSENT = {"subscribed": "granted", "unsubscribed": "denied"}


class RefusedError(RejectedError):
    """A delivery that nobody can act on as it is; ``code`` can be counted."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def is_signed(body: bytes, signature: str, secrets: Sequence[SecretStr]) -> bool:
    """Whether the signature was made over these bytes with one of the secrets; compared in constant time."""
    given = signature.strip().encode("utf-8", "replace")
    fits = [hmac.compare_digest(_sign(body, secret), given) for secret in secrets]  # all of them, for equal time
    return any(fits)


def _sign(body: bytes, secret: SecretStr) -> bytes:
    return base64.b64encode(hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).digest())


def is_ping(platform: str, body: bytes) -> bool:
    """Whether this is the unsigned form that WooCommerce sends once when a webhook is created."""
    return platform == "woocommerce" and body.startswith(_PING.encode()) and body[len(_PING) :].isdigit()


def read_delivery(delivery: Delivery, secrets: Secrets) -> tuple[Event, ...]:
    """The events of a delivery; none where it says nothing that concerns segments.

    Raises ``RefusedError``: forged or unsigned, not understood, or a privacy request that a person must answer.
    """
    source = delivery.get("source")
    if source in SIGNATURE_HEADERS:
        return _read_webhook(source, delivery, secrets)
    if not source and (found := _object_of(delivery.body)) is not None and ("Records" in found or "Event" in found):
        return _read_notification(found)
    try:
        return parse_events(delivery.body)
    except RejectedError as error:
        raise RefusedError("not_understood", str(error)) from None


def _read_webhook(platform: str, delivery: Delivery, secrets: Secrets) -> tuple[Event, ...]:
    body = delivery.body.encode()
    if is_ping(platform, body):
        return ()
    if not is_signed(body, delivery.get("signature"), secrets.get(platform, ())):
        raise RefusedError(
            "bad_signature",
            f"The signature does not fit. Compare the secret of the webhook at {platform} with events.webhooks.",
        )
    topic = delivery.get("topic")
    if topic in PRIVACY_TOPICS:
        raise RefusedError(
            "privacy_request", f"{topic}: a person asked. Run `segmentation forget` and answer the shop."
        )
    reader = _READERS.get((platform, topic))
    payload = _object_of(delivery.body)
    if reader is None:
        return ()
    if payload is None:
        raise RefusedError("not_understood", f"{platform} {topic}: the body is no JSON object.")
    try:
        event = reader(payload)
    except ValidationError as error:
        raise RefusedError("not_understood", f"{platform} {topic}: {describe_problems(error)}") from None
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise RefusedError("not_understood", f"{platform} {topic}: {type(error).__name__} in a field.") from None
    return (event,) if event is not None else ()


def _object_of(body: str) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _read_notification(found: Mapping[str, Any]) -> tuple[Event, ...]:
    """New files, as S3 announces them; keys are quoted as in a form.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    try:
        return tuple(
            Event(
                id=f"{record['s3']['object'].get('sequencer', '')}-{record['s3']['object'].get('eTag', '')}",
                kind=EventKind.CONTACT_FILE,
                at=record["eventTime"],
                source="s3",
                uri=f"s3://{record['s3']['bucket']['name']}/{unquote_plus(record['s3']['object']['key'])}",
            )
            for record in found.get("Records", [])
            if str(record.get("eventName", "")).startswith(("ObjectCreated", "s3:ObjectCreated"))
        )
    except (KeyError, TypeError, AttributeError, ValidationError):
        raise RefusedError("not_understood", "A notification that does not look like S3's.") from None


def _shopify_consent(payload: Mapping[str, Any]) -> Event | None:
    """Topic customers_email_marketing_consent/update."""
    told = payload["email_marketing_consent"]
    status = _CONSENT.get(str(told.get("state", "")).lower())
    if status is None:
        return None
    changed_at = told.get("consent_updated_at")
    return Event.model_validate(
        {
            "id": f"shopify-consent-{payload['customer_id']}-{changed_at}",
            "kind": "profile_update",
            "at": changed_at,
            "source": "shopify",
            "customer": {
                "customer_id": str(payload["customer_id"]),
                "email": payload.get("email_address"),
                "consent": {"email": status},
            },
        }
    )


_READERS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Event | None]] = {
    ("shopify", "orders/create"): shopify_order,
    ("shopify", "orders/updated"): shopify_order,
    ("shopify", "orders/paid"): shopify_order,
    ("shopify", "orders/cancelled"): shopify_order,
    ("shopify", "customers/create"): lambda payload: shopify_customer(payload, EventKind.REGISTRATION),
    ("shopify", "customers/update"): lambda payload: shopify_customer(payload, EventKind.PROFILE_UPDATE),
    ("shopify", "customers_email_marketing_consent/update"): _shopify_consent,
    ("woocommerce", "order.created"): woocommerce_order,
    ("woocommerce", "order.updated"): woocommerce_order,
    ("woocommerce", "order.restored"): woocommerce_order,
    ("woocommerce", "customer.created"): lambda payload: woocommerce_customer(payload, EventKind.REGISTRATION),
    ("woocommerce", "customer.updated"): lambda payload: woocommerce_customer(payload, EventKind.PROFILE_UPDATE),
}
