"""Erasure in files: what landed and waits, drafts with their recipients, offers for the till.

A file of rows keeps the rows of everybody else; a file about one person goes whole. Files that intake has read already
have done their work and go whole, too: rewritten, they would look new and be taken in again.
"""

import csv
import hashlib
import io
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from tasks.destinations.mentions import Handles, is_about, text_is_about, without
from tasks.lake import Lake
from tasks.lake.storage import filesystem

LANDING, LETTERS, QUEUE, DRAFTS = "landing", "dead_letters/events", "_queue", "_outbox/campaigns"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Places:
    """Where files about people lie when not in the lake's own folders: queue of events and drafts of campaigns."""

    queue: str = ""
    drafts: str = ""


def erase_files(lake: Lake, handles: Handles, places: Places) -> Iterator[tuple[str, str, str]]:
    """Take a person out of every file; one receipt (place, status, detail) for each kind of place."""
    with lake.database([lake.latest("intake_log"), lake.latest("campaign_members")]) as db:
        taken = {uri for (uri,) in db.sql("SELECT DISTINCT uri FROM intake_log").fetchall()}
        days = db.execute(
            "SELECT DISTINCT as_of FROM campaign_members WHERE customer_id = ? AND arm = 'treated' ORDER BY as_of",
            [handles.customer_id],
        ).fetchall()
    yield _receipt("landing files", _erase_folder(lake.address(LANDING), handles, taken))
    yield _receipt("letters of events", _erase_folder(lake.address(LETTERS), handles))
    if places.queue.startswith(("https://", "http://")):
        yield "queue of events", "accepted", "what still waits there is refused when it is read"
    else:
        yield _receipt("queue of events", _erase_folder(places.queue or lake.address(QUEUE), handles))
    drafts = places.drafts or lake.address(DRAFTS)
    samples = sum(_drop_samples(f"{drafts.rstrip('/')}/{day}") for (day,) in days)
    yield _receipt("drafts and offers", samples + _erase_folder(drafts, handles))


def _receipt(place: str, changed: int) -> tuple[str, str, str]:
    return place, "erased" if changed else "absent", f"{changed} files"


def _erase_folder(folder: str, handles: Handles, taken: Collection[str] = ()) -> int:
    """Clear one folder; returns how many files went or became shorter."""
    files = filesystem(folder)
    files.invalidate_cache()
    if not files.exists(folder):
        return 0
    changed: list[str] = []
    for name in sorted(files.find(folder)):
        try:
            before = files.cat_file(name)
        except FileNotFoundError:
            continue  # an event that was taken from the queue this moment
        after = _remaining(name, before, handles)
        if after == before:
            continue
        if after is None or any(uri.endswith(name) for uri in taken):
            files.rm_file(name)
        else:
            files.pipe_file(name, after)
        changed.append(name)
    _correct_manifests(files, changed)
    return len(changed)


def _remaining(name: str, content: bytes, handles: Handles) -> bytes | None:
    """The content without the person; None where nothing would be left."""
    kind = name.rsplit(".", 1)[-1]
    if kind == "parquet":
        return _remaining_rows(content, handles)
    text = content.decode("utf-8", errors="replace")
    low = text.lower()
    if name.endswith(MANIFEST) or not any(needle.lower() in low for needle in handles.needles):
        return content
    if kind == "ndjson":
        kept = [line for line in text.splitlines() if not text_is_about(line, handles)]
        return content if len(kept) == len(text.splitlines()) else _joined(kept)
    if kind == "csv":
        return _remaining_cells(content, text, handles)
    if kind == "json":
        return _remaining_entries(content, text, handles)
    return None if any(address in low for address in handles.addresses) else content


def _joined(lines: list[str]) -> bytes | None:
    return ("\n".join(lines) + "\n").encode() if lines else None


def _remaining_entries(content: bytes, text: str, handles: Handles) -> bytes | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None if text_is_about(text, handles) else content
    if not isinstance(found, list):
        return None if is_about(found, handles) else content
    kept = without(found, handles)
    return content if len(kept) == len(found) else json.dumps(kept, ensure_ascii=False, indent=1).encode()


def _remaining_cells(content: bytes, text: str, handles: Handles) -> bytes | None:
    rows = list(csv.reader(io.StringIO(text)))
    head, body = rows[0], rows[1:]
    kept = [row for row in body if not is_about(dict(zip(head, row, strict=False)), handles)]
    if len(kept) == len(body):
        return content
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([head, *kept])
    return out.getvalue().encode()


def _remaining_rows(content: bytes, handles: Handles) -> bytes:
    table = pq.read_table(io.BytesIO(content))
    keep = [not is_about(row, handles) for row in table.to_pylist()]
    if all(keep):
        return content
    out = io.BytesIO()
    pq.write_table(table.filter(pa.array(keep)), out, compression="zstd")
    return out.getvalue()


def _drop_samples(folder: str) -> int:
    """Samples of a day greet some of its recipients by name; the day's page shows that they are gone."""
    files = filesystem(folder)
    found = files.glob(f"{folder}/*/sample-*")
    for name in found:
        files.rm_file(name)
    return len(found)


def _correct_manifests(files: AbstractFileSystem, changed: list[str]) -> None:
    """A manifest that names digests of files says what they are now."""
    for folder in sorted({name.rsplit("/", 1)[0] for name in changed}):
        name = f"{folder}/{MANIFEST}"
        if not files.exists(name):
            continue
        manifest = json.loads(files.cat_file(name))
        for one in manifest.get("sha256", {}):
            manifest["sha256"][one] = hashlib.sha256(files.cat_file(f"{folder}/{one}")).hexdigest()
        if f"{folder}/offers.parquet" in changed:
            manifest["offers"] = pq.read_metadata(io.BytesIO(files.cat_file(f"{folder}/offers.parquet"))).num_rows
        files.pipe_file(name, json.dumps(manifest, indent=1).encode())
