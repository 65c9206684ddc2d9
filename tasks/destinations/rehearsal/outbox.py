"""A stand-in for whoever reads the outbox: a folder, and what its files add up to."""

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import orjson

from tasks.destinations.rehearsal.fake import Fake, Reply, Request


class Outbox(Fake):
    """Files in the order in which they were written; the last line about a customer counts."""

    slug = "outbox"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.folder = Path(mkdtemp(prefix="outbox-"))

    def settings(self) -> dict[str, str]:
        return {"folder": str(self.folder)}

    def authorise(self, _request: Request) -> Reply | None:
        return None

    def people(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for path in sorted(self.folder.rglob("*.ndjson"), key=lambda one: one.stat().st_mtime_ns):
            for line in map(orjson.loads, path.read_bytes().splitlines()):
                key, change = line.pop("customer_id"), line.pop("change")
                found.pop(key, None)
                if change == "upsert":
                    values = {k: v for k, v in line.items() if v is not None and k not in {"email", "phone"}}
                    found[key] = values | {"lists": set(line["lists"])}
        return found
