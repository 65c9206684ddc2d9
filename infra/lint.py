"""`python -m infra.lint [prefect.yaml]`: refuse a prefect.yaml that Prefect would accept and quietly misunderstand."""

import sys
from pathlib import Path

import click

from infra.environment import VARIABLES
from infra.job_templates import job_schemas
from infra.prefect_yaml import find_mistakes


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=Path("prefect.yaml"))
def main(file: Path) -> None:
    """Check FILE; print one line per mistake and exit 1 if there is any."""
    mistakes = find_mistakes(file, variables=frozenset(VARIABLES), job_schemas=job_schemas())
    for mistake in mistakes:
        click.echo(f"{file.name}: {mistake}")
    click.echo(f"{file.name}: {len(mistakes) or 'no'} mistake{'' if len(mistakes) == 1 else 's'}")
    sys.exit(1 if mistakes else 0)


if __name__ == "__main__":
    main()
