"""What an account allows in one day: requests are counted over all pushes of a day, and the rest waits for the next."""

import re
from datetime import date

from tasks.lake import Lake
from tasks.lake.storage import filesystem

FOLDER = "_quota"


def requests_of_day(lake: Lake, account: str, day: date) -> int:
    """Requests that earlier pushes of the day sent to the account (UTC; vendors reset at a midnight of their own)."""
    place = _folder(lake, account, day)
    files = filesystem(place)
    files.invalidate_cache()
    return sum(int(files.cat_file(name)) for name in files.glob(f"{place}/*.txt"))


def note_requests(lake: Lake, account: str, day: date, push: str, requests: int) -> None:
    """Add what one push sent; a push that is continued adds to its own count."""
    name = f"{_folder(lake, account, day)}/{push}.txt"
    files = filesystem(name)
    before = int(files.cat_file(name)) if files.exists(name) else 0
    lake.write_text(f"{FOLDER}/{day}/{_plain(account)}/{push}.txt", str(before + requests))


def days_needed(requests: int, per_day: int | None) -> int:
    """Days that so many requests take."""
    return 1 if per_day is None else max(1, -(-requests // per_day))


def _folder(lake: Lake, account: str, day: date) -> str:
    return lake.address(f"{FOLDER}/{day}/{_plain(account)}")


def _plain(account: str) -> str:
    return re.sub(r"[^\w.-]+", "-", account)
