"""A real object store on loopback for tests: Ceph's radosgw with one monitor and one disk in memory."""

import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PORT = 5557
KEY, SECRET = "segmentation", "segmentation-secret"
_CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:40000,v1:127.0.0.1:40001]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_objectstore = memstore
memstore_device_bytes = 2147483648
admin_socket = {root}/run/$name.asok
pid_file = {root}/run/$name.pid
log_file = {root}/log/$name.log
mon_data = {root}/mon/a
osd_data = {root}/osd/0
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{port}
ms_mon_client_mode = crc
"""


def missing() -> bool:
    """Whether the store's programs are not on this machine."""
    return shutil.which("radosgw") is None or shutil.which("ceph-mon") is None


@contextmanager
def object_store(root: Path) -> Iterator[dict[str, str]]:
    """Start the store below ``root``; gives the environment that leads AWS clients to it."""
    for folder in ("mon", "osd/0", "run", "log"):
        (root / folder).mkdir(parents=True)
    identity, disk = str(uuid.uuid4()), str(uuid.uuid4())
    configuration = root / "ceph.conf"
    configuration.write_text(_CONFIGURATION.format(fsid=identity, root=root, port=PORT))

    def ceph(program: str, *arguments: str) -> None:
        subprocess.run([program, "-c", str(configuration), *arguments], check=True, capture_output=True, timeout=120)

    address = "[v2:127.0.0.1:40000,v1:127.0.0.1:40001]"
    monitors = [str(root / "monmap")]
    subprocess.run(
        ["monmaptool", "--create", "--fsid", identity, "--addv", "a", address, *monitors],
        check=True,
        capture_output=True,
    )
    gateway = None
    try:
        ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", *monitors)
        ceph("ceph-mon", "-i", "a")
        ceph("ceph", "osd", "new", disk)
        ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        ceph("ceph-osd", "-i", "0")
        gateway = subprocess.Popen(
            ["radosgw", "-c", str(configuration), "-n", "client.rgw", "--no-mon-config", "-f"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait()
        user = ["--uid=tests", "--display-name=tests", f"--access-key={KEY}", f"--secret={SECRET}"]
        ceph("radosgw-admin", "-n", "client.rgw", "user", "create", *user)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        }
    finally:
        _stop(gateway, root)


def _wait(seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(f"radosgw did not answer on port {PORT} within {seconds:.0f} s")


def _stop(gateway: "subprocess.Popen[bytes] | None", root: Path) -> None:
    if gateway is not None:
        gateway.terminate()
        gateway.wait(timeout=60)
    for file in (root / "run").glob("*.pid"):
        try:
            os.kill(int(file.read_text()), signal.SIGKILL)
        except (ProcessLookupError, ValueError):
            continue
