"""How long a day of campaigns takes: N treated customers from segments to contacts on a list of a draft.

python -m tests.benchmarks.campaign_drafts [customers]      (a loopback SendGrid; its own time is part of the figure)
"""

import resource
import sys
import time
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from tasks.campaigns.playbook_file import load
from tasks.campaigns.sendgrid_wire import Wire
from tasks.campaigns.settings import SendGridSettings
from tasks.lake import Lake
from tests.campaigns.fake_sendgrid import API_KEY, serve
from tests.campaigns.town import Resident, Town


def main(customers: int) -> None:
    """Plan, apply, and apply again."""
    with TemporaryDirectory() as folder, serve() as fake:
        account = SendGridSettings(
            sender_id=1, suppression_group_id=103, base_url=fake.url, contacts_per_request=20_000
        )
        book = load(None)
        plays = tuple(play.model_copy(update={"holdout_share": 0.0}) for play in book.plays)
        town = Town(
            Lake(root=folder, threads=2),
            tuple(Resident(f"c{number:07}", "new", first_name="Ana") for number in range(customers)),
            playbook=book.model_copy(update={"plays": plays}),
            sendgrid=account,
        ).settle()
        for what, applied in (("plan", False), ("apply", True), ("apply again", True)):
            fake.requests.clear()
            started, cpu = time.perf_counter(), time.process_time()
            line = town.make(applied=applied, wire=Wire(SecretStr(API_KEY), account)).drafts[0]
            seconds, used = time.perf_counter() - started, time.process_time() - cpu
            print(
                f"{what:12} {seconds:6.1f} s  cpu {used:6.1f} s  {customers / seconds:9,.0f} customers/s  "
                f"{len(fake.requests):4} requests  accepted {line.accepted:,}  unchanged {line.unchanged:,}  "
                f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"
            )
        assert len(fake.contacts) == customers
        assert (line.unchanged, fake.written()) == (customers, []), "a second run changes nothing"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
