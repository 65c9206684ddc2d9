"""Erasing one person from the lake and from every platform, with receipts."""

import hashlib

from prefect import flow
from pydantic import BaseModel, ConfigDict

from flows.turns import turn
from tasks.config import load_config
from tasks.destinations.task import forget_person
from tasks.lake.opened import open_lake


class Receipt(BaseModel):
    """What became of the request at one place."""

    model_config = ConfigDict(frozen=True)

    place: str
    status: str
    detail: str


@flow(name="forget-customer")
def forget_customer(config: str = "segmentation.yaml", customer_id: str = "") -> tuple[Receipt, ...]:
    """Erase a person everywhere; the same request again finishes what failed.

    Args:
        config: Address of segmentation.yaml on any file system.
        customer_id: Customer number; an address does not belong in a parameter that all can read.
    """
    settings = load_config(config)
    request_id = hashlib.sha256(f"forget:{customer_id}".encode()).hexdigest()[:16]
    tables = open_lake(settings)
    with turn(tables):
        written = forget_person(settings, customer_id, request_id)
    rows = tables.read(written["erasure_receipts"], where={"request_id": request_id}).to_pylist()
    return tuple(Receipt(place=row["place"], status=row["status"], detail=row["detail"]) for row in rows)
