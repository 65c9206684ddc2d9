"""Opening the conversation with an account: secret, options, pace and patience in one place."""

from collections.abc import Callable
from dataclasses import replace

from pydantic import SecretStr

from tasks.config import DestinationSettings
from tasks.destinations.accounts import account_of, quota_key
from tasks.destinations.apply import Connect
from tasks.destinations.http import HttpSession, Patience
from tasks.destinations.limits import LocalPace, Pace
from tasks.destinations.plan import Survey
from tasks.destinations.platform import Platform, Target
from tasks.destinations.prepare import missing
from tasks.destinations.registry import require_modules
from tasks.errors import SegmentationError

Secrets = Callable[[str], SecretStr | None]
"""Finds a secret by its configured name."""


def no_secrets(_name: str) -> SecretStr | None:
    """For destinations that need none."""
    return None


def connector(secrets: Secrets = no_secrets, *, pace: Pace | None = None, patience: Patience | None = None) -> Connect:
    """A function that opens one account's session; all sessions share one pace."""
    shared = pace or LocalPace()
    waits = patience or Patience()

    def connect(destination: DestinationSettings, platform: Platform) -> HttpSession:
        require_modules(platform)
        secret = secrets(destination.secret) if destination.secret else None
        account = account_of(platform, destination, secret)
        return HttpSession(platform, account, quota_key(platform, destination), pace=shared, patience=waits)

    return connect


def surveyor(connect: Connect) -> Survey:
    """A survey of what a push would create, for the plan; reads only, and a platform that fails spoils no plan."""

    def survey(destination: DestinationSettings, platform: Platform, target: Target) -> tuple[str, ...]:
        try:
            with connect(destination, platform) as session:
                return tuple(map(str, missing(platform, session, replace(target, account=session.account))))
        except SegmentationError as error:
            return (f"could not be asked: {error}",)

    return survey
