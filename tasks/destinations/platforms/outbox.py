"""Outbox: files for whoever picks them up, one CSV and one NDJSON file per batch, in a folder or a bucket.

File names are made from the plan and the customers in the batch, so sending a batch again overwrites the same files.
CSV cells that a spreadsheet would take for a formula are prefixed with an apostrophe.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import fsspec
import orjson
from pydantic import field_validator

from tasks.destinations.platform import (
    Account, Answer, Change, Key, Limits, Member, Part, Person, Platform, Receipt, Session, Target, csv_bytes,
    delivered, nothing_wanted, text,
)  # fmt: skip
from tasks.errors import ConfigurationError, TransientError

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class OutboxAccount(Account):
    """``folder`` is any fsspec address: a directory, ``s3://bucket/prefix``."""

    folder: str = "./outbox"

    @field_validator("folder")
    @classmethod
    def _a_place(cls, value: str) -> str:
        if not value.strip() or value.startswith(("http://", "https://")):
            raise ValueError("must be a directory or a bucket address such as s3://bucket/prefix")
        return value.rstrip("/")


def shape(member: Member, _target: Target) -> Part:
    """One line: who, what happens to them, the values, the lists they are on."""
    head = {"customer_id": member.customer_id, "change": _change(member), "email": member.email, "phone": member.phone}
    return Part(member, {**head, **member.values, "lists": list(member.lists)})


def push(session: Session, target: Target, parts: Sequence[Part]) -> Iterable[Answer]:
    """Write the batch as NDJSON and CSV; both are there or the batch is sent again."""
    lines = [part.body for part in parts]
    name = hashlib.sha256("\n".join(part.member.customer_id for part in parts).encode()).hexdigest()[:16]
    place = f"{target.account.folder}/{target.destination}/{target.push_id}"
    _write(session, target, f"{place}/{name}.csv", to_csv(lines))
    _write(session, target, f"{place}/{name}.ndjson", b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return [delivered(part, name) for part in parts]


def to_csv(lines: Sequence[dict[str, Any]]) -> bytes:
    """The lines as RFC 4180 CSV in UTF-8 that no spreadsheet will execute."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    values = ([cell(line.get(name)) for name in names] for line in lines)
    return csv_bytes(chain([map(harmless, names)], values), line_end="\r\n")


def cell(value: Any) -> str:
    """A value as a CSV cell; numbers stay numbers, texts that begin like a formula are disarmed."""
    return text(value) if isinstance(value, int | float) else harmless(text(value))


def harmless(value: str) -> str:
    """The text, with an apostrophe in front where a spreadsheet would see a formula."""
    return f"'{value}" if value.startswith(FORMULA) else value


def check(_session: Session, target: Target) -> str:
    """Whether the place exists or could be made; writes nothing."""
    files, _ = fsspec.url_to_fs(target.account.folder)
    try:
        there = files.exists(target.account.folder)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{target.destination}: {target.account.folder} cannot be reached ({error})"
        ) from error
    return f"{target.account.folder} ({'exists' if there else 'will be made'})"


def erase(_session: Session, target: Target, people: Sequence[Person]) -> Iterable[Receipt]:
    """Rewrite every file of this destination without the people; copies taken elsewhere are out of reach."""
    gone = {person.customer_id for person in people}
    files, root = fsspec.url_to_fs(f"{target.account.folder}/{target.destination}")
    for path in sorted(files.glob(f"{root}/*/*.ndjson")):
        lines = [orjson.loads(line) for line in files.cat_file(path).splitlines()]
        kept = [line for line in lines if line["customer_id"] not in gone]
        if len(kept) < len(lines):
            files.pipe_file(path.removesuffix(".ndjson") + ".csv", to_csv(kept))
            files.pipe_file(path, b"".join(orjson.dumps(line) + b"\n" for line in kept))
    return [
        Receipt(person.customer_id, done=True, note="removed from the files that are still here") for person in people
    ]


def _write(session: Session, target: Target, address: str, content: bytes) -> None:
    files, path = session.keep("files", lambda: fsspec.url_to_fs(target.account.folder))[0], address
    try:
        files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        with files.open(path, "wb") as handle:
            handle.write(content)
    except OSError as error:
        raise TransientError(f"{target.destination}: {address} could not be written ({error})") from error


def _change(member: Member) -> str:
    return "leave" if member.change is Change.LEAVE else "upsert"


PLATFORM = Platform(
    slug="outbox", title="Outbox", api_version="1", keys=(Key.CUSTOMER_ID, Key.EMAIL, Key.PHONE), account=OutboxAccount,
    docs="https://filesystem-spec.readthedocs.io/",
    limits=Limits(rows=10_000, bytes=50_000_000, per_second=100.0),
    shape=shape, push=push, check=check, wants=nothing_wanted, erase=erase,
    uses_lists=True, embedded=True, addresses_people=False, reads_opt_outs=False,
)  # fmt: skip
