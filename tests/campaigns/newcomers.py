"""A town whose drafts go to the fake SendGrid, and the time that passes there."""

from pydantic import SecretStr

from tasks.campaigns.sendgrid_wire import Wire
from tasks.campaigns.settings import SendGridSettings
from tasks.lake import Lake
from tests.campaigns.fake_sendgrid import API_KEY, FakeSendGrid
from tests.campaigns.town import AS_OF, Resident, Town, packaged

WELCOME = f"Welcome, {AS_OF}, en"


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_511_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Remember how long."""
        self.slept.append(seconds)
        self.now += seconds


def account(fake: FakeSendGrid, **changes) -> SendGridSettings:
    """Settings of the fake account."""
    return SendGridSettings(sender_id=1, suppression_group_id=103, base_url=fake.url, **changes)


def wire_to(fake: FakeSendGrid, clock: Clock | None = None, key: str = API_KEY, **changes) -> Wire:
    """The conversation with the fake account; nobody really waits."""
    clock = clock or Clock()
    return Wire(SecretStr(key), account(fake, **changes), clock=clock, sleep=clock.sleep)


def newcomers(lake: Lake, fake: FakeSendGrid, *names: str, **changes) -> Town:
    """A town of new customers, with the play for them and no other."""
    residents = tuple(Resident(name, "new") for name in names)
    return Town(lake, residents, playbook=packaged("welcome"), sendgrid=account(fake, **changes)).settle()


# Nobody of these is drawn into the hold-out of Welcome (share 0.1) under the town's key.
NAMES = ("Bob", "Ana", "Cleo")
