"""Build the image without an engine: carry out the Dockerfile in bare Debian roots, then run a flow in the result.

    python tests/e2e/image_root.py ROOT WORK       (as root; about five minutes)

ROOT: a Debian with Python, made by `debootstrap --variant=minbase
--include=python3,python3-venv,python3-pip,ca-certificates bookworm ROOT`. It stands in for the
python image, so what is checked is everything that the Dockerfile itself does. (Debian keeps the pip of its own.)
WORK: an empty folder for the two stages. Prints the size and the largest packages of the image.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
FLOW_RUN = """
import duckdb
from prefect import flow

@flow
def tiny():
    return duckdb.sql("select 42").fetchone()[0]

assert tiny() == 42
"""
CHECKS = {
    "nobody is root": "test $(id -u) = 10001",
    "the command of the worker is there": "prefect flow-run execute --help",
    "the command line is there": "segmentation --help",
    "the worker can start": "prefect worker start --help",
    "the project is imported from /app": (
        "cd / && python -c 'import flows; assert flows.__file__.startswith(\"/app/\")'"
    ),
    "prefect.yaml is sound": "python -m infra.lint",
    "httpfs loads from its wheel": (
        "python -c 'import duckdb, pathlib, duckdb_extension_httpfs as e; "
        'path = next(p for f in e.__path__ for p in pathlib.Path(f).rglob("*.duckdb_extension")); '
        "duckdb.connect().load_extension(str(path))'"
    ),
    "no installer is left": "! python -m pip --version",
    "no compiler is left": "! command -v gcc && ! command -v cc",
    "nothing of the image can be changed by a run": "! touch /app/x && ! touch /opt/venv/x",
    "a flow runs": f"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=180 python -c {shlex.quote(FLOW_RUN)}",
}


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile as (instruction, rest) pairs."""
    text = re.sub(r"^\s*#.*\n", "", (PROJECT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


class Stage:
    """One stage of the build: a root folder, the environment, the working directory and the user so far."""

    def __init__(self, base: Path, root: Path) -> None:
        # cp, for the devices under /dev must be copied as devices
        subprocess.run(["cp", "--archive", str(base), str(root)], check=True)
        (root / "usr/bin/python").unlink(missing_ok=True)
        (root / "usr/bin/python").symlink_to("python3")
        for marker in (root / "usr/lib").glob("python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        for file in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):  # the way out is this machine's
            shutil.copy(f"/{file}", root / file)
        self.root = root
        self.directory = "/"
        self.user = "0"
        self.environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root"}

    def run(self, command: str, **more: str) -> None:
        """Run a shell line inside, as the user of the stage."""
        person = f"--userspec={self.user}:{self.user}"
        line = f"cd {self.directory} && {command}"
        environment = {**self.environment, **more}
        subprocess.run(["chroot", person, str(self.root), "sh", "-c", line], env=environment, check=True)

    def set(self, pairs: str) -> None:
        """ENV: later values may use earlier ones."""
        for pair in shlex.split(pairs):
            name, _, value = pair.partition("=")
            self.environment[name] = re.sub(r"\$(\w+)", lambda found: self.environment[found.group(1)], value)

    def copy(self, rest: str, stages: dict[str, "Stage"]) -> None:
        """COPY from the project or from an earlier stage."""
        words = rest.split()
        source = stages[words.pop(0).removeprefix("--from=")].root if words[0].startswith("--from=") else PROJECT
        *names, target = words
        into = self.root / (target if target.startswith("/") else f"{self.directory}/{target}").lstrip("/")
        for name in names:
            found = source / name.lstrip("/")
            if found.is_dir():
                ignored = shutil.ignore_patterns("__pycache__") if source == PROJECT else None
                shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy(found, into if not target.endswith("/") else into / found.name)


def build(base: Path, work: Path) -> Stage:
    """Carry the Dockerfile out; return its last stage."""
    stages: dict[str, Stage] = {}
    stage = None
    outside = {name: value for name, value in os.environ.items() if name in ("PIP_INDEX_URL", "PIP_CERT")}
    for name, rest in instructions():
        print(name, rest[:100], flush=True)
        if name == "FROM":
            label = rest.split(" AS ")[1] if " AS " in rest else "image"
            stage = stages[label] = Stage(base, work / label)
        elif stage is None or name == "CMD":
            continue
        elif name == "RUN":
            stage.run(rest, **outside)
        elif name == "ENV":
            stage.set(rest)
        elif name == "WORKDIR":
            stage.directory = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            stage.copy(rest, stages)
        elif name == "USER":
            stage.user = rest
    assert stage is not None
    return stage


def main() -> None:
    """Build, check, measure."""
    base, work = Path(sys.argv[1]), Path(sys.argv[2])
    image = build(base, work)
    image.environment["HOME"] = "/home/app"  # what an engine takes from the user's entry
    device = image.root / "dev/null"
    if not device.exists():
        subprocess.run(["mknod", "-m", "666", str(device), "c", "1", "3"], check=True)
    for law, command in CHECKS.items():
        image.run(f"({command}) > /tmp/check.log 2>&1 || (cat /tmp/check.log; exit 1)")
        print("ok:", law, flush=True)
    os.sync()
    for folder in ("opt/venv", "app"):
        subprocess.run(["du", "-sh", str(image.root / folder)], check=True)
    image.run("du -s /opt/venv/lib/python3*/site-packages/* | sort -rn | head -12")


if __name__ == "__main__":
    main()
