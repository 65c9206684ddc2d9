"""Waiting, retrying, stopping: the schedule is asserted, not slept."""

import time
from dataclasses import replace
from itertools import pairwise

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.config import DestinationSettings
from tasks.destinations.accounts import account_of
from tasks.destinations.faults import exhausted_wait, fault_of, wait_of
from tasks.destinations.http import HttpSession, Patience, TokenStore
from tasks.destinations.limits import LocalPace, batches, size_bytes, unpaced
from tasks.destinations.platform import Change, Limits, Member, Part, Token, secure_address, text
from tasks.destinations.registry import platform_of
from tasks.destinations.scrub import scrub, secrets_of
from tasks.errors import ConfigurationError, RejectedError, TransientError

HUBSPOT = platform_of("hubspot")
ACCOUNT = HUBSPOT.account(token=SecretStr("secret-token"), base="http://127.0.0.1:1")


def session(answers, slept: list[float], **patience) -> HttpSession:
    """A session whose vendor gives these answers in turn."""
    replies = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        reply = next(replies)
        if isinstance(reply, Exception):
            raise reply
        status, headers = reply
        return httpx.Response(status, headers=headers, json={"message": "words"}, request=request)

    made = HttpSession(
        HUBSPOT, ACCOUNT, "q", unpaced, replace(Patience(), **patience), slept.append, lambda: 1.0, TokenStore()
    )
    made._client = httpx.Client(transport=httpx.MockTransport(answer))
    return made


def test_the_wait_is_what_the_server_asks_for_and_grows_where_it_asks_nothing() -> None:
    slept: list[float] = []
    answers = [(429, {"Retry-After": "7"}), (503, {}), (500, {}), (429, {"X-RateLimit-Reset": "3"}), (200, {})]
    with session(answers, slept) as talk:
        assert talk.call("GET", "/x").status_code == 200
    assert slept == [pytest.approx(7.7), 2.0, 4.0, pytest.approx(3.3)]


def test_a_refusal_is_not_repeated() -> None:
    slept: list[float] = []
    with session([(400, {})], slept) as talk, pytest.raises(RejectedError):
        talk.call("POST", "/x")
    with session([(403, {})], slept) as talk:
        for _ in range(3):
            with pytest.raises(ConfigurationError, match="Check the credentials"):
                talk.call("POST", "/x")
        assert talk.requests == 1
    assert slept == []


def test_after_failures_in_a_row_nothing_is_asked_any_more() -> None:
    slept: list[float] = []
    with session([(503, {})] * 6, slept, attempts=2, failures_in_a_row=3) as talk:
        for _ in range(10):
            with pytest.raises(TransientError):
                talk.call("GET", "/x")
        assert talk.requests == 6


def test_a_wait_of_hours_is_left_to_another_run() -> None:
    slept: list[float] = []
    with session([(429, {"Retry-After": "3000"})], slept) as talk, pytest.raises(TransientError):
        talk.call("GET", "/x")
    assert slept == []


def test_a_creation_whose_answer_was_lost_is_not_repeated() -> None:
    slept: list[float] = []
    with session([httpx.ReadTimeout("late")], slept) as talk, talk.once(), pytest.raises(TransientError):
        talk.call("POST", "/lists")
    assert talk.requests == 1


def test_a_window_that_is_used_up_is_waited_for_after_a_success() -> None:
    slept: list[float] = []
    with session([(200, {"RateLimit-Remaining": "0", "RateLimit-Reset": "4"})], slept) as talk:
        talk.call("GET", "/x")
    assert slept == [4.0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"ratelimit-reset": "5"}, 5.0),
        ({"x-sib-ratelimit-reset": "9"}, 9.0),
        ({}, None),
    ],
)
def test_what_servers_ask_for_is_understood(headers, seconds) -> None:
    assert wait_of(headers) == seconds


def test_a_reset_may_be_a_moment_or_a_date() -> None:
    assert wait_of({"x-ratelimit-reset": str(time.time() + 30)}) == pytest.approx(30, abs=2)
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    assert wait_of({"retry-after": date}) == pytest.approx(60, abs=2)
    assert exhausted_wait({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "9"}) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [(408, TransientError), (425, TransientError), (429, TransientError), (500, TransientError), (503, TransientError),
     (400, RejectedError), (409, RejectedError), (413, RejectedError), (422, RejectedError),
     (401, ConfigurationError), (403, ConfigurationError), (404, ConfigurationError), (302, ConfigurationError)],
)  # fmt: skip
def test_one_table_says_what_a_status_means(status: int, kind: type[Exception]) -> None:
    request = httpx.Request("GET", "https://api.example.com/people?email=ana@example.com")
    error = fault_of(
        httpx.Response(status, request=request, text="ana@example.com is wrong, secret-token"), "X", ("secret-token",)
    )
    assert type(error) is kind
    assert "ana@" not in str(error)
    assert "secret-token" not in str(error)


