"""An account: the options of the configuration and the secret, checked together before the first row moves."""

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import SecretStr, ValidationError

from tasks.config import DestinationSettings
from tasks.destinations.platform import Account, Platform
from tasks.errors import ConfigurationError


def account_of(platform: Platform, destination: DestinationSettings, secret: SecretStr | None) -> Account:
    """The account of a destination; a secret is either the platform's one credential or a JSON object of several.

    ConfigurationError: every problem at once, by name, without any value.
    """
    values: dict[str, Any] = dict(destination.settings)
    values.update(_spread(platform, destination, secret))
    try:
        return platform.account(**values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'account'}: {one['msg']}" for one in error.errors(include_input=False)
        )
        raise ConfigurationError(
            f"Destination {destination.name} ({platform.title}): {problems}. Options belong into `settings`, "
            f"credentials into the secret {destination.secret or '(none is named)'!r}; see {platform.docs}"
        ) from None


def secret_fields(platform: Platform) -> tuple[str, ...]:
    """Names of the account's fields that come from the secret."""
    return tuple(name for name, one in platform.account.model_fields.items() if "SecretStr" in str(one.annotation))


def _spread(platform: Platform, destination: DestinationSettings, secret: SecretStr | None) -> Mapping[str, Any]:
    names = secret_fields(platform)
    if secret is None or not names:
        return {}
    text = secret.get_secret_value().strip()
    if not text.startswith("{"):
        return {names[0]: text}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ConfigurationError(
            f"Destination {destination.name}: secret {destination.secret!r} is no valid JSON."
        ) from None
    return {str(name): value for name, value in found.items()}


def quota_key(platform: Platform, destination: DestinationSettings) -> str:
    """Who owns the vendor's limit: the account, that is the secret; several destinations may share it."""
    return f"{platform.slug}:{destination.secret or destination.name}"
