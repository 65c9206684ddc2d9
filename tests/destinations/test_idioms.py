"""What platform files share: credentials, pages, jobs, verdicts, erasure: each ends, and answers everybody once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.config import DestinationSettings
from tasks.destinations.accounts import account_of
from tasks.destinations.http import HttpSession, Patience, TokenStore
from tasks.destinations.limits import unpaced
from tasks.destinations.platform import (
    NOT_ON_PLATFORM,
    OPTED_OUT_THERE,
    Account,
    AppAccount,
    Change,
    Member,
    Part,
    Person,
    Target,
    Thing,
    Token,
    Verdict,
    admitted,
    all_but,
    at,
    basic,
    bearer,
    by_address,
    by_cursor,
    by_link,
    by_offset,
    client_credentials,
    csv_bytes,
    csv_lines,
    csv_records,
    divided,
    fields_and_lists,
    finished,
    granted,
    no_address,
    remembered,
    secret_in,
)
from tasks.destinations.registry import platform_of
from tasks.errors import TransientError

SHOPIFY = platform_of("shopify")
NAMES = st.lists(st.sampled_from(["ana", "ben", "cleo", "dora", "emil"]), unique=True)


APP = '{"client_id": "me", "client_secret": "hush-hush"}'


class Vendor:
    """A platform that answers each request with a function of it, and remembers what it was asked."""

    def __init__(self, answer: Any, secret: str = APP) -> None:
        self.asked: list[httpx.Request] = []
        where = DestinationSettings(platform="shopify", secret="s", settings={"base": "http://127.0.0.1:1"})
        self.session = HttpSession(
            SHOPIFY,
            account_of(SHOPIFY, where, SecretStr(secret)),
            "q",
            pace=unpaced,
            patience=Patience(attempts=1, job_seconds=30.0),
            tokens=TokenStore(),
            sleep=lambda _seconds: None,
        )

        def reply(request: httpx.Request) -> httpx.Response:
            self.asked.append(request)
            body = {"access_token": "t"} if request.url.path.endswith("access_token") else answer(request)
            return httpx.Response(200, json=body, request=request)

        self.session._client = httpx.Client(transport=httpx.MockTransport(reply))

    @property
    def told(self) -> list[str]:
        """What was asked for, after the host, without the questions for tokens."""
        asked = [str(one.url).partition(":1")[2] for one in self.asked]
        return [one for one in asked if not one.startswith("/admin/oauth")]


def part(name: str, native_id: str = "") -> Part:
    return Part(Member(name, Change.ENTER, f"{name}@example.com", native_id=native_id), {})


def test_a_secret_stands_in_the_header_the_platform_reads_and_a_token_takes_its_place() -> None:
    intercom = platform_of("intercom").account(token=SecretStr("key"))
    assert bearer({"Version": "2"})(intercom, None) == {"Authorization": "Bearer key", "Version": "2"}
    assert bearer()(intercom, Token("new", 60)) == {"Authorization": "Bearer new"}
    assert secret_in("X-Key")(intercom, None) == {"X-Key": "key"}


def test_a_key_of_mailchimp_goes_by_basic_and_a_token_of_oauth_by_bearer() -> None:
    """RFC 7617's own example, then the two ways of one platform."""
    assert basic("Aladdin", SecretStr("open sesame")) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    mailchimp = platform_of("mailchimp")
    for token, scheme in (("0123abcd-us19", "Basic "), ("oauthtoken", "Bearer oauthtoken")):
        account = mailchimp.account(token=token, list_id="a1", base="https://us19.api.mailchimp.com/3.0")
        assert mailchimp.headers(account, None)["Authorization"].startswith(scheme)


def test_an_app_asks_once_for_a_token_and_the_token_goes_with_every_request() -> None:
    vendor = Vendor(lambda _request: {})
    with vendor.session as session:
        for _ in range(3):
            session.call("GET", "/x")
    first, *others = vendor.asked
    assert dict(part.split("=") for part in first.content.decode().split("&")) == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": "hush-hush",
    }
    assert "x-shopify-access-token" not in first.headers
    assert [one.headers["x-shopify-access-token"] for one in others] == ["t"] * 3