def test_credentials_go_to_their_own_host_only() -> None:
    with session([(200, {})], []) as talk, pytest.raises(ConfigurationError, match="refused to send credentials"):
        talk.call("GET", "https://evil.example/steal")


def test_tokens_are_shared_renewed_before_they_end_and_dropped_once() -> None:
    store, made = TokenStore(), []

    def make() -> Token:
        made.append(1)
        return Token(f"t{len(made)}", 3600)

    first = store.get("account", make)
    assert store.get("account", make) is first
    store.drop("account", first)
    second = store.get("account", make)
    store.drop("account", first)
    assert store.get("account", make) is second
    assert "t1" not in repr(first)
    short = TokenStore()
    assert short.get("a", lambda: Token("x", 0.5)) is not None


def test_requests_of_an_account_are_evenly_spaced() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = LocalPace(clock=lambda: now[0], sleep=sleep)
    turns = []
    for _ in range(5):
        pace("a", 4.0)
        turns.append(now[0])
    pace("b", 4.0)
    assert [round(b - a, 6) for a, b in pairwise(turns)] == [0.25] * 4
    assert now[0] == turns[-1]


def part(index: int, size: int, group: int) -> Part:
    return Part(Member(str(index), Change.ENTER, str(index)), {"v": "x" * size}, (group,))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 11)), max_size=80),
    st.integers(1, 9),
    st.integers(80, 400),
)
def test_batches_keep_limits_groups_and_everybody(sizes, rows: int, size: int) -> None:
    parts = [part(i, length, group) for i, (length, group) in enumerate(sizes)]
    cut = list(batches(parts, Limits(rows=rows, bytes=size)))
    assert sorted(p.member.customer_id for batch in cut for p in batch) == sorted(p.member.customer_id for p in parts)
    for batch in cut:
        assert 0 < len(batch) <= rows
        assert len({p.group for p in batch}) == 1
        assert len(batch) == 1 or sum(map(size_bytes, batch)) <= size
    for group in {p.group for p in parts}:
        order = [int(p.member.customer_id) for batch in cut for p in batch if p.group == group]
        assert order == sorted(order)


@given(st.text(max_size=60), st.emails())
@settings(max_examples=60, deadline=None)
def test_no_address_survives_scrubbing(around: str, email: str) -> None:
    assert "@example.com" not in scrub(f"{around} ana@example.com {around}")
    assert email.partition("@")[2] not in scrub(f"bad {email} here") or len(email.partition("@")[2]) < 4


def test_numbers_queries_and_secrets_are_scrubbed_too() -> None:
    said = scrub("call +44 20 7946 0958 at https://x.example/a?token=abc with hunter22", ("hunter22",))
    assert said == "call <number> at https://x.example/a with ***"


def test_the_path_of_a_secret_address_is_a_secret_too() -> None:
    account = HUBSPOT.account(token=SecretStr("https://hooks.example.com/catch/123/abcdef/"))
    said = scrub("POST /catch/123/abcdef/ answered 410", secrets_of(account))
    assert said == "POST *** answered 410"


@pytest.mark.parametrize(
    "address", ["https://api.example.com", "http://127.0.0.1:80", "http://localhost:1", "http://[::1]:1"]
)
def test_good_addresses(address: str) -> None:
    assert secure_address(address) == address


@pytest.mark.parametrize(
    "address", ["http://api.example.com", "ftp://x", "https://u:p@x.example", "", "http://127.0.0.1.evil.example"]
)
def test_bad_addresses(address: str) -> None:
    with pytest.raises(ValueError, match="must"):
        secure_address(address)


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, ""), (True, "true"), (1840.5, "1840.5"), (12.0, "12"), (0.00001, "0.00001"), (["a", "b"], "a;b"), (7, "7")],
)
def test_values_are_written_plainly(value, said: str) -> None:
    assert text(value) == said


def test_a_secret_may_hold_several_credentials() -> None:
    salesforce = platform_of("salesforce")
    where = DestinationSettings(platform="salesforce", secret="sf", settings={"base": "https://x.my.salesforce.com"})
    account = account_of(salesforce, where, SecretStr('{"client_id": "a", "client_secret": "b"}'))
    assert account.client_secret.get_secret_value() == "b"
    with pytest.raises(ConfigurationError, match="client_secret") as caught:
        account_of(salesforce, where, SecretStr("just-one-text"))
    assert "just-one-text" not in str(caught.value)
