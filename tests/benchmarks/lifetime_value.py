"""Time and memory of the lifetime models, beside ``lifetimes`` where the ``bench`` extra is installed.

Run ``python tests/benchmarks/lifetime_value.py`` (about a minute; ``--quick`` leaves the 2.5 million customers out).
All CDNOW numbers are fits of the 23,570 customers, one row each, best of several runs in this process. Times are
processor seconds, so that other work on the machine does not count; with OMP_NUM_THREADS=1 no idle BLAS thread spins.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))

from tasks.features.lifetime_value import fit_bg_nbd, fit_gamma_gamma, fit_mbg_nbd, fit_pareto_nbd

DATA = Path(__file__).parents[1] / "features" / "data"
CUSTOMERS = 2_500_000


def seconds(work, times):
    best, result = np.inf, None
    for _ in range(times):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def report(what, measured, rival=None):
    beside = f"  lifetimes {rival:8.3f} s  {rival / measured:6.1f} times as long" if rival else ""
    print(f"{what:<58}{measured:9.3f} s{beside}", flush=True)


def cdnow():
    rows = pd.read_csv(DATA / "cdnow_full.csv")
    everyone = rows.loc[rows.index.repeat(rows.customers)].sample(frac=1, random_state=0)
    return (everyone.frequency.to_numpy(), everyone.recency_days.to_numpy() / 7, everyone.age_days.to_numpy() / 7)


def beside_lifetimes():
    histories = cdnow()
    pairs = [("BG/NBD", fit_bg_nbd, "BetaGeoFitter"), ("MBG/NBD", fit_mbg_nbd, "ModifiedBetaGeoFitter")]
    pairs.append(("Pareto/NBD", fit_pareto_nbd, "ParetoNBDFitter"))
    for name, fit, fitter in pairs:
        ours, model = seconds(lambda fit=fit: fit(*histories), 5)
        predict, _ = seconds(lambda model=model: model.expected_purchases(39, *histories), 3)
        theirs, their_predict = rival(fitter, histories)
        report(f"{name}: fit 23,570 customers of CDNOW", ours, theirs)
        report(f"{name}: expected purchases in 39 weeks", predict, their_predict)
    spend = pd.read_csv(DATA / "cdnow_sample_spend.csv")
    value = spend.repeat_value / spend.frequency
    ours, _ = seconds(lambda: fit_gamma_gamma(spend.frequency, value), 5)
    theirs, _ = rival("GammaGammaFitter", (spend.frequency, value))
    report("Gamma-Gamma: fit 946 repeaters of the CDNOW sample", ours, theirs)


def rival(fitter, columns):
    """Fit and prediction times of ``lifetimes``, or nothing without it."""
    try:
        import lifetimes
    except ImportError:
        return None, None
    with np.errstate(all="ignore"):
        fit, model = seconds(lambda: getattr(lifetimes, fitter)().fit(*columns), 1)
        if fitter == "GammaGammaFitter":
            return fit, None
        predict = model.conditional_expected_number_of_purchases_up_to_time
        return fit, seconds(lambda: predict(39, *columns), 1)[0]


def a_large_shop():
    """2.5 million customers over two years, in days."""
    rng = np.random.default_rng(0)
    age = rng.integers(1, 731, CUSTOMERS).astype(float)
    alive = np.minimum(age, rng.exponential(1 / rng.gamma(0.6, 1 / 80, CUSTOMERS)))
    frequency = rng.poisson(rng.gamma(0.55, 1 / 74, CUSTOMERS) * alive).astype(float)
    recency = np.where(frequency > 0, np.ceil(alive * rng.beta(np.maximum(frequency, 1), 1)), 0)
    purchases = np.maximum(frequency, 1)
    value = np.round(rng.gamma(6 * purchases, 1 / rng.gamma(4, 1 / 15, CUSTOMERS)) / purchases, 2) + 0.01
    return (frequency, recency, age), value


def large():
    histories, value = a_large_shop()
    rows = len(pd.DataFrame(np.array(histories).T).drop_duplicates())
    print(f"{CUSTOMERS:,} customers, {rows:,} distinct histories, most purchases {histories[0].max():.0f}")
    before = peak_megabytes()
    for name, fit in (("BG/NBD", fit_bg_nbd), ("Pareto/NBD", fit_pareto_nbd)):
        fitting, model = seconds(lambda fit=fit: fit(*histories), 1)
        report(f"{name}: fit", fitting)
        report(f"{name}: P(alive)", seconds(lambda model=model: model.alive_probability(*histories), 1)[0])
        report(f"{name}: purchases in 365 days", seconds(lambda m=model: m.expected_purchases(365, *histories), 1)[0])
    fitting, spend = seconds(lambda: fit_gamma_gamma(histories[0], value), 1)
    report("Gamma-Gamma: fit", fitting)
    report("Gamma-Gamma: expected spend", seconds(lambda: spend.expected_spend(histories[0], value), 1)[0])
    print(f"peak memory beyond data and libraries: {peak_megabytes() - before:.0f} MB")


def peak_megabytes():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    beside_lifetimes()
    if "--quick" not in sys.argv:
        large()
