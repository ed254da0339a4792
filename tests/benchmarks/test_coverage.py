"""The simulation of what an ensemble's intervals cover: its generator, its count, and two small cells."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.coverage import (
    Cell,
    Coverage,
    Kind,
    Readings,
    draw_probs,
    format_table,
    measure,
    read_or_simulate,
    simulate,
)

SMALL = Cell("correlated", samples=60, classes=2)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_candidates_have_the_accuracy_of_their_level(classes: int) -> None:
    labels = np.arange(20_000) % classes
    kind = Kind((0.3, 0.6), shared=0.5, of_trial=0.3, views=2)
    probs = draw_probs(kind, labels, classes, np.random.default_rng(0))
    accuracies = (probs.argmax(axis=2) == labels).mean(axis=1)
    chance = 1 / classes
    assert accuracies == pytest.approx([chance + (1 - chance) * level for level in (0.3, 0.3, 0.6, 0.6)], abs=0.015)


def test_candidates_share_their_errors_as_the_kind_says() -> None:
    labels = np.zeros(20_000, dtype=int)
    kind = Kind((0.5, 0.5), shared=0.3, of_trial=0.6, views=2)
    logs = np.log(draw_probs(kind, labels, 2, np.random.default_rng(0)))
    correlations = np.corrcoef(logs[..., 0] - logs[..., 1])
    assert correlations[0, 1] == pytest.approx(0.9, abs=0.02)  # views of one trial
    assert correlations[0, 2] == pytest.approx(0.3, abs=0.02)


def test_an_interval_covers_its_own_target_only() -> None:
    """Ensemble 80 %, single 50 % and plain mean 50 % of 400 samples: both intervals of gains have a width."""
    hits = np.zeros((1, 3, 4, 400), dtype=np.int8)
    hits[:, 0, :, :320] = hits[:, 1, :, 100:300] = hits[:, 2, :, 150:350] = 1

    def cover(*true: float) -> tuple[float, float, float]:
        found = measure(Readings(hits, np.array([true]), folds=5))
        return found.accuracy, found.gain, found.mean_gain

    assert cover(0.8, 0.5, 0.5) == (1, 1, 1)
    assert cover(0.7, 0.4, 0.4) == (0, 1, 1)
    assert cover(0.8, 0.3, 0.3) == (1, 0, 1)
    assert cover(0.8, 0.5, 0.7) == (1, 1, 0)


def test_the_target_is_the_true_accuracy_of_what_was_selected_on_all_samples() -> None:
    readings = simulate(Cell("dominant", samples=60, classes=2), range(1, 4), fresh=20_000)
    ensemble, single, mean = readings.true.T
    assert readings.hits.shape == (3, 3, 4, 60)
    assert set(np.round(single, 2)) <= {0.75, 0.85}, "one of the candidates, at its level"
    assert len(set(mean)) == 1, "all twelve candidates in every library"
    assert (ensemble != single).any()


def test_a_later_run_adds_only_the_missing_libraries(tmp_path: Path) -> None:
    read_or_simulate(SMALL, tmp_path, 1)
    longer = read_or_simulate(SMALL, tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["correlated-60-2.npz"]
    at_once = read_or_simulate(SMALL, tmp_path / "other", 2)
    np.testing.assert_array_equal(longer.hits, at_once.hits)
    np.testing.assert_array_equal(longer.true, at_once.true)
    assert len(read_or_simulate(SMALL, tmp_path, 1).true) == 2


@pytest.mark.parametrize("kind", ["equal", "views"])
def test_the_intervals_usually_cover_the_truth(kind: str) -> None:
    coverage = measure(simulate(Cell(kind, samples=100, classes=2), range(1, 13), fresh=10_000))
    assert min(coverage.accuracy, coverage.gain, coverage.mean_gain) >= 0.75
    assert abs(coverage.bias) < 0.04


def test_the_table_has_a_row_for_each_kind_and_number_of_samples_and_one_for_all() -> None:
    found = {
        Cell("views", 200, 2): Coverage(100, 0.9, 0.95, 1.0, 0.0, 0.0),
        Cell("views", 500, 2): Coverage(300, 0.94, 0.97, 0.96, 0.0, 0.0),
    }
    assert format_table(found).splitlines()[2:] == [
        "| views | 200 | 90.0 / 95.0 / 100.0 (100) | – | – |",
        "| views | 500 | 94.0 / 97.0 / 96.0 (300) | – | – |",
        "| all | | 93.0 / 96.5 / 97.0 (400) | – | – |",
    ]
