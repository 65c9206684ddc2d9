"""Orders and customers as Shopify and WooCommerce tell them in webhooks, read as events of ours."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tasks.intake.event import Event, EventKind

WOOCOMMERCE_SALES = frozenset({"processing", "completed"})
REFUND = "refund"
_GRANTS = {"subscribed": "granted", "unsubscribed": "denied"}


def shopify_order(payload: Mapping[str, Any]) -> Event | None:
    """An order of Shopify as it is now: units taken back are gone, cancelled orders are void, test orders are none."""
    if payload.get("test"):
        return None
    customer = payload.get("customer") or {}
    return Event.model_validate(
        {
            "id": f"shopify-order-{payload['id']}-{payload['updated_at']}",
            "kind": EventKind.PURCHASE,
            "at": payload["updated_at"],
            "source": "shopify",
            "customer": _person(customer.get("id"), payload.get("email"), payload.get("phone")),
            "order": {
                "order_id": f"shopify-{payload['id']}",
                "ordered_at": payload.get("processed_at") or payload["created_at"],
                "lines": [_shopify_line(line) for line in payload["line_items"]],
                "currency": payload["currency"],
                "cancelled": bool(payload.get("cancelled_at")),
            },
        }
    )


def _shopify_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """``current_quantity`` is what is left after edits and refunds; the discount shrinks in proportion."""
    quantity, left = Decimal(line["quantity"]), Decimal(line.get("current_quantity", line["quantity"]))
    taken_off = sum((Decimal(str(part["amount"])) for part in line.get("discount_allocations", [])), Decimal(0))
    discount = (taken_off * left / quantity).quantize(Decimal("0.0001")) if quantity else Decimal(0)
    return {
        "product_id": line.get("sku") or str(line.get("product_id") or line["id"]),
        "quantity": left,
        "unit_price": str(line["price"]),
        "discount": discount,
    }


def shopify_customer(payload: Mapping[str, Any], kind: EventKind) -> Event:
    """A profile of Shopify; consent only where it was given or withdrawn."""
    address = payload.get("default_address") or {}
    consent = {
        channel: status
        for channel, key in (("email", "email_marketing_consent"), ("sms", "sms_marketing_consent"))
        if (status := _GRANTS.get(str((payload.get(key) or {}).get("state", "")).lower()))
    }
    return Event.model_validate(
        {
            "id": f"shopify-customer-{payload['id']}-{payload['updated_at']}",
            "kind": kind,
            "at": payload["updated_at"],
            "source": "shopify",
            "customer": {
                **_person(payload["id"], payload.get("email"), payload.get("phone")),
                "first_name": payload.get("first_name"),
                "last_name": payload.get("last_name"),
                "postcode": address.get("zip"),
                "country": address.get("country_code"),
                "created_at": payload.get("created_at"),
                "consent": consent,
            },
        }
    )


def woocommerce_order(payload: Mapping[str, Any]) -> Event | None:
    """An order of WooCommerce: only paid statuses count, refunds are lines of their own (they name no product)."""
    billing = payload.get("billing") or {}
    changed_at = _utc(payload["date_modified_gmt"])
    lines = [_woocommerce_line(line) for line in payload["line_items"]]
    lines += [
        {"product_id": REFUND, "quantity": -1, "amount": str(refund["total"])} for refund in payload.get("refunds", [])
    ]
    return Event.model_validate(
        {
            "id": f"woocommerce-order-{payload['id']}-{changed_at}",
            "kind": EventKind.PURCHASE,
            "at": changed_at,
            "source": "woocommerce",
            "customer": _person(payload.get("customer_id"), billing.get("email"), billing.get("phone")),
            "order": {
                "order_id": f"woocommerce-{payload['id']}",
                "ordered_at": _utc(payload["date_created_gmt"]),
                "lines": lines,
                "currency": payload["currency"],
                "cancelled": payload["status"] not in WOOCOMMERCE_SALES,
            },
        }
    )


def _woocommerce_line(line: Mapping[str, Any]) -> dict[str, Any]:
    """``total`` is after discounts and before tax, ``subtotal`` before both; both are text."""
    quantity, before, after = Decimal(line["quantity"]), Decimal(line["subtotal"]), Decimal(line["total"])
    return {
        "product_id": line.get("sku") or str(line["product_id"]),
        "quantity": quantity,
        "unit_price": (before / quantity).quantize(Decimal("0.0001")) if quantity else before,
        "discount": before - after,
        "amount": after,
    }


def woocommerce_customer(payload: Mapping[str, Any], kind: EventKind) -> Event:
    """A profile of WooCommerce, which knows nothing of consent."""
    billing = payload.get("billing") or {}
    changed_at = _utc(payload.get("date_modified_gmt") or payload["date_created_gmt"])
    return Event.model_validate(
        {
            "id": f"woocommerce-customer-{payload['id']}-{changed_at}",
            "kind": kind,
            "at": changed_at,
            "source": "woocommerce",
            "customer": {
                **_person(payload["id"], payload.get("email"), billing.get("phone")),
                "first_name": payload.get("first_name") or None,
                "last_name": payload.get("last_name") or None,
                "postcode": billing.get("postcode") or None,
                "country": billing.get("country") or None,
                "created_at": _utc(payload["date_created_gmt"]),
            },
        }
    )


def _person(number: Any, email: Any, phone: Any) -> dict[str, Any]:
    """Number 0 (WooCommerce) or none (Shopify) is a guest, known by the address alone."""
    return {"customer_id": str(number) if number else None, "email": email or None, "phone": phone or None}


def _utc(text: str) -> str:
    """WooCommerce's ``…_gmt`` times carry no offset."""
    return text if text.endswith("Z") else f"{text}Z"
