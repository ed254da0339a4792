from collections.abc import Sequence

import numpy as np
import pytest
from plain_greedy import learned_library, plain_greedy, random_library

from raysearch.ensemble.selection import Candidates, select_greedy, select_uniform

ROUNDS = 12


class MadeOnAccess(Sequence[np.ndarray]):
    def __init__(self, probs: Sequence[np.ndarray]) -> None:
        self.probs = probs

    def __len__(self) -> int:
        return len(self.probs)

    def __getitem__(self, index):
        return self.probs[index].copy()


def memory_mapped(probs, folder):
    for number, candidate in enumerate(probs):
        np.save(folder / f"{number}.npy", candidate)
    return [np.load(folder / f"{number}.npy", mmap_mode="r") for number in range(len(probs))]


@pytest.mark.parametrize(
    "given",
    [
        lambda probs, folder: tuple(probs),
        lambda probs, folder: np.stack(probs),
        lambda probs, folder: [np.asfortranarray(p) for p in probs],
        lambda probs, folder: list(np.stack(probs, axis=2).transpose(2, 0, 1)),
        lambda probs, folder: MadeOnAccess(probs),
        memory_mapped,
    ],
    ids=["tuple", "one block", "columns first", "strided", "made on access", "memory-mapped"],
)
def test_picks_do_not_depend_on_how_probabilities_lie_in_memory(given, tmp_path):
    probs, labels = learned_library(2, 9, 150, 6)
    assert list(select_greedy(given(probs, tmp_path), labels, ROUNDS).picks) == plain_greedy(probs, labels, ROUNDS)[0]


def test_candidates_of_mixed_precision_are_compared_exactly():
    probs, labels = learned_library(3, 9, 150, 6)
    mixed = [p.astype(dtype) for p, dtype in zip(probs, [np.float16, np.float32, np.float64] * 3, strict=True)]
    assert list(select_greedy(mixed, labels, ROUNDS).picks) == plain_greedy(mixed, labels, ROUNDS)[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_type_select_the_same(dtype):
    probs, labels = learned_library(4, 5, 80, 4)
    assert select_greedy(probs, labels.astype(dtype), ROUNDS).picks == select_greedy(probs, labels, ROUNDS).picks


def test_summarized_samples_select_as_their_copies_do():
    rng = np.random.default_rng(0)
    for seed in range(100):
        probs, labels = random_library(seed, candidates=12, samples=60)
        rows = rng.integers(len(labels), size=1 + len(labels) // 2)
        part = Candidates.from_probs(probs, labels).with_samples(rows)
        copies = [p[rows] for p in probs]
        assert (
            select_greedy(part, labels[rows], ROUNDS).trajectory
            == select_greedy(copies, labels[rows], ROUNDS).trajectory
        )
        assert select_greedy(part, labels[rows], ROUNDS).picks == select_greedy(copies, labels[rows], ROUNDS).picks
        assert select_uniform(part, labels[rows], 3).picks == select_uniform(copies, labels[rows], 3).picks
        assert all(np.array_equal(a, b) for a, b in zip(part, copies, strict=True))


def test_some_candidates_of_some_samples_select_as_their_copies_do():
    probs, labels = learned_library(5, 10, 120, 4)
    rows, members = np.arange(0, 120, 2), np.array([7, 1, 4])
    part = Candidates.from_probs(probs, labels).only(members).with_samples(rows)
    copies = [probs[member][rows] for member in members]
    assert len(part) == 3
    assert select_greedy(part, labels[rows], ROUNDS).picks == select_greedy(copies, labels[rows], ROUNDS).picks
    narrower = part.only(np.array([2, 0])).with_samples(np.arange(5))
    assert all(np.array_equal(a, b) for a, b in zip(narrower, [copies[2][:5], copies[0][:5]], strict=True))


def test_a_summary_of_other_labels_is_refused():
    probs, labels = learned_library(6, 3, 20, 4)
    with pytest.raises(AssertionError, match="labels"):
        select_greedy(Candidates.from_probs(probs, labels), (labels + 1) % 4, ROUNDS)


def test_most_samples_are_never_summed_in_full(monkeypatch):
    probs, labels = learned_library(7, 8, 4000, 20)
    read = []
    take = Candidates.take

    def counting(self, candidate, samples):
        read.append(len(samples))
        return take(self, candidate, samples)

    monkeypatch.setattr(Candidates, "take", counting)
    select_greedy(probs, labels, 50)
    assert sum(read) < 0.1 * 50 * len(probs) * len(labels)
