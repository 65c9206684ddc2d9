"""The platforms there are: every module in ``platforms`` that defines ``PLATFORM``, sorted by slug."""

import importlib
import importlib.util
import pkgutil
from datetime import date, timedelta
from functools import lru_cache

from tasks.destinations import platforms
from tasks.destinations.platform import Platform
from tasks.errors import ConfigurationError


@lru_cache(maxsize=1)
def all_platforms() -> tuple[Platform, ...]:
    """Every platform found; adding a file is all it takes to add one."""
    modules = (
        importlib.import_module(f"{platforms.__name__}.{m.name}") for m in pkgutil.iter_modules(platforms.__path__)
    )
    return tuple(sorted((module.PLATFORM for module in modules), key=lambda one: one.slug))


def platform_of(slug: str) -> Platform:
    """The platform with this slug. ConfigurationError: unknown slug, with those that exist."""
    for one in all_platforms():
        if one.slug == slug:
            return one
    known = ", ".join(one.slug for one in all_platforms())
    raise ConfigurationError(f"There is no platform {slug!r}. Platforms: {known}.")


def retiring(today: date, within_days: int = 120) -> tuple[Platform, ...]:
    """Platforms whose pinned version ends within so many days: time to move to a newer one."""
    return tuple(p for p in all_platforms() if p.retires is not None and p.retires - today <= timedelta(within_days))


def missing_modules(platform: Platform) -> tuple[str, ...]:
    """Optional packages the platform needs that are not installed."""
    return tuple(name for name in platform.modules if importlib.util.find_spec(name.split(".")[0]) is None)


def require_modules(platform: Platform) -> None:
    """ConfigurationError with the install command when an optional package is missing."""
    if missing := missing_modules(platform):
        raise ConfigurationError(
            f"{platform.title} needs {', '.join(missing)}: pip install 'retail-segmentation[{platform.extra}]'"
        )
