"""Each statistic against SciPy, a published value or a law."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from deft_experiments import paper_results, statistics


@pytest.mark.parametrize(("k", "n"), [(0, 10), (8, 10), (10, 10), (37, 200)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    ours = statistics.wilson(k, n)
    theirs = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_published() -> None:
    interval = statistics.wilson(8, 10)  # tables of Wilson intervals: 0.49-0.94
    assert (round(interval.low, 2), round(interval.high, 2)) == (0.49, 0.94)


def test_t_interval_is_scipys() -> None:
    x = np.random.default_rng(0).normal(size=12)
    ours = statistics.t_interval(x, 0.9)
    theirs = stats.ttest_1samp(x, 0).confidence_interval(0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert statistics.t_interval([0.5]).high == np.inf


def test_bootstrap_agrees_with_scipy_and_repeats() -> None:
    x = np.random.default_rng(1).random(20)
    a = statistics.bootstrap(x, np.random.default_rng(2), resamples=20_000)
    assert a == statistics.bootstrap(x, np.random.default_rng(2), resamples=20_000)
    theirs = stats.bootstrap(
        (x,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(3)
    ).confidence_interval
    assert a.estimate == pytest.approx(x.mean())
    assert (a.low, a.high) == pytest.approx((theirs.low, theirs.high), abs=5e-3)


def test_bootstrap_covers() -> None:
    g = np.random.default_rng(4)
    hits = 0
    for _ in range(300):
        i = statistics.bootstrap(g.random(20), g, resamples=300)
        hits += i.low <= 0.5 <= i.high
    assert 0.87 <= hits / 300 <= 0.99


def test_bootstrap_keeps_rows_together() -> None:
    g = np.random.default_rng(5)
    noise = g.normal(size=(30, 1)) * 10
    pairs = np.hstack([noise, noise + 1.0])

    def difference(x: np.ndarray) -> np.ndarray:
        return (x[..., 1] - x[..., 0]).mean(axis=1)

    i = statistics.bootstrap(pairs, g, statistic=difference)
    assert (i.low, i.high) == pytest.approx((1.0, 1.0))


def test_stratified_bootstrap_resamples_within_strata() -> None:
    g = np.random.default_rng(6)
    i = statistics.stratified_bootstrap([[0.0] * 9, [1.0] * 3], g)
    assert (i.estimate, i.low, i.high) == (0.5, 0.5, 0.5)
    one = g.random(25)
    alone = statistics.stratified_bootstrap([one], np.random.default_rng(0))
    assert alone == statistics.bootstrap(one, np.random.default_rng(0))


def test_fisher_published() -> None:
    assert statistics.fisher(8, 10, 4, 10) == pytest.approx(0.17, abs=5e-3)
    assert f"{statistics.fisher(44, 60, 18, 60):.0e}" == "4e-06"  # the same place: table 2, pooled


def test_paired_is_scipys_and_pairing_saves_variance() -> None:
    g = np.random.default_rng(7)
    scene = g.normal(size=20)
    a, b = scene + 0.3 + 0.1 * g.normal(size=20), scene + 0.1 * g.normal(size=20)
    ours = statistics.paired(a, b)
    theirs = stats.ttest_rel(a, b)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.difference.estimate == pytest.approx(np.mean(a - b))
    assert (ours.difference.low, ours.difference.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert ours.variance_saved > 0.9
    assert statistics.paired(a, a).p == 1.0
    assert statistics.paired(a, a).improved == 0.5


def test_beta_binomial_without_spread_is_the_binomial_test() -> None:
    g = np.random.default_rng(8)
    rates = g.binomial(2000, 0.6, size=400) / 2000  # nothing but binomial noise between seeds
    for k in (3, 6, 9):
        expected = stats.binomtest(k, 10, rates.mean()).pvalue
        assert statistics.beta_binomial_p(rates, 2000, k) == pytest.approx(expected, abs=0.02)


def test_beta_binomial_is_calibrated_over_seeds() -> None:
    g = np.random.default_rng(9)
    small = []
    for _ in range(300):
        seeds = g.beta(3, 2, size=20)
        rates = g.binomial(20, seeds) / 20
        k = int(g.binomial(10, g.beta(3, 2)))
        small.append(statistics.beta_binomial_p(rates, 20, k) <= 0.05)
    assert np.mean(small) <= 0.09
    wide = statistics.beta_binomial_p(np.tile([0.0, 1.0], 10), 20, 0)
    narrow = statistics.beta_binomial_p(np.full(20, 0.5), 20, 0)
    assert wide > 0.4 > 0.01 > narrow


def test_beta_binomial_at_the_ends() -> None:
    assert statistics.beta_binomial_p([1.0] * 5, 20, 10) == pytest.approx(1.0)
    assert 0.0 < statistics.beta_binomial_p([0.0] * 5, 20, 1) < 0.2


def test_holm_published() -> None:
    # Holm (1979) as worked out in R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]).max() <= 1.0


def test_iqm_is_the_trimmed_mean() -> None:
    x = np.random.default_rng(10).random((3, 20))
    expected = np.sort(x, axis=1)[:, 5:15].mean(axis=1)
    np.testing.assert_allclose(statistics.iqm(x), expected)


def test_expected_running_time_charges_censored_runs() -> None:
    assert statistics.expected_running_time([10, 30, 20], [True, False, True]) == 30.0
    assert statistics.expected_running_time([30, 30], [False, False]) == float("inf")


def test_area_under_curve() -> None:
    assert statistics.area_under_curve([10, 20, 30], [0.0, 0.2, 0.8]) == pytest.approx((0.1 + 0.5) / 2)
    with pytest.raises(ValueError, match="increasing"):
        statistics.area_under_curve([10, 10], [0.0, 1.0])


@pytest.mark.parametrize(
    "call",
    [
        lambda: statistics.wilson(3, 0),
        lambda: statistics.wilson(4, 3),
        lambda: statistics.t_interval([]),
        lambda: statistics.bootstrap([np.nan], np.random.default_rng(0)),
        lambda: statistics.paired([0.1], [0.2]),
        lambda: statistics.beta_binomial_p([0.5], 20, 11),
        lambda: statistics.fisher(1, 0, 1, 2),
    ],
)
def test_bad_input(call: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        call()  # type: ignore[operator]


def test_paper_pooled_counts() -> None:
    """Table 2 of the paper: 44 of 60 for DEFT against 18 of 60 for affordance only, on the training objects."""

    def pooled(row: str) -> int:
        return sum(cell.successes("train") for cell in paper_results.TABLE_2[row].values())

    assert (pooled("DEFT"), pooled("Affordance only")) == (44, 18)
    for task, cell in paper_results.TABLE_3["DEFT"].items():
        assert cell == paper_results.TABLE_2["DEFT"][task]
    for task, curves in paper_results.FIGURE_6.items():
        assert curves["DEFT"][-1] == paper_results.TABLE_2["DEFT"][task].train
        assert curves["Real-world only"][-1] == paper_results.TABLE_2["Real-world only"][task].train
