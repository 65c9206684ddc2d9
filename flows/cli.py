"""The `segmentation` command: 0 is done, 1 is failed, 2 is a configuration that a person must mend."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import click

from tasks.errors import ConfigurationError, SegmentationError

P = ParamSpec("P")
R = TypeVar("R")

FAILED, CONFIGURATION = 1, 2

# A flow without a server starts one for itself; on two cores that takes longer than Prefect's default patience.
_PREFECT_DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "DO_NOT_TRACK": "1",
}


class Day(click.ParamType[date]):
    """A date on the command line."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read YYYY-MM-DD."""
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no time zone
        except ValueError:
            self.fail(f"{value!r} is no date. Write it like 2026-01-31.", param, ctx)


def say_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors we raise on purpose into one clear message and an exit code, without a stack trace."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in _PREFECT_DEFAULTS.items():
            os.environ.setdefault(name, value)
        try:
            return command(*args, **kwargs)
        except SegmentationError as error:
            click.secho(str(error), fg="red", err=True)
            sys.exit(CONFIGURATION if isinstance(error, ConfigurationError) else FAILED)

    return wrapped


config_option = click.option("--config", default="segmentation.yaml", show_default=True, help="The configuration.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
as_of_option = click.option("--as-of", type=Day(), help="Morning of the run; today when left out.")


@click.group()
@click.version_option(package_name="retail-segmentation")
def main() -> None:
    """Customer segments people act on, every day."""


@main.command()
@click.option("--lake", default="./lake", show_default=True, help="Where the tables go.")
@click.option("--as-of", type=Day(), default=date(2018, 1, 2), show_default="2018-01-02", help="Morning of the run.")
@click.option("--push", type=click.Choice(["plan", "apply"]), default="apply", show_default=True)
@json_option
@say_errors
def demo(lake: str, as_of: date, push: str, as_json: bool) -> None:
    """Run the whole daily job on a year of real grocery data (Complete Journey)."""
    from flows.demo import prepare

    config = prepare(Path(lake).resolve())
    _run_daily_job(str(config), as_of, push, str(Path(lake).resolve()), as_json=as_json)


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@say_errors
def init(directory: Path) -> None:
    """Write commented segmentation.yaml, segments.yaml and playbook.yaml to DIRECTORY."""
    from flows.starter import write_starter

    for path in write_starter(directory, datetime.now(UTC).date()):
        click.echo(f"wrote {path}")
    click.echo(
        f"Edit {directory / 'segmentation.yaml'}, then: segmentation check --config {directory / 'segmentation.yaml'}"
    )


@main.command()
@config_option
@json_option
@say_errors
def check(config: str, as_json: bool) -> None:
    """Check configuration, files, columns, rules and secrets; never writes."""
    from flows.checking import check_everything
    from flows.console import show_json, show_table

    findings = check_everything(config)
    if as_json:
        show_json([finding.model_dump() for finding in findings])
    else:
        show_table("Checks", ["", "what", "found"], [[_MARKS[f.verdict], f.subject, f.message] for f in findings])
    if any(finding.verdict == "stopped" for finding in findings):
        sys.exit(CONFIGURATION)


_MARKS = {"passed": "✓", "told": "!", "stopped": "✗"}


@main.command()
@config_option
@as_of_option
@click.option("--push", type=click.Choice(["plan", "apply"]), default="plan", show_default=True)
@click.option("--lake", help="Overrides the lake of the configuration.")
@json_option
@say_errors
def run(config: str, as_of: date | None, push: str, lake: str | None, as_json: bool) -> None:
    """Run the daily job."""
    _run_daily_job(config, as_of, push, lake, as_json=as_json)


def _run_daily_job(config: str, as_of: date | None, push: str, lake: str | None, *, as_json: bool) -> None:
    from flows.console import show_json
    from flows.embedded_server import flows_of
    from flows.show import show_summary
    from flows.summary import RunSummary
    from tasks.config import load_config

    load_config(config, {"lake": lake} if lake else None)  # a mistake in the file is told before a server starts
    with flows_of("flows.segment_customers") as job:
        summary: RunSummary = job.segment_customers(config, as_of, "apply" if push == "apply" else "plan", lake)
    if as_json:
        show_json(summary.model_dump(mode="json"))
    else:
        show_summary(summary)


@main.command()
@config_option
@click.option("--platform", help="Only this destination, by name or platform.")
@json_option
@say_errors
def plan(config: str, platform: str | None, as_json: bool) -> None:
    """Say what a push would send, and store it; nothing is sent."""
    _sync(config, "plan", platform, (), as_json=as_json)


@main.command()
@config_option
@click.option("--platform", help="Only this destination, by name or platform.")
@click.option("--release", multiple=True, help="Release a brake: DESTINATION or DESTINATION:CHECK.")
@json_option
@say_errors
def apply(config: str, platform: str | None, release: tuple[str, ...], as_json: bool) -> None:
    """Send exactly the newest stored plan."""
    _sync(config, "apply", platform, release, as_json=as_json)


@main.command()
@config_option
@click.option("--platform", help="Only this destination, by name or platform.")
@click.option("--release", multiple=True, help="Release a brake: DESTINATION or DESTINATION:CHECK.")
@json_option
@say_errors
def replay(config: str, platform: str | None, release: tuple[str, ...], as_json: bool) -> None:
    """Send dead letters again after a fix."""
    _sync(config, "replay", platform, release, as_json=as_json)


def _sync(
    config: str,
    mode: Literal["plan", "apply", "replay"],
    platform: str | None,
    release: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    from flows.console import show_json
    from flows.embedded_server import flows_of
    from flows.show import show_pushes

    with flows_of("flows.sync_segments") as job:
        pushes = job.sync_segments(config, mode, platform, release)
    if as_json:
        show_json([one.model_dump(mode="json") for one in pushes])
    else:
        show_pushes(pushes, applied=mode != "plan")


@main.command()
@config_option
@click.option("--cutoff", type=Day(), help="Models know only earlier days; the last closed window when left out.")
@click.option("--horizon-days", type=click.IntRange(1, 730), help="Days of the window; as configured when left out.")
@click.option("--lake", help="Overrides the lake of the configuration.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the grades there.")
@say_errors
def backtest(
    config: str, cutoff: date | None, horizon_days: int | None, lake: str | None, json_file: Path | None
) -> None:
    """Grade every model against its naive rival on a window that has closed."""
    from flows.embedded_server import flows_of
    from flows.show import show_grades
    from tasks.config import load_config

    load_config(config, {"lake": lake} if lake else None)  # a mistake in the file is told before a server starts
    with flows_of("flows.backtest_models") as job:
        report = job.backtest_models(config, cutoff, horizon_days, lake)
    if json_file is None:
        show_grades(report)
        return
    json_file.parent.mkdir(parents=True, exist_ok=True)
    json_file.write_text(report.as_json(), encoding="utf-8")
    click.echo(f"wrote {json_file}")


@main.command()
@click.argument("customer_id")
@config_option
@as_of_option
@json_option
@say_errors
def explain(customer_id: str, config: str, as_of: date | None, as_json: bool) -> None:
    """Say why a customer is where they are: features, rule, predictions, offers, plan and the platform's answer."""
    from flows.console import show_json, show_table
    from flows.explaining import explain_customer

    chapters = explain_customer(config, customer_id, as_of)
    if as_json:
        show_json(chapters)
        return
    for title, facts in chapters.items():
        show_table(title, ["what", "value"], list(facts.items()))


@main.command()
@click.argument("customer_id")
@config_option
@click.confirmation_option(prompt="This erases the person here and on every platform, and cannot be undone. Go on?")
@json_option
@say_errors
def forget(customer_id: str, config: str, as_json: bool) -> None:
    """Erase one person everywhere, with receipts."""
    from flows.console import show_json, show_table
    from flows.embedded_server import flows_of

    with flows_of("flows.forget_customer") as job:
        receipts = job.forget_customer(config, customer_id)
    if as_json:
        show_json([one.model_dump() for one in receipts])
    else:
        show_table("Receipts", ["place", "status", "detail"], [[r.place, r.status, r.detail] for r in receipts])
    if any(one.status == "failed" for one in receipts):
        sys.exit(FAILED)


@main.command()
@click.option("--customers", type=click.IntRange(1), default=300, show_default=True)
@click.option("--faults", type=click.FloatRange(0, 0.5), default=0.05, show_default=True, help="Share of bad answers.")
@click.option("--platform", multiple=True, help="Only these platforms.")
@json_option
@say_errors
def rehearse(customers: int, faults: float, platform: tuple[str, ...], as_json: bool) -> None:
    """Push a made-up retailer to stand-ins of all platforms, with faults and a kill in between."""
    from tempfile import TemporaryDirectory

    from flows.console import show_json, show_table
    from tasks.destinations.rehearsal.run import rehearse as rehearse_push

    with TemporaryDirectory() as folder:
        came_through = rehearse_push(
            folder, at=datetime.now(UTC), customers=customers, fault_rate=faults, only=platform
        )
    rows = [one.model_dump() for one in came_through]
    if as_json:
        show_json(rows)
    elif rows:
        names = [name.replace("_", " ") for name in rows[0]]
        show_table("Rehearsal", names, [[str(value) for value in row.values()] for row in rows])
    if not all(one.as_desired for one in came_through):
        sys.exit(FAILED)


@main.command()
@json_option
@say_errors
def platforms(as_json: bool) -> None:
    """List the platforms that segments can be pushed to, and what each can do."""
    from flows.console import show_json, show_table
    from tasks.destinations.page import describe_platforms

    rows = describe_platforms()
    if as_json:
        show_json([row.model_dump() for row in rows])
        return
    show_table(
        "Platforms",
        ["platform", "sends", "limits", "opt-outs", "laws kept", "install"],
        [
            [r.platform, r.sends, r.limits, r.opt_outs, f"{r.laws_kept} of {r.laws}", r.install or "is here"]
            for r in rows
        ],
    )


@main.command()
@config_option
@click.option("--push", type=click.Choice(["plan", "apply"]), default="plan", show_default=True)
@click.option("--max-events", type=click.IntRange(1), default=50_000, show_default=True)
@click.option("--replay", is_flag=True, help="Put dead letters of the queue back first.")
@json_option
@say_errors
def refresh(config: str, push: str, max_events: int, replay: bool, as_json: bool) -> None:
    """Take events from the queue and bring the customers they concern up to date."""
    from flows.refresh_customers import Desk, drain, replay_letters
    from tasks.config import load_config

    desk = Desk.of(load_config(config))
    if replay:
        replay_letters(desk)
    _show_refresh(drain(desk, "apply" if push == "apply" else "plan", max_events), as_json=as_json)


@main.command()
@config_option
@as_of_option
@json_option
@say_errors
def engagement(config: str, as_of: date | None, as_json: bool) -> None:
    """Collect answers to campaigns and opt-outs, and measure what campaigns brought."""
    from flows.console import show_json, show_table
    from flows.embedded_server import flows_of
    from tasks.config import load_config

    load_config(config)  # a mistake in the file is told before a server starts
    with flows_of("flows.collect_engagement") as job:
        summary = job.collect_engagement(config, as_of)
    if as_json:
        show_json(summary.model_dump(mode="json"))
    else:
        show_table("Engagement", ["what", "known"], list(summary.model_dump().items()))


@main.command("import-contacts")
@click.argument("uri")
@config_option
@click.option("--push", type=click.Choice(["plan", "apply"]), default="plan", show_default=True)
@json_option
@say_errors
def import_contacts(uri: str, config: str, push: str, as_json: bool) -> None:
    """Take in a file of contacts and bring the customers in it up to date."""
    from flows.refresh_customers import Desk, refresh_source
    from tasks.config import load_config
    from tasks.intake.contact_files import contact_source

    desk = Desk.of(load_config(config))
    source = contact_source(desk.config, str(Path(uri).resolve()) if Path(uri).exists() else uri)
    _show_refresh(refresh_source(desk, source, "apply" if push == "apply" else "plan"), as_json=as_json)


def _show_refresh(summary: Any, *, as_json: bool) -> None:
    from flows.console import show_json, show_table

    if as_json:
        show_json(summary.model_dump(mode="json"))
        return
    for note in summary.notes:
        click.secho(note, fg="yellow", err=True)
    counts = summary.model_dump(exclude={"notes", "alarms"})
    show_table("Refresh", ["what", "value"], [[name.replace("_", " "), value] for name, value in counts.items()])


@main.command()
@config_option
@click.option("--push", type=click.Choice(["plan", "apply"]), default="plan", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Beyond this machine a certificate is needed.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True)
@click.option("--certificate", default="", help="Certificate chain for TLS, as PEM.")
@click.option("--key", default="", help="Its private key, where it is in a file of its own.")
@say_errors
def serve(config: str, push: str, *, host: str, port: int, certificate: str, key: str) -> None:
    """Receive events by HTTP and refresh the customers concerned within seconds, until told to stop."""
    import logging

    from flows.serve import Address
    from flows.serve import serve as serve_events

    handler = logging.StreamHandler(sys.stderr)  # on a logger of our own: Prefect configures the root one
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("segmentation")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    address = Address(host, port, certificate, key)
    _show_refresh(serve_events(config, "apply" if push == "apply" else "plan", address), as_json=True)


if __name__ == "__main__":
    main()
