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
        segment: Who belongs to it.
        save: Off shows the preview only; on saves it as well.
        who: Your name; needed to save.
        why: The reason; needed to save.
        config: Address of segmentation.yaml.
        as_of: Morning whose customers are shown; the newest when left out.
        lake: Overrides the lake of the configuration.
    """
    settings = load_config(config, {"lake": lake} if lake else None)
    tables = open_lake(settings)
    rule = to_rule(segment)
    before = read_rules(tables, settings)
    after = with_audience(before, rule)
    show_preview(rule, look(tables, rule, as_of), settings.currency, changes(before, after))
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


def show_preview(rule: Rule, seen: Preview, currency: str, difference: str) -> None:
    """Put the preview where the marketer looks: artifacts of the run."""
    key = f"preview-{rule.id.replace('_', '-')}"
    text = tell_preview(rule, seen, currency)
    create_markdown_artifact(f"{text}\n\n### What changes in the rules\n\n```diff\n{difference}\n```\n", key=key)
    create_table_artifact(overlap_rows(seen), key=f"{key}-overlap", description=f"Who else the {rule.label} are")


def save_rules(lake: Lake, config: Config, rules: Rules, who: str, why: str) -> None:
    """Write the rule file, where there is one, and remember the version with who and why."""
    saved_at = runtime.flow_run.scheduled_start_time
    row = version_row(rules, saved_at=saved_at, saved_by=who, reason=why)
    lake.merge("rule_versions", row)  # first: a file never says what nobody answers for
    if config.segments:
        write_rules(rules)
    get_run_logger().info("saved version %s of the rules", rules.version)
