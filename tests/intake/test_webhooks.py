"""Deliveries: only what is signed is believed, and what it says becomes our events."""

import base64
import hashlib
import hmac
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.intake.event import Event, EventKind
from tasks.intake.events_in import event_rows
from tasks.intake.queue import Delivery
from tasks.intake.webhooks import RefusedError, is_ping, is_signed, read_delivery

SECRET = SecretStr("hush")
SECRETS = {"shopify": [SECRET], "woocommerce": [SECRET]}

SHOPIFY_ORDER = {
    "id": 820982911946154508,
    "email": "jon@example.com",
    "phone": None,
    "created_at": "2026-03-02T08:00:00-05:00",
    "processed_at": "2026-03-02T08:00:05-05:00",
    "updated_at": "2026-03-02T08:01:00-05:00",
    "cancelled_at": None,
    "test": False,
    "currency": "USD",
    "customer": {"id": 115310627314723954},
    "line_items": [
        {
            "id": 866550311766439020, "product_id": 788032119674292922, "sku": "IPOD2008PINK", "quantity": 2,
            "current_quantity": 1, "price": "199.00", "discount_allocations": [{"amount": "10.00"}],
        },
        {"id": 141249953214522974, "product_id": 632910392, "sku": "", "quantity": 1, "price": "5.00"},
    ],
}  # fmt: skip

WOOCOMMERCE_ORDER = {
    "id": 727,
    "status": "processing",
    "currency": "EUR",
    "date_created_gmt": "2026-03-01T22:28:02",
    "date_modified_gmt": "2026-03-01T22:28:08",
    "customer_id": 0,
    "billing": {"email": "john.doe@example.com", "phone": "(555) 555-5555"},
    "line_items": [{"id": 315, "product_id": 93, "sku": "woo-93", "quantity": 2, "subtotal": "6.00", "total": "5.00"}],
    "refunds": [{"id": 726, "total": "-1.50"}],
}


