"""The connectors, found by name: one file each."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from tasks.errors import ConfigurationError
from tasks.intake.sources.connector import Connector

SLUGS = ("bigquery", "hubspot", "redshift", "salesforce", "shopify", "woocommerce")


@cache
def connectors() -> Mapping[str, Connector]:
    """All connectors by slug; modules that need an optional library import it when they read."""
    found = (import_module(f"tasks.intake.sources.{slug}").CONNECTOR for slug in SLUGS)
    return {connector.slug: connector for connector in found}


def connector_of(slug: str) -> Connector:
    """The connector of that name. ConfigurationError: there is none."""
    try:
        return connectors()[slug]
    except KeyError:
        raise ConfigurationError(f"There is no connector {slug!r}. Connectors: {', '.join(SLUGS)}.") from None
