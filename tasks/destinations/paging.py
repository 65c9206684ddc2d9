"""Answers that come in pages, read to their end: by a link, by a cursor, by an offset."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tasks.destinations.session import Session
from tasks.errors import TransientError

T = TypeVar("T")


def at(body: Mapping[str, Any], place: str) -> Any:
    """What stands at a place such as ``links/next``; None where a step is missing or null."""
    found: Any = body
    for step in place.split("/"):
        found = (found or {}).get(step)
    return found


def by_cursor(page: Callable[[Any], tuple[Iterable[T], Any]]) -> Iterator[T]:
    """The rows of all pages: ``page`` gets the cursor, None at first, and returns its rows and the next cursor.

    A cursor that is empty ends the pages. TransientError: the platform gives the cursor it was given.
    """
    cursor: Any = None
    while True:
        rows, following = page(cursor)
        yield from rows
        if not following:
            return
        if following == cursor:
            raise TransientError("The platform gave the same page twice")
        cursor = following


def by_link(
    session: Session, path: str, rows: str, link: str, params: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of all pages, each of which links to the next at a place in its body; the link holds the parameters."""

    def page(following: str | None) -> tuple[Sequence[dict[str, Any]], str | None]:
        body = session.call("GET", following or path, params=None if following else params).json()
        return body[rows], at(body, link)

    return by_cursor(page)


def by_offset(
    session: Session, path: str, params: Mapping[str, Any], size: int, *, rows: str = "", total: str = ""
) -> Iterator[dict[str, Any]]:
    """The rows of all pages of ``size``; ``params`` says the size in the platform's word, ``offset`` moves on.

    The pages end at the total told at a place in the body, or else with an empty one; without ``rows`` the body is all.
    """
    offset = 0
    while True:
        body = session.call("GET", path, params={**params, "offset": offset}).json()
        found = body[rows] if rows else body
        yield from found
        offset += size
        if offset >= int(at(body, total)) if total else not found:
            return
