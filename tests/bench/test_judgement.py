"""The benchmark's verdict: from the rounds' ratios, for a process that is up, about the peer only with it."""

from __future__ import annotations

import pytest
from tests.bench.judgement import Round, Sample, judge, median, speedup_of


def _sample(seconds: float, cpu: float = 1.0) -> Sample:
    return Sample(seconds, cpu, 100.0)


def _rounds(*rounds: tuple[float | None, float], cpu: float = 1.0) -> dict[str, list[Round]]:
    """A plan's rounds of the peer's and our elapsed time; the cold process takes a hundred times as long."""
    return {
        "plan": [
            Round(None if peer is None else _sample(peer), _sample(up, cpu), _sample(100 * up, 100 * cpu))
            for peer, up in rounds
        ]
    }


@pytest.mark.parametrize(("peer", "is_kept"), [(5.0, True), (4.99, False)])
def test_the_speedup_is_promised_from_five_times_on(peer, is_kept):
    speedup, _ = judge(_rounds((peer, 1.0)), _rounds((None, 5.0)))
    assert (speedup.measured, speedup.is_kept) == (peer, is_kept)


@pytest.mark.parametrize(("cpu", "is_kept"), [(6.0, True), (6.01, False)])
def test_growth_is_promised_up_to_six_times_the_processor_time(cpu, is_kept):
    _, growth = judge(_rounds((9.0, 1.0)), _rounds((None, 1.0), cpu=cpu))
    assert (growth.measured, growth.is_kept) == (cpu, is_kept)


def test_the_median_of_the_rounds_ratios_counts_and_not_the_ratio_of_medians():
    rounds = _rounds((10.0, 1.0), (40.0, 2.0), (10.0, 5.0))
    assert judge(rounds, _rounds(*[(None, 1.0)] * 3))[0].measured == 10.0
    assert speedup_of(rounds["plan"], lambda found: found.cold) == pytest.approx(0.1)


def test_without_the_peer_there_is_no_ratio_and_growth_alone_is_judged():
    promises = judge(_rounds((None, 1.0)), _rounds((None, 5.0), cpu=5.0))
    assert [(promise.measured, promise.is_kept) for promise in promises] == [(5.0, True)]


def test_rounds_that_do_not_pair_up_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        judge(_rounds((9.0, 1.0)), _rounds((None, 1.0), (None, 1.0)))


def test_the_median_is_that_of_each_quantity_by_itself():
    samples = [Sample(1, 9, 5, growth=2), Sample(2, 8, 4, growth=0), Sample(3, 7, 6, growth=1)]
    assert median(samples) == Sample(2, 8, 5, growth=1)
