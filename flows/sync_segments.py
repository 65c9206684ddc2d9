"""Pushing alone: plan, apply the stored plan, or send dead letters again after a fix."""

from datetime import date
from typing import Literal

from prefect import flow

from flows.plan_page import show_plan
from flows.summary import Pushed, pushes_of
from flows.telling import push_and_tell
from flows.turns import turn
from tasks.config import Config, load_config
from tasks.destinations.plan import SOURCES, read_plan
from tasks.destinations.task import plan_push, plan_replay
from tasks.errors import ConfigurationError
from tasks.lake import Lake, Snapshots
from tasks.lake.opened import open_lake


@flow(name="sync-segments", flow_run_name="sync-segments-{mode}")
def sync_segments(
    config: str = "segmentation.yaml",
    mode: Literal["plan", "apply", "replay"] = "plan",
    platform: str | None = None,
    release: tuple[str, ...] = (),
) -> tuple[Pushed, ...]:
    """Bring the destinations up to the newest segments.

    Args:
        config: Address of segmentation.yaml on any file system.
        mode: "plan" stores what would be sent; "apply" sends the newest stored plan; "replay" sends dead letters.
        platform: Only this destination, by name or platform.
        release: Brakes that a person releases, as "destination" or "destination:check".
    """
    settings = only(load_config(config), platform)
    lake = open_lake(settings)
    with turn(lake):
        if mode == "apply":
            plan = read_plan(lake)
            return pushes_of(plan, push_and_tell(settings, plan, release))
        day = newest_day(lake)
        known = Snapshots.of(lake.latest(table) for table in SOURCES)
        if mode == "plan":
            plan = plan_push(settings, day, known)
            show_plan(plan)
            return pushes_of(plan, None)
        plan = plan_replay(settings, day, known)
        return pushes_of(plan, push_and_tell(settings, plan, release))


def only(config: Config, platform: str | None) -> Config:
    """The configuration with the named destination alone."""
    if platform is None:
        return config
    chosen = tuple(one for one in config.destinations if platform in {one.name, one.platform})
    if not chosen:
        names = ", ".join(one.name for one in config.destinations) or "none"
        raise ConfigurationError(f"There is no destination {platform!r} in the configuration. Destinations: {names}.")
    return config.model_copy(update={"destinations": chosen})


def newest_day(lake: Lake) -> date:
    """The newest morning with segments."""
    days = lake.days("customer_segments")
    if not days:
        raise ConfigurationError("There are no segments yet. Run `segmentation run` first.")
    return days[-1]