def test_who_has_a_token_already_asks_for_none() -> None:
    vendor = Vendor(lambda _request: {}, secret="mine")
    with vendor.session as session:
        assert client_credentials("/token")(session, session.account) is None
    assert vendor.asked == []


@pytest.mark.parametrize("given", [{}, {"client_id": "me"}, {"client_secret": "hush-hush"}])
def test_an_app_without_a_way_in_is_refused_without_its_secret(given: Mapping[str, str]) -> None:
    with pytest.raises(ValueError, match="needs token, or client_id and client_secret") as caught:
        AppAccount.model_validate(given)
    assert "hush-hush" not in str(caught.value)


def test_a_token_lives_as_long_and_is_good_for_the_address_that_the_answer_says() -> None:
    body = {"access_token": "a", "expires_in": "90", "api_domain": "https://eu.example.com"}
    vendor = Vendor(lambda _request: body)
    with vendor.session as session:
        token = granted(session, "/token", {"refresh_token": SecretStr("r")}, base="api_domain")
        assert (token.value, token.lives_seconds, token.base) == ("a", 90.0, "https://eu.example.com")
        assert granted(session, "/token", {}).base == ""


@pytest.mark.parametrize(
    ("body", "found"),
    [({"links": {"next": "/b"}}, "/b"), ({"links": {"next": None}}, None), ({"links": None}, None), ({}, None)],
)
def test_what_is_missing_on_the_way_to_a_place_is_nothing(body: Mapping[str, Any], found: str | None) -> None:
    assert at(body, "links/next") == found


@given(st.lists(st.lists(st.integers(), max_size=3), min_size=1, max_size=6))
def test_pages_by_cursor_give_every_row_once_in_order_and_end(pages: list[list[int]]) -> None:
    cursors = []

    def page(cursor: int | None) -> tuple[Sequence[int], int | None]:
        cursors.append(cursor)
        place = cursor or 0
        return pages[place], place + 1 if place + 1 < len(pages) else None

    assert list(by_cursor(page)) == [row for rows in pages for row in rows]
    assert cursors == [None, *range(1, len(pages))]


def test_a_platform_that_gives_the_same_page_again_is_not_asked_for_ever() -> None:
    with pytest.raises(TransientError, match="same page"):
        list(by_cursor(lambda _cursor: ([1], "again")))


def test_pages_by_link_are_followed_to_the_end_and_only_the_first_is_asked_with_parameters() -> None:
    answers = iter([{"data": [1], "links": {"next": "/a?page=2"}}, {"data": [], "links": {"next": "/a?page=3"}}])
    vendor = Vendor(lambda _request: next(answers, {"data": [2, 3]}))
    with vendor.session as session:
        assert list(by_link(session, "/a", "data", "links/next", {"size": 9})) == [1, 2, 3]
    assert vendor.told == ["/a?size=9", "/a?page=2", "/a?page=3"]


