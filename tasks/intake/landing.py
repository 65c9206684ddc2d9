"""Where events and pulled pages lie in the lake before intake takes them as files: ``landing/<source>/``.

One path for everything: what came in by event or by connector is read, mapped, checked and quarantined as a file is.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from tasks.config import Checks, Config, Dataset, Source
from tasks.intake.columns import DATASETS
from tasks.lake import Lake
from tasks.lake.storage import filesystem

FOLDER = "landing"
API = "api"
_SHOPS = {"shopify", "woocommerce", "salesforce", "hubspot"}  # their numbers mean nothing outside their own house
_LENIENT = {"max_shrink": 1.0, "on_breach": "tell", "max_quarantined": 1.0}
_BY_EVENT = {Dataset.ORDERS: "web", Dataset.CUSTOMERS: "all", Dataset.SESSIONS: "web"}


def landed(lake: Lake, config: Config) -> Config:
    """The configuration as intake reads it: connectors by the files they landed, and the sources that events feed.

    A source that only events feed is listed once something has landed for it, so that nobody is told of its absence.
    """
    there = _landed_names(lake)
    pulled = tuple(as_files(lake, source) if source.connector else source for source in config.sources)
    names = {source.name for source in pulled}
    fed = tuple(source for source in event_sources(lake, config) if source.name in there and source.name not in names)
    return config.model_copy(update={"sources": (*pulled, *fed)})


def event_sources(lake: Lake, config: Config) -> tuple[Source, ...]:
    """The sources that only events feed: the API's own, and those of shops without a connector."""
    fed = [_fed_by_events(lake, API, dataset, "main", channel) for dataset, channel in _BY_EVENT.items()]
    for shop in config.events.webhooks:
        fed += [
            _fed_by_events(lake, shop.platform, dataset, shop.platform, shop.channel)
            for dataset in (Dataset.ORDERS, Dataset.CUSTOMERS)
            if _connector(config, shop.platform, dataset) is None
        ]
    return tuple(fed)


def source_of(lake: Lake, config: Config, sender: str, dataset: Dataset) -> Source:
    """The source that an event of ``sender`` about ``dataset`` belongs to: the shop's connector, else its own."""
    configured = _connector(config, sender, dataset)
    if configured is not None:
        return as_files(lake, configured)
    shop = next((shop for shop in config.events.webhooks if shop.platform == sender), None)
    channel = shop.channel if shop else _BY_EVENT.get(dataset, "all")
    return _fed_by_events(lake, sender, dataset, "main" if sender == API else sender, channel)


def as_files(lake: Lake, source: Source) -> Source:
    """A connector's source as files in ``landing``; columns are ours already where the configuration maps none."""
    changes: dict[str, Any] = {"files": f"{lake.address(FOLDER)}/{source.name}/*", "connector": "", "options": {}}
    if source.connector in _SHOPS:
        if not source.columns:
            changes["columns"] = {column.name: column.name for column in DATASETS[source.dataset]}
        if "id_space" not in source.model_fields_set:
            changes["id_space"] = source.connector
    # what changed since the last read is sometimes much and sometimes little
    given = source.checks.model_fields_set
    changes["checks"] = source.checks.model_copy(
        update={name: value for name, value in {"max_shrink": 1.0}.items() if name not in given}
    )
    return source.model_copy(update=changes)


def land_rows(lake: Lake, source: str, name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as ``landing/<source>/<name>.ndjson``, in the place of what is there; returns its address."""
    lines = (orjson.dumps(row, default=str, option=orjson.OPT_SORT_KEYS).decode() for row in rows)
    return lake.write_text(f"{FOLDER}/{source}/{name}.ndjson", "\n".join(lines) + "\n")


def land_once(lake: Lake, source: str, prefix: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows under the digest of their content; a file that is there already is left as it is, with its time."""
    whole = orjson.dumps(list(rows), default=str, option=orjson.OPT_SORT_KEYS)
    name = f"{prefix}-{hashlib.sha256(whole).hexdigest()[:20]}"
    address = lake.address(f"{FOLDER}/{source}/{name}.ndjson")
    return address if filesystem(address).exists(address) else land_rows(lake, source, name, rows)


def whole_rows(dataset: Dataset, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with every column of the dataset, null where nothing was said: a file always has all columns."""
    names = [column.name for column in DATASETS[dataset]]
    return [{name: row.get(name) for name in names} for row in rows]


def _connector(config: Config, platform: str, dataset: Dataset) -> Source | None:
    kinds = {dataset, Dataset.CONTACTS} if dataset is Dataset.CUSTOMERS else {dataset}
    found = (s for s in config.sources if s.connector == platform and s.dataset in kinds and not s.columns)
    return next(found, None)


def _fed_by_events(lake: Lake, sender: str, dataset: Dataset, id_space: str, channel: str) -> Source:
    name = f"{sender}-events-{dataset.value}"
    return Source(
        name=name,
        dataset=dataset,
        channel=channel,
        files=f"{lake.address(FOLDER)}/{name}/*",
        columns={column.name: column.name for column in DATASETS[dataset]},
        id_space=id_space,
        timezone="UTC",
        checks=Checks(**_LENIENT),
    )


def _landed_names(lake: Lake) -> set[str]:
    address = lake.address(FOLDER)
    files = filesystem(address)
    if not files.exists(address):
        return set()
    return {str(path).rstrip("/").rsplit("/", 1)[-1] for path in files.ls(address, detail=False)}
