"""The ensemble rows, on small libraries: what is made up, what a side tells, and how a race is judged."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import harness, measure
from benchmarks.measure import PeerMissing
from benchmarks.peers import MISSING, ensemble_side
from benchmarks.rows import ensemble_16_models, ensemble_from_disk, ensemble_memory, ensemble_noise, ensemble_race
from benchmarks.rows.ensemble_library import ACCURACIES, Library, softmax, with_accuracy
from benchmarks.rows.ensemble_race import Race, Side, race

SMALL = Library(models=6, samples=200, classes=10)
MB = 1_000_000


def side(seconds: float, extra: int = 0, picks: tuple[int, ...] = (1, 0), accuracy: float = 0.8) -> Side:
    return Side(seconds, extra, 0, picks, accuracy)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    SMALL.write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_models_have_the_accuracies_that_were_asked_for(tmp_path: Path, dtype: str) -> None:
    Library(5, 400, 20, dtype).write(tmp_path)
    probs, labels = np.load(tmp_path / "probs.npy"), np.load(tmp_path / "labels.npy")
    assert (probs.shape, probs.dtype) == ((5, 400, 20), dtype)
    np.testing.assert_allclose(probs.sum(axis=2, dtype=float), 1, atol=1e-2 if dtype == "float16" else 1e-5)
    accuracies = (probs.argmax(axis=2) == labels).mean(axis=1)
    np.testing.assert_allclose(np.sort(accuracies), np.linspace(*ACCURACIES, 5), atol=0.005)


def test_a_library_is_the_same_at_every_call(library: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    again = tmp_path_factory.mktemp("again")
    SMALL.write(again)
    for name in ("probs.npy", "labels.npy"):
        np.testing.assert_array_equal(np.load(library / name), np.load(again / name))


def test_one_margin_gives_a_share_of_right_samples() -> None:
    logits, labels = np.array([[1.0, 2.0], [1.0, 5.0], [1.0, 8.0], [4.0, 1.0]]), np.array([0, 0, 0, 0])
    raised = with_accuracy(logits, labels, accuracy=0.5)
    np.testing.assert_allclose(raised - logits, [[2.5, 0.0]] * 4)
    np.testing.assert_allclose(softmax(np.log([[1.0, 3.0]])), [[0.25, 0.75]])


def test_a_side_tells_its_picks_time_and_memory(library: Path) -> None:
    def select(probs: list[np.ndarray], labels: np.ndarray, rounds: int) -> list[int]:
        held = np.ones(40 * MB, dtype=np.uint8)
        return [len(probs), len(labels), rounds, int(held[0])]

    found = library / "found.npz"
    ensemble_side.run(select, str(library), str(found), "7")
    its = np.load(found)
    assert its["picks"].tolist() == [6, 200, 7, 1]
    assert its["seconds"] > 0
    assert its["peak"] >= ensemble_side.memory("VmRSS")


def test_the_peak_is_of_the_side_alone_and_counts_what_it_lets_go(tmp_path: Path) -> None:
    held_here = np.ones(300 * MB, dtype=np.uint8)
    script = (
        "import sys, numpy as np; from benchmarks.peers.ensemble_side import run;"
        f"run(lambda probs, labels, rounds: [int(np.ones({60 * MB}, np.uint8)[0])], *sys.argv[1:])"
    )
    SMALL.write(tmp_path)
    measure.alone(sys.executable, "-c", script, str(tmp_path), str(tmp_path / "found.npz"), "1")
    its = np.load(tmp_path / "found.npz")
    assert 55 * MB < its["extra"] < 75 * MB
    assert its["extra"] < its["peak"] < len(held_here)


def test_a_peer_that_cannot_be_imported_leaves_the_row_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: object) -> None:
        raise subprocess.CalledProcessError(MISSING, "script")

    (tmp_path / ".installed").touch()
    monkeypatch.setattr(measure, "PEERS_VENV", tmp_path)
    monkeypatch.setattr(measure, "alone", failing)
    with pytest.raises(PeerMissing, match=r"script\.py cannot import"):
        measure.peer("script.py")


@pytest.mark.parametrize("script", ensemble_race.PEERS.values())
def test_a_script_without_its_peer_says_so(script: str, library: Path) -> None:
    """The peers are in no environment that tests run in."""
    path = measure.HERE / "peers" / script
    with pytest.raises(subprocess.CalledProcessError) as failed:
        measure.alone(sys.executable, str(path), str(library), str(library / "found.npz"), "5")
    assert failed.value.returncode == MISSING


def race_against_itself(monkeypatch: pytest.MonkeyPatch, missing: str = "") -> None:
    """Our side plays the peers, of which one may be missing."""

    def peer_side(script: str, folder: Path, rounds: int) -> Side:
        if script == missing:
            raise PeerMissing(f"{script} is missing")
        return ensemble_race.our_side(folder, rounds)

    monkeypatch.setattr(ensemble_race, "peer_side", peer_side)
    race.cache_clear()


@pytest.mark.slow
def test_a_race_runs_ours_around_every_peer_and_once_for_two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    race_against_itself(monkeypatch)
    monkeypatch.setattr(ensemble_16_models, "LIBRARY", SMALL)
    monkeypatch.setattr(ensemble_memory, "LIBRARIES", [SMALL])
    measured = ensemble_16_models.measure()
    assert measured.ratio > 0
    assert "ours 4 times" in measured.note
    assert all(name in measured.note for name in ensemble_race.PEERS)
    monkeypatch.setattr(ensemble_race, "our_side", lambda *args: pytest.fail("ran again"))
    assert abs(ensemble_memory.measure().ratio) < 100
    race.cache_clear()


def test_the_selection_from_disk_is_ours_with_its_peak_in_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble_from_disk, "LIBRARY", Library(6, 200, 10, "float16"))
    measured = ensemble_from_disk.measure()
    assert 0.02 < measured.ratio < 1
    assert measured.ours == f"{measured.ratio:.2f} GB"


def test_the_noise_row_is_judged_by_its_worst_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble_noise, "SHAPES", ((3, 10, 4), (4, 10, 3)))
    seconds = iter([([2.0], [1.0]), ([1.0], [3.0])])
    monkeypatch.setattr(ensemble_noise, "paired", lambda ours, plain, pairs: next(seconds))
    measured = ensemble_noise.measure()
    assert (measured.ratio, measured.ours, measured.peer) == (0.5, "2000 ms", "1000 ms")
    assert measured.note == "3 x 10 x 4: 0.50, 4 x 10 x 3: 3.00"


def test_the_ratio_is_that_to_the_fastest_peer() -> None:
    ours = (side(0.1), side(0.2), side(0.3))
    measured = Race(ours, {"slow": side(9.0), "quick": side(6.0)}, {}).speedup()
    assert measured.ratio == pytest.approx(30)
    assert (measured.ours, measured.peer) == ("200 ms", "6000 ms (quick)")
    assert "slow 9.0 s" in measured.note


def test_a_row_with_a_peer_missing_is_open_and_tells_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    without = Race((side(0.1),), {"quick": side(6.0)}, {"slow": "slow cannot be imported"})
    monkeypatch.setattr(ensemble_16_models, "race", lambda library: without)
    outcome = harness.run_row("ensemble_16_models", ensemble_16_models.__name__)
    assert outcome.ok is None
    assert "slow cannot be imported" in outcome.reason
    assert "quick 6.0 s" in outcome.reason


def test_memory_is_judged_by_the_worst_library_against_the_most_modest_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    frugal = Race((side(1, 50 * MB),), {"a": side(1, 20 * MB), "b": side(1, 90 * MB)}, {})
    hungry = Race((side(1, 70 * MB), side(1, 400 * MB)), {"a": side(1, 270 * MB)}, {})
    races = {16: frugal, 200: hungry, 1000: frugal}
    monkeypatch.setattr(ensemble_memory, "race", lambda library: races[library.models])
    measured = ensemble_memory.measure()
    assert (measured.ratio, measured.ours, measured.peer) == (130, "400 MB", "270 MB")
    assert "50 against 20, 400 against 270" in measured.note
    assert harness.Outcome("row", ensemble_memory.BOUND, ensemble_memory.IS_AT_MOST, measured).ok is False


@pytest.mark.parametrize(
    ("theirs", "complaint"),
    [
        (side(1, picks=(0, 1)), "another best single model"),
        (side(1, picks=(1,)), "1 picks in 2 rounds"),
        (side(1, accuracy=0.7), "0.7 against our 0.8"),
    ],
)
def test_sides_that_did_not_do_the_same_are_not_timed(
    monkeypatch: pytest.MonkeyPatch, theirs: Side, complaint: str
) -> None:
    monkeypatch.setattr(ensemble_race, "our_side", lambda *args: side(1))
    monkeypatch.setattr(ensemble_race, "peer_side", lambda *args: theirs)
    race.cache_clear()
    with pytest.raises(AssertionError, match=complaint):
        race(SMALL, rounds=2)


def test_accuracy_counts_every_pick(library: Path) -> None:
    probs, labels = np.load(library / "probs.npy").astype(np.float64), np.load(library / "labels.npy")
    expected = ((2 * probs[0] + probs[3]).argmax(axis=1) == labels).mean()
    assert ensemble_race.accuracy_of((0, 3, 0), library) == expected