@pytest.mark.parametrize("total", ["", "meta/total"])
@given(st.integers(0, 25))
def test_pages_by_offset_give_every_row_once_and_end(total: str, count: int) -> None:
    def answer(request: httpx.Request) -> Any:
        offset, size = (int(request.url.params[name]) for name in ("offset", "limit"))
        rows = list(range(count))[offset : offset + size]
        return {"rows": rows, "meta": {"total": str(count)}} if total else rows

    vendor = Vendor(answer, secret="mine")
    with vendor.session as session:
        found = by_offset(session, "/a", {"limit": 10, "offset": 0}, 10, rows="rows" if total else "", total=total)
        assert list(found) == list(range(count))
    assert len(vendor.told) == (max(1, -(-count // 10)) if total else -(-count // 10) + 1)


def states(*states: str) -> Iterator[dict[str, str]]:
    return iter([{"state": state, "code": f"of ana@example.com {state}"} for state in states])


def test_a_job_is_looked_at_until_it_has_ended_well() -> None:
    seen = states("waiting", "running", "done", "never asked")
    with Vendor(None).session as session:
        found = finished(session, lambda: next(seen), what="job 7", good={"done", "half"}, state="state")
    assert found["state"] == "done"
    assert next(seen)["state"] == "never asked"


def test_a_job_that_ends_badly_is_tried_again_later_with_the_reason_and_without_people() -> None:
    seen = states("running", "lost")
    with Vendor(None).session as session, pytest.raises(TransientError) as caught:
        finished(session, lambda: next(seen), what="job 7", good={"done"}, bad={"lost"}, state="state")
    assert str(caught.value) == "The job 7 ended as lost of <email> lost"


def test_a_job_that_never_ends_is_given_up() -> None:
    with Vendor(None).session as session, pytest.raises(TransientError, match="job 7 is not done after"):
        finished(session, lambda: {"status": "running"}, what="job 7", good={"done"})


@given(NAMES, NAMES)
def test_everybody_is_answered_once_and_only_the_named_are_refused(names: list[str], refused: list[str]) -> None:
    failed = {f"{name}@example.com": ("ugly", "words") for name in refused}
    ids = {f"{name}@example.com": f"id-{name}" for name in names}
    answers = list(all_but([part(name) for name in names], failed, ids))
    assert [one.customer_id for one in answers] == names
    assert {one.customer_id for one in answers if one.verdict is Verdict.REJECTED} == {*names} & {*refused}
    assert all(one.native_id == f"id-{one.customer_id}" for one in answers if one.verdict is Verdict.DELIVERED)


@pytest.mark.parametrize(
    ("change", "may_reach", "told"),
    [
        (Change.ENTER, True, None),
        (Change.LEAVE, True, None),
        (Change.ENTER, False, (Verdict.REJECTED, OPTED_OUT_THERE)),
        (Change.UPDATE, None, (Verdict.REJECTED, NOT_ON_PLATFORM)),
        (Change.LEAVE, False, (Verdict.DELIVERED, "")),
        (Change.LEAVE, None, (Verdict.DELIVERED, "")),
    ],
)
def test_who_opted_out_or_is_not_there_is_answered_and_not_admitted(
    change: Change, may_reach: bool | None, told: tuple[Verdict, str] | None
) -> None:
    ana, ben = part("ana"), Part(Member("ben", change, "ben@example.com"), {})
    go, others = admitted([ana, ben], lambda one: True if one is ana else may_reach)
    assert go == ([ana, ben] if told is None else [ana])
    assert [(one.customer_id, one.verdict, one.code) for one in others] == ([("ben", *told)] if told else [])


@given(NAMES, NAMES)
def test_a_batch_is_divided_into_who_is_there_and_who_is_not(names: list[str], there: list[str]) -> None:
    here, absent = divided([part(name) for name in names], {*there})
    assert [one.member.customer_id for one in here] == [name for name in names if name in there]
    assert [one.member.customer_id for one in absent] == [name for name in names if name not in there]


def test_ids_of_an_earlier_push_are_remembered_and_no_others() -> None:
    assert remembered([part("ana", "17"), part("ben")]) == {"ana": "17"}


def test_who_has_no_address_is_not_erased_and_the_receipt_says_so() -> None:
    asked = []

    @by_address
    def erase(_session: Any, _target: Target, email: str) -> str:
        asked.append(email)
        return "job-1"

    ana, ben = Person("ana", "ana@example.com"), Person("ben")
    first, second = erase(None, Target("d", Account(), ()), [ana, ben])
    assert (first.customer_id, first.done, first.reference) == ("ana", True, "job-1")
    assert second == no_address(ben)
    assert (second.done, asked) == (False, ["ana@example.com"])


def test_lists_are_wanted_under_the_platforms_name_for_them() -> None:
    wants = fields_and_lists("RS {}".format)
    assert wants(Target("d", Account(), (), lists=("vip", "loyal"))) == (
        Thing("list", "RS vip"),
        Thing("list", "RS loyal"),
    )


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\0")), min_size=2, max_size=2)
    )
)
def test_what_is_written_as_csv_is_read_back(lines: list[list[str]]) -> None:
    content = csv_bytes([["a", "b"], *lines]).decode()
    assert list(csv_lines(content)) == [["a", "b"], *lines]
    assert list(csv_records(content)) == [{"a": first, "b": second} for first, second in lines]
