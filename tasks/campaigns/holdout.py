"""Hold-outs: who is left alone so that the effect of a campaign can be seen, and how many that takes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from pydantic import SecretStr

from tasks.errors import ConfigurationError

GLOBAL_CONTROL = "*"
LARGEST_SHARE = 0.5
_BITS = 53  # every whole number below 2**53 is exact as a float, so the comparison with a share is too
_SHORTEST_KEY = 16
_LONGEST_KEY = 64


def key_bytes(secret: SecretStr) -> bytes:
    """The key of the draw; raises ConfigurationError when it is too short to be secret."""
    key = secret.get_secret_value().encode()
    if len(key) < _SHORTEST_KEY:
        message = (
            f"The hold-out key has {len(key)} characters; set a secret of at least {_SHORTEST_KEY} random ones "
            "and never change it while campaigns are measured."
        )
        raise ConfigurationError(message)
    return key if len(key) <= _LONGEST_KEY else blake2b(key).digest()


def draw(key: bytes, campaign_id: str, customer_id: str) -> float:
    """A number in [0, 1) that depends on key, campaign and customer alone: keyed BLAKE2b (RFC 7693).

    The campaign is part of the message, so draws of two campaigns are independent; without the key nobody can
    tell or choose the arm.
    """
    digest = blake2b(f"{campaign_id}|{customer_id}".encode(), digest_size=8, key=key).digest()
    return (int.from_bytes(digest, "big") >> (64 - _BITS)) / (1 << _BITS)


def draws(key: bytes, campaign_ids: Iterable[str], customer_ids: Iterable[str]) -> npt.NDArray[np.float64]:
    """``draw`` for each pair, in the order given."""
    pairs = zip(campaign_ids, customer_ids, strict=True)
    return np.fromiter((draw(key, campaign, customer) for campaign, customer in pairs), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Advice:
    """Size of a hold-out: ``share`` of the customers, and the smallest difference of rates it lets one see."""

    customers: int
    share: float
    detectable: float
    enough: bool
    sentence: str


def detectable_difference(
    treated: int, held_out: int, baseline: float, *, significance: float = 0.05, power: float = 0.8
) -> float:
    """Smallest difference of two rates that is found with ``power``; two-sided normal test, baseline variance.

    Fleiss, Levin, Paik: Statistical Methods for Rates and Proportions, 2003, section 4. Infinite for an empty arm.
    """
    if not treated or not held_out:
        return math.inf
    normal = NormalDist()
    quantiles = normal.inv_cdf(1 - significance / 2) + normal.inv_cdf(power)
    return quantiles * math.sqrt(_variance(baseline) * (1 / treated + 1 / held_out))


def advise(
    customers: int, baseline: float, smallest_effect: float, *, significance: float = 0.05, power: float = 0.8
) -> Advice:
    """The smallest hold-out that shows ``smallest_effect``, as a share of ``customers``.

    With share h of n customers the squared error is variance / (n h (1 - h)); h is the smaller root of that.
    """
    normal = NormalDist()
    quantiles = normal.inv_cdf(1 - significance / 2) + normal.inv_cdf(power)
    product = quantiles**2 * _variance(baseline) / (customers * smallest_effect**2) if customers else math.inf
    enough = product <= LARGEST_SHARE**2
    share = (1 - math.sqrt(1 - 4 * product)) / 2 if enough else LARGEST_SHARE
    held_out = min(customers - 1, math.ceil(customers * share)) if customers > 1 else 0
    share = min(LARGEST_SHARE, held_out / customers) if customers else LARGEST_SHARE
    detectable = detectable_difference(customers - held_out, held_out, baseline, significance=significance, power=power)
    sentence = _sentence(customers, share, detectable, smallest_effect, enough)
    return Advice(customers, share, detectable, enough, sentence)


def _variance(baseline: float) -> float:
    """Of a rate; a rate of exactly 0 or 1 is taken as one in a thousand away, else nothing would look certain."""
    rate = min(max(baseline, 0.001), 0.999)
    return rate * (1 - rate)


def _sentence(customers: int, share: float, detectable: float, smallest_effect: float, enough: bool) -> str:
    if enough:
        return f"Hold out {share:.1%} of {customers:,} customers to see a difference of {_points(smallest_effect)}."
    if math.isinf(detectable):
        return f"{customers:,} customers are too few for any hold-out."
    return (
        f"{customers:,} customers are too few to see {_points(smallest_effect)} even with half of them held out "
        f"(smallest visible: {_points(detectable)}); measure over several days or expect less certainty."
    )


def _points(difference: float) -> str:
    return f"{100 * difference:.1f} percentage points"
