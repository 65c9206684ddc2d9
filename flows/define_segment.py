"""A marketer describes an audience in a form, sees who it would be, and saves it."""

from datetime import date

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.config import Config, load_config
from tasks.errors import ConfigurationError
from tasks.lake import Lake
from tasks.lake.opened import open_lake
from tasks.segments.form import SegmentForm, to_rule
from tasks.segments.preview import Preview, overlap_rows, preview, tell_preview
from tasks.segments.registry import Rules, changes, version_row, with_audience, write_rules
from tasks.segments.rules import Rule
from tasks.segments.segmentation import read_rules


@flow(name="define-segment", flow_run_name="define-segment-{segment.name}")
def define_segment(
    segment: SegmentForm,
    *,
    save: bool = False,
    who: str = "",
    why: str = "",
    config: str = "segmentation.yaml",
    as_of: date | None = None,
    lake: str | None = None,
) -> str:
    """Preview an audience; with "save" it becomes a new version of the rules, used from the next daily run on.

    Args:
        segment: The audience: its name, and what its customers have in common.
        save: Leave it off to look first: the run shows how many they are, what they spend, and who they are. Switch it
            on to keep the audience; it is used from the next daily run on.
        who: Your name; needed to save.
        why: The reason, for those who come after you; needed to save.
        config: For the data team: address of segmentation.yaml. Leave it as it is.
        as_of: For the data team: morning whose customers are shown; the newest when left out.
        lake: For the data team: overrides the lake of the configuration.
    """
    settings = load_config(config, {"lake": lake} if lake else None)
    tables = open_lake(settings)
    rule = to_rule(segment)
    before = read_rules(tables, settings)
    after = with_audience(before, rule)
    replaces = any(rule.id == one.id for one in before.file.audiences)
    seen = look(tables, rule, as_of)
    show_preview(rule, seen, settings.currency, _next_step(replaces=replaces, save=save), changes(before, after))
    get_run_logger().info("%s: %s customers. Press Artifacts to see who they are.", rule.label, f"{seen.customers:,}")
    if save:
        save_rules(tables, settings, after, who, why)
    return after.version if save else before.version


def look(lake: Lake, rule: Rule, as_of: date | None) -> Preview:
    """Who the audience would be on the newest morning up to ``as_of``."""
    days = [day for day in lake.days("customer_features") if as_of is None or day <= as_of]
    if not days:
        raise ConfigurationError("There are no customers to look at yet. Run the daily job once: `segmentation run`.")
    tables = [lake.latest(table) for table in ("customer_features", "customer_segments")]
    with lake.database(tables) as db:
        return preview(db, rule, max(days))


def show_preview(rule: Rule, seen: Preview, currency: str, next_step: str, difference: str) -> None:
    """Put the preview where the marketer looks: artifacts of the run."""
    key = f"preview-{rule.id.replace('_', '-')}"
    text = f"{tell_preview(rule, seen, currency)}\n\n### What next\n\n{next_step}"
    create_markdown_artifact(
        f"{text}\n\n### What changes in the rules\n\n```diff\n{difference}\n```\n",
        key=key,
        description=f"{rule.label}: how many, what they spend, ten of them",
    )
    create_table_artifact(
        overlap_rows(seen),
        key=f"{key}-overlap",
        description=f"{rule.label}: the segments and audiences they are in today",
    )


def _next_step(*, replaces: bool, save: bool) -> str:
    warning = "**An audience of this name exists already: saving replaces it.** " if replaces else ""
    if save:
        return f"{warning}Saved; it is used from the next daily run on."
    return f"{warning}To keep it, choose *Copy to new run* in the menu of this run, and switch *save* on."


def save_rules(lake: Lake, config: Config, rules: Rules, who: str, why: str) -> None:
    """Write the rule file, where there is one, and remember the version with who and why."""
    saved_at = runtime.flow_run.scheduled_start_time
    row = version_row(rules, saved_at=saved_at, saved_by=who, reason=why)
    lake.merge("rule_versions", row)  # first: a file never says what nobody answers for
    if config.segments:
        write_rules(rules)
    get_run_logger().info("saved version %s of the rules", rules.version)