def signed(platform, topic, payload, secret=SECRET):
    """A delivery as the gateway puts it into the queue."""
    body = payload if isinstance(payload, str) else json.dumps(payload)
    digest = hmac.new(secret.get_secret_value().encode(), body.encode(), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    return Delivery(body, (("signature", signature), ("source", platform), ("topic", topic)))


def test_the_signature_is_hmac_sha256_as_rfc_4231_computes_it():
    digest = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    body = b"what do ya want for nothing?"
    assert is_signed(body, base64.b64encode(digest).decode(), [SecretStr("Jefe")])


@given(body=st.binary(max_size=200), place=st.integers(min_value=0), other=st.integers(1, 255))
def test_one_changed_byte_breaks_the_signature(body, place, other):
    signature = base64.b64encode(hmac.new(b"hush", body, hashlib.sha256).digest()).decode()
    assert is_signed(body, signature, [SECRET])
    changed = bytearray(body or b"x")
    changed[place % len(changed)] ^= other
    assert not is_signed(bytes(changed), signature, [SECRET])


@pytest.mark.parametrize("signature", ["", "AAAA", "é", "=" * 44])
def test_a_missing_or_odd_signature_is_no_signature(signature):
    assert not is_signed(b"{}", signature, [SECRET])


def test_without_a_secret_nobody_is_believed():
    with pytest.raises(RefusedError) as refused:
        read_delivery(signed("shopify", "orders/create", SHOPIFY_ORDER), {})
    assert refused.value.code == "bad_signature"


def test_while_a_secret_is_changed_both_are_believed():
    both = {"shopify": [SecretStr("new"), SECRET]}
    assert read_delivery(signed("shopify", "orders/create", SHOPIFY_ORDER), both)


def test_a_forged_body_is_refused_and_the_reason_names_nobody():
    delivery = signed("shopify", "orders/create", SHOPIFY_ORDER)
    forged = Delivery(delivery.body.replace("199.00", "1.00"), delivery.attributes)
    with pytest.raises(RefusedError) as refused:
        read_delivery(forged, SECRETS)
    assert refused.value.code == "bad_signature"
    assert "jon" not in str(refused.value)


def test_a_shopify_order_becomes_a_purchase_with_what_is_left_of_its_lines():
    (event,) = read_delivery(signed("shopify", "orders/create", SHOPIFY_ORDER), SECRETS)
    assert event.kind is EventKind.PURCHASE
    head = {
        "order_id": "shopify-820982911946154508", "ordered_at": "2026-03-02T08:00:05-05:00", "channel": None,
        "store_id": None, "currency": "USD", "campaign_id": None, "cancelled": False,
        "customer_id": "115310627314723954", "loyalty_id": None, "email": "jon@example.com", "phone": None,
    }  # fmt: skip
    assert event_rows(event) == [
        {**head, "line": 1, "product_id": "IPOD2008PINK", "quantity": "1", "unit_price": "199.00",
         "discount": "5.0000", "amount": "194.0000", "gift": False},
        {**head, "line": 2, "product_id": "632910392", "quantity": "1", "unit_price": "5.00",
         "discount": "0.0000", "amount": "5.0000", "gift": False},
    ]  # fmt: skip


def test_a_test_order_is_nothing():
    assert read_delivery(signed("shopify", "orders/create", {**SHOPIFY_ORDER, "test": True}), SECRETS) == ()


def test_a_cancelled_order_says_so():
    cancelled = {**SHOPIFY_ORDER, "cancelled_at": "2026-03-02T09:00:00Z"}
    (event,) = read_delivery(signed("shopify", "orders/cancelled", cancelled), SECRETS)
    assert all(row["cancelled"] for row in event_rows(event))


def test_withdrawn_consent_of_shopify_is_a_no():
    payload = {
        "customer_id": 7, "email_address": "ana@example.com",
        "email_marketing_consent": {"state": "unsubscribed", "consent_updated_at": "2026-03-02T08:00:00Z"},
    }  # fmt: skip
    (event,) = read_delivery(signed("shopify", "customers_email_marketing_consent/update", payload), SECRETS)
    (row,) = event_rows(event)
    assert (row["customer_id"], row["consent_email"]) == ("7", "denied")


def test_a_shopify_customer_is_a_profile_whose_consent_is_only_what_was_said():
    payload = {
        "id": 706405506930370084, "email": "bob@example.com", "first_name": "Bob", "last_name": "Biller",
        "phone": None, "created_at": "2026-03-01T10:00:00Z", "updated_at": "2026-03-02T10:00:00Z",
        "default_address": {"zip": "K2P0V6", "country_code": "CA"},
        "email_marketing_consent": {"state": "not_subscribed"}, "sms_marketing_consent": None,
    }  # fmt: skip
    (event,) = read_delivery(signed("shopify", "customers/update", payload), SECRETS)
    assert event.customer.consent == {}
    assert (event.customer.postcode, event.customer.country) == ("K2P0V6", "CA")


def test_a_woocommerce_guest_is_known_by_the_address_and_a_refund_is_a_line():
    (event,) = read_delivery(signed("woocommerce", "order.updated", WOOCOMMERCE_ORDER), SECRETS)
    rows = event_rows(event)
    assert event.customer.customer_id is None
    assert event.customer.email == "john.doe@example.com"
    assert [(row["product_id"], row["quantity"], row["amount"]) for row in rows] == [
        ("woo-93", "2", "5.00"),
        ("refund", "-1", "-1.50"),
    ]
    assert rows[0]["discount"] == "1.00"
    assert rows[0]["ordered_at"] == "2026-03-01T22:28:02+00:00"


@pytest.mark.parametrize("status", ["pending", "cancelled", "refunded", "failed", "trash", "on-hold"])
def test_an_unpaid_woocommerce_order_does_not_count(status):
    (event,) = read_delivery(signed("woocommerce", "order.updated", {**WOOCOMMERCE_ORDER, "status": status}), SECRETS)
    assert event.order.cancelled


def test_the_ping_of_a_new_webhook_is_nothing():
    assert is_ping("woocommerce", b"webhook_id=12")
    assert not is_ping("woocommerce", b"webhook_id=12&x=1")
    assert not is_ping("shopify", b"webhook_id=12")
    assert read_delivery(Delivery("webhook_id=12", (("source", "woocommerce"),)), SECRETS) == ()


def test_topics_that_say_nothing_about_segments_are_passed_over():
    assert read_delivery(signed("shopify", "themes/publish", {"id": 1}), SECRETS) == ()


def test_a_privacy_request_waits_for_a_person():
    with pytest.raises(RefusedError) as refused:
        read_delivery(signed("shopify", "customers/redact", {"customer": {"email": "ana@example.com"}}), SECRETS)
    assert refused.value.code == "privacy_request"
    assert "ana" not in str(refused.value)


@pytest.mark.parametrize(
    "payload",
    ["[]", "no json", {}, {**SHOPIFY_ORDER, "line_items": []}, {**SHOPIFY_ORDER, "line_items": [{}]},
     {**SHOPIFY_ORDER, "updated_at": "yesterday"}, {**SHOPIFY_ORDER, "line_items": "ana@example.com"}],
)  # fmt: skip
def test_a_signed_body_that_nobody_understands_is_refused_without_its_values(payload):
    with pytest.raises(RefusedError) as refused:
        read_delivery(signed("shopify", "orders/create", payload), SECRETS)
    assert refused.value.code == "not_understood"
    assert "example.com" not in str(refused.value)


def test_a_new_file_on_s3_is_announced_with_its_real_name():
    record = {
        "eventName": "ObjectCreated:Put", "eventTime": "2026-03-02T10:00:00.000Z",
        "s3": {"bucket": {"name": "raw"}, "object": {"key": "crm/new+contacts%2B1.csv", "sequencer": "1", "eTag": ""}},
    }  # fmt: skip
    (event,) = read_delivery(Delivery(json.dumps({"Records": [record]})), {})
    assert event.kind is EventKind.CONTACT_FILE
    assert event.uri == "s3://raw/crm/new contacts+1.csv"


def test_the_test_message_of_s3_is_nothing():
    assert read_delivery(Delivery(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})), {}) == ()


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_and_never_breaks_the_reader(text):
    for source in ("", "api", "shopify", "woocommerce"):
        try:
            events = read_delivery(Delivery(text, (("source", source),)), SECRETS)
        except RefusedError:
            continue
        assert all(isinstance(event, Event) for event in events)


def test_many_events_fit_into_one_body():
    one = {"id": "1", "kind": "tag", "at": "2026-03-02T10:00:00Z", "tag": "spring", "customers": ["ana"]}
    body = json.dumps([one, {**one, "id": "2", "customers": ["ben"]}])
    assert [event.id for event in read_delivery(Delivery(body, (("source", "api"),)), {})] == ["1", "2"]


def test_the_net_value_follows_from_price_quantity_and_discount():
    order = {"order_id": "o", "lines": [{"product_id": "p", "quantity": "3", "unit_price": "2.50", "discount": "1"}]}
    body = json.dumps({"id": "1", "kind": "purchase", "at": "2026-03-02T10:00:00Z", "order": order})
    (event,) = read_delivery(Delivery(body, (("source", "api"),)), {})
    assert event.order.lines[0].net == Decimal("6.50")
