"""The whole daily job on Complete Journey, as a person runs it: wall time, processor time and memory of all processes.

    python -m tests.benchmarks.daily_job

Prints one line for a fresh lake and one for the same day again, with the limits of 60 s and 1.5 GB beside them.
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

LIMIT_SECONDS, LIMIT_GIGABYTES = 60, 1.5


def memory_gigabytes(group: int) -> float:
    """Resident memory of all processes of a group, in GB."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
            if int(fields[2]) == group:
                total += int(fields[21]) * resource.getpagesize()
        except (OSError, IndexError):
            continue
    return total / 1e9


def measure(lake: str) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak memory in GB of one run."""
    peak = [0.0]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    job = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "demo", "--lake", lake],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def watch() -> None:
        while job.poll() is None:
            peak[0] = max(peak[0], memory_gigabytes(job.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = job.wait()
    watcher.join()
    seconds = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        raise SystemExit(f"the job ended with {code}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak[0]


def main() -> None:
    """Run twice and print both."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PREFECT_HOME"] = f"{folder}/prefect"
        for name in ("fresh lake", "same day again"):
            seconds, processor, gigabytes = measure(f"{folder}/lake")
            print(
                f"{name:15} {seconds:6.1f} s wall ({seconds / LIMIT_SECONDS:.0%} of the limit)  "
                f"{processor:6.1f} s processor  "
                f"{gigabytes:5.2f} GB, server included ({gigabytes / LIMIT_GIGABYTES:.0%} of the limit)"
            )


if __name__ == "__main__":
    main()
