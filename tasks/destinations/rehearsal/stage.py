"""The stand-ins there are, found like the platforms: one module each."""

import importlib
import pkgutil

from tasks.destinations import rehearsal
from tasks.destinations.rehearsal.fake import Fake

NOT_A_FAKE = {"fake", "stage", "run"}


def all_fakes() -> dict[str, type[Fake]]:
    """Slug → stand-in."""
    found: dict[str, type[Fake]] = {}
    for module in pkgutil.iter_modules(rehearsal.__path__):
        if module.name not in NOT_A_FAKE:
            loaded = importlib.import_module(f"{rehearsal.__name__}.{module.name}")
            fakes = [v for v in vars(loaded).values() if isinstance(v, type) and issubclass(v, Fake) and v is not Fake]
            found.update({one.slug: one for one in fakes})
    return found
