"""The lake that a configuration names."""

from uuid import uuid4

from tasks.config import Config
from tasks.lake.lake import Lake
from tasks.lake.storage import filesystem


def open_lake(config: Config) -> Lake:
    """The lake with the memory the configuration grants."""
    return Lake(root=config.lake, memory_limit=config.memory_limit)


def identity(lake: Lake) -> str:
    """The name this lake got when it was first used: results kept for a deleted lake are never mistaken for its own."""
    address = lake.address("_identity")
    files = filesystem(address)
    if not files.exists(address):
        lake.write_text("_identity", uuid4().hex)
    return str(files.cat_file(address).decode())
