"""Each channel is told in its own words, at its own address, and secrets stay in the environment."""

import pytest
from pydantic import ValidationError

from tasks.alerts.routes import Route, check_secret, shape
from tasks.errors import ConfigurationError


def route(channel, **more):
    return Route(name="data-team", channel=channel, secret="ALERT_KEY", **more)


@pytest.mark.parametrize(
    ("channel", "more", "request_"),
    [
        (
            "webhook",
            {},
            {
                "url": "{{key}}",
                "headers": {"content-type": "application/json"},
                "payload": {"subject": "{{subject}}", "body": "{{body}}"},
            },
        ),
        (
            "slack",
            {},
            {
                "url": "{{key}}",
                "headers": {"content-type": "application/json"},
                "payload": {"text": "*{{subject}}*\n{{body}}"},
            },
        ),
        (
            "teams",
            {},
            {
                "url": "{{key}}",
                "headers": {"content-type": "application/json"},
                "payload": {
                    "type": "message",
                    "attachments": [
                        {
                            "contentType": "application/vnd.microsoft.card.adaptive",
                            "content": {
                                "type": "AdaptiveCard",
                                "version": "1.4",
                                "body": [
                                    {"type": "TextBlock", "text": "{{subject}}", "weight": "bolder", "wrap": True},
                                    {"type": "TextBlock", "text": "{{body}}", "wrap": True},
                                ],
                            },
                        }
                    ],
                },
            },
        ),
        (
            "pagerduty",
            {},
            {
                "url": "https://events.pagerduty.com/v2/enqueue",
                "headers": {"content-type": "application/json"},
                "payload": {
                    "routing_key": "{{key}}",
                    "event_action": "trigger",
                    "payload": {
                        "summary": "{{subject}}",
                        "source": "retail-segmentation",
                        "severity": "error",
                        "custom_details": {"body": "{{body}}"},
                    },
                },
            },
        ),
        (
            "email",
            {"sender": "alerts@shop.example", "to": ["ana@shop.example", "ben@shop.example"]},
            {
                "url": "https://api.sendgrid.com/v3/mail/send",
                "headers": {"content-type": "application/json", "authorization": "Bearer {{key}}"},
                "payload": {
                    "personalizations": [{"to": [{"email": "ana@shop.example"}, {"email": "ben@shop.example"}]}],
                    "from": {"email": "alerts@shop.example"},
                    "subject": "{{subject}}",
                    "content": [{"type": "text/plain", "value": "{{body}}"}],
                },
            },
        ),
    ],
)
def test_each_channel_gets_the_request_it_understands(channel, more, request_):
    assert shape(route(channel, **more)).model_dump() == request_


def test_a_route_without_kinds_takes_every_alert_and_one_with_kinds_only_those():
    assert route("slack").takes("late-run")
    assert route("slack", kinds=["gave-up"]).takes("gave-up")
    assert not route("slack", kinds=["gave-up"]).takes("late-run")


@pytest.mark.parametrize(
    "wrong",
    [
        {"channel": "email"},
        {"channel": "slack", "to": ["ana@shop.example"], "sender": "x@shop.example"},
        {"channel": "pigeon"},
        {"channel": "slack", "secret": "https://hooks.slack.example/T0"},
        {"channel": "slack", "kinds": ["everything"]},
        {"channel": "slack", "url": "https://x"},
    ],
)
def test_a_route_that_cannot_work_is_refused(wrong):
    with pytest.raises(ValidationError):
        Route(**{"name": "data-team", "secret": "ALERT_KEY"} | wrong)


def test_a_missing_secret_is_asked_for_by_the_name_of_its_variable():
    with pytest.raises(ConfigurationError, match="ALERT_KEY is not set"):
        check_secret(route("slack"), None)


def test_an_address_without_tls_is_refused_and_not_repeated():
    with pytest.raises(ConfigurationError, match="https://") as refused:
        check_secret(route("slack"), "http://hooks.example.com/T0/secret")
    assert "T0/secret" not in str(refused.value)


@pytest.mark.parametrize("address", ["https://hooks.example.com/T0", "http://127.0.0.1:8123/x"])
def test_tls_and_loopback_addresses_are_taken(address):
    assert check_secret(route("slack"), address) == address


def test_a_key_is_not_an_address():
    assert check_secret(route("pagerduty"), "R0UT1NGKEY") == "R0UT1NGKEY"
