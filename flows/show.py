"""The summary of a run as a person reads it in the terminal."""

from decimal import Decimal

from flows.console import OUT, show_table
from flows.grade_report import BacktestReport, Measured, TargetGrade
from flows.summary import Campaigns, Intake, Pushed, RunSummary


def show_summary(summary: RunSummary) -> None:
    """Print what a run did: customers, money reconciled, segments, checks, pushes, report."""
    OUT.print(f"\n[bold]{summary.customers:,} customers[/bold] on {summary.as_of}, {summary.moved:,} moved\n")
    _show_intake(summary.intake, summary.currency)
    show_table(
        "Segments",
        ["segment", "customers", "share", "revenue", "churn risk", f"value 365 d ({summary.currency})"],
        [
            [
                s.label,
                f"{s.customers:,}",
                f"{s.share:.1%}",
                f"{s.revenue_share:.1%}",
                _share(s.churn_probability),
                _money(s.lifetime_value),
            ]
            for s in summary.segments
        ],
        right=(1, 2, 3, 4, 5),
    )
    show_table(
        "Audiences",
        ["audience", "customers", "share"],
        [[s.label, f"{s.customers:,}", f"{s.share:.1%}"] for s in summary.audiences],
        right=(1, 2),
    )
    if summary.checks:
        show_table(
            "Checks that spoke up",
            ["", "check", "about", "message"],
            [[c.verdict, c.check, c.subject, c.message] for c in summary.checks],
        )
    if summary.campaigns:
        _show_campaigns(summary.campaigns)
    show_pushes(summary.pushes, applied=summary.mode == "apply")
    if summary.report:
        OUT.print(f"Report: {summary.report}")


def _show_intake(intake: Intake, currency: str) -> None:
    parts = [
        ("read", intake.rows_read, intake.amount_read),
        ("kept", intake.rows_kept, intake.amount_kept),
        ("quarantined", intake.rows_quarantined, intake.amount_quarantined),
        ("duplicate", intake.rows_duplicate, intake.amount_duplicate),
    ]
    verdict = "reconciled to the cent" if intake.reconciled else "DOES NOT RECONCILE"
    show_table(
        f"Order lines: {verdict}",
        ["", "rows", currency],
        [[name, f"{rows:,}", f"{amount:,.2f}"] for name, rows, amount in parts],
        right=(1, 2),
    )


def _show_campaigns(campaigns: Campaigns) -> None:
    show_table(
        "Campaign drafts (a person releases each; nothing is sent from here)",
        ["draft", "customers", "state"],
        [[one.draft, f"{one.customers:,}", one.state] for one in campaigns.drafts],
        right=(1,),
    )
    without = {"held out to measure the effect": campaigns.held_out, **campaigns.left_out}
    OUT.print("Without a message: " + ", ".join(f"{count:,} {why}" for why, count in without.items() if count))
    if campaigns.remark:
        OUT.print(campaigns.remark)
    OUT.print(f"Drafts to look at: {campaigns.page}\n")


def show_pushes(pushes: tuple[Pushed, ...], *, applied: bool) -> None:
    """Print what each destination was told, or would be."""
    if not pushes:
        return
    outcome = ["delivered", "rejected", "later"] if applied else []
    show_table(
        "Pushed" if applied else "Plan (nothing was sent; --push apply sends exactly this)",
        ["destination", "enter", "update", "leave", "unchanged", "skipped", *outcome],
        [
            [
                p.destination,
                p.enters,
                p.updates,
                p.leaves,
                p.unchanged,
                p.skipped,
                *([p.delivered, p.rejected, p.later] if applied else []),
            ]
            for p in pushes
        ],
        right=(1, 2, 3, 4, 5, 6, 7, 8),
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _money(value: float | Decimal | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def show_grades(report: BacktestReport) -> None:
    """Print one table per target: the model in use first, then its rivals."""
    for target, grade in report.targets.items():
        window = grade.windows.graded
        OUT.print(f"[bold]{target}[/bold]: {grade.customers:,} customers, {window.first} to before {window.end}")
        metrics = [name for name in grade.metrics if not name.startswith("reliability")]
        models = {grade.champion or "none": grade.metrics, **grade.rivals}
        show_table(
            "",
            ["model", *metrics, "why"],
            [
                [_marked(name, grade), *(_metric(said.get(metric)) for metric in metrics), grade.notes.get(name, "")]
                for name, said in models.items()
            ],
            right=range(1, len(metrics) + 1),
        )


def _marked(model: str, grade: TargetGrade) -> str:
    marks = [word for word, is_so in (("in use", model == grade.champion), ("naive", model == grade.naive)) if is_so]
    return f"{model} ({', '.join(marks)})" if marks else model


def _metric(measured: Measured | None) -> str:
    if measured is None:
        return "–"
    if measured.low is None or measured.high is None:
        return f"{measured.value:.3f}"
    return f"{measured.value:.3f} ({measured.low:.3f}–{measured.high:.3f})"
