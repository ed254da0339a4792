"""Coverage of an ensemble's two intervals, by simulation: ``python -m benchmarks.coverage FOLDER [--only KIND]``.

Every library is drawn from a generator with known truth and goes through the shipped greedy recipe: selection on all
samples, five folds, four partitions, 1000 resamples. What the intervals must cover:

- the interval of the accuracy: the accuracy on fresh samples of the ensemble that was selected on *all* samples of this
  library;
- the interval of the gain: that accuracy minus the accuracy on fresh samples of the best single candidate, which was
  selected on all samples of this library;
- the interval of the plain mean's gain: the same for the plain mean of the best candidates.

Truth is thus a property of one selection, not a mean over libraries. It is measured on `FRESH` samples of the same
generator. The logits of a candidate are the signal of the label plus Gaussian noise. One part of the noise is shared by
all candidates, one by the views of a trial, and the rest is the candidate's own.

FOLDER keeps the results of the cross-fits, one file for each cell. A later run simulates only libraries that are not
stored yet, and computes all intervals again. Seeds are fixed, so a cell has the same libraries in every run. The table
gives the shares of the intervals that cover their target, in percent: accuracy / gain / gain of the plain mean (number
of libraries).
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from raysearch.ensemble.comparison import BASELINE_MEAN, ENSEMBLE, SINGLE, cross_fit_recipe
from raysearch.ensemble.estimate import usable_folds
from raysearch.ensemble.intervals import bootstrap_gain, share_interval
from raysearch.ensemble.methods import BoundRecipe
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.selection import Candidates

RECIPE = Recipe()
SELECTORS = (ENSEMBLE, SINGLE, BASELINE_MEAN)
SAMPLES = (200, 500, 1000)
CLASSES = (2, 10, 100)
LIBRARIES = 200
FRESH = 50_000
SHARPNESS = 1.5
"""Factor of all logits; greater values make the candidates more confident"""
_ROWS = 5000
"""Samples per block of the fresh sample"""


@dataclass(frozen=True)
class Kind:
    """How good the candidates of a library are, and how much of their noise they share."""

    levels: tuple[float, ...]
    """True accuracy of each trial, from chance (0) to all correct (1)"""
    shared: float
    """Share of the noise's variance that all candidates have in common"""
    of_trial: float = 0.0
    """Share that the views of one trial have in common"""
    views: int = 1


KINDS = {
    "equal": Kind((0.6,) * 12, shared=0.75),
    "spread": Kind(tuple(np.linspace(0.45, 0.65, 12)), shared=0.75),
    "dominant": Kind((0.7,) + (0.5,) * 11, shared=0.75),
    "correlated": Kind((0.6,) * 12, shared=0.95),
    "views": Kind(tuple(np.linspace(0.55, 0.65, 6)), shared=0.7, of_trial=0.25, views=4),
}


@dataclass(frozen=True)
class Cell:
    """One cell of the table."""

    kind: str
    samples: int
    classes: int

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.samples}-{self.classes}"

    def rng(self, stream: int) -> np.random.Generator:
        """A generator of its own for each library; the stream 0 is the fresh sample."""
        return np.random.default_rng([list(KINDS).index(self.kind), self.samples, self.classes, stream])


@dataclass(frozen=True)
class Readings:
    """Cross-fitted results and true accuracies of the libraries of one cell."""

    hits: np.ndarray
    """int8 [libraries, selectors, partitions, samples]: 1 where the prediction is correct"""
    true: np.ndarray
    """float64 [libraries, selectors]: accuracy of each selector's choice on the fresh samples"""
    folds: int


@dataclass(frozen=True)
class Coverage:
    """Shares of the libraries whose intervals cover their targets, and mean errors of the figures."""

    libraries: int
    accuracy: float
    gain: float
    mean_gain: float
    bias: float
    """Cross-fitted accuracy minus true accuracy"""
    gain_bias: float


@cache
def find_signals(levels: tuple[float, ...], classes: int) -> np.ndarray:
    """float64 [trials]: the label's signal that gives each level of accuracy with unit noise in every class."""
    rng = np.random.default_rng(0)
    rival = rng.normal(size=(100_000, classes - 1)).max(axis=1) - rng.normal(size=100_000)
    chance = 1 / classes
    return np.quantile(rival, chance + (1 - chance) * np.asarray(levels))


def draw_probs(kind: Kind, labels: np.ndarray, classes: int, rng: np.random.Generator) -> np.ndarray:
    """float32 [candidates, samples, classes]: a library's probabilities."""

    def draw(share: float) -> np.ndarray:
        return np.float32(np.sqrt(share)) * rng.standard_normal((len(labels), classes), dtype=np.float32)

    own = 1 - kind.shared - kind.of_trial
    common = draw(kind.shared)
    probs = []
    for signal in find_signals(kind.levels, classes):
        of_trial = common + draw(kind.of_trial) if kind.of_trial else common
        for _ in range(kind.views):
            logits = of_trial + draw(own)
            logits[np.arange(len(labels)), labels] += np.float32(signal)
            powers = np.exp(SHARPNESS * (logits - logits.max(axis=1, keepdims=True)))
            probs.append(powers / powers.sum(axis=1, keepdims=True))
    return np.stack(probs)


def simulate(cell: Cell, numbers: range, fresh: int = FRESH) -> Readings:
    """Draw the cell's libraries of these ``numbers``, counted from 1, and put each through the recipe."""
    kind, bound, rng = KINDS[cell.kind], BoundRecipe(RECIPE), cell.rng(0)
    fresh_labels = np.arange(fresh) % cell.classes
    blocks = [slice(start, start + _ROWS) for start in range(0, fresh, _ROWS)]
    fresh_probs = [draw_probs(kind, fresh_labels[block], cell.classes, rng) for block in blocks]

    @cache
    def measure_truth(weights: tuple[float, ...]) -> float:
        shares, right = np.array(weights, dtype=np.float32), 0
        for block, probs in zip(blocks, fresh_probs, strict=True):
            mean = (shares @ probs.reshape(len(probs), -1)).reshape(probs.shape[1:])
            right += int(np.count_nonzero(mean.argmax(axis=1) == fresh_labels[block]))
        return right / fresh

    hits, true = [], []
    labels = np.arange(cell.samples) % cell.classes
    for number in numbers:
        library = Candidates.from_probs(list(draw_probs(kind, labels, cell.classes, cell.rng(number))), labels)
        crossed = cross_fit_recipe(bound, library)
        best, mean = bound.weigh_best(library, 1), bound.weigh_best(library, RECIPE.best_n)
        true.append([measure_truth(tuple(weights)) for weights in (bound.select(library).weights, best, mean)])
        hits.append([crossed.outcomes[selector].hits.astype(np.int8) for selector in SELECTORS])
    return Readings(np.array(hits), np.array(true), usable_folds(labels, RECIPE.folds))


def measure(readings: Readings) -> Coverage:
    """Compute the intervals of every library as `raysearch ensemble` does, and count those that cover their target."""
    covered, errors = [], []
    for hits, (ensemble, single, mean) in zip(readings.hits.astype(np.float64), readings.true, strict=True):
        accuracy = float(hits[0].mean())
        low, high = share_interval(accuracy, hits.shape[-1])
        gain, mean_gain = (
            bootstrap_gain(
                hits[selector] - hits[1], readings.folds, RECIPE.bootstrap, np.random.default_rng(RECIPE.seed)
            )
            for selector in (0, 2)
        )
        covered.append(
            (
                low <= ensemble <= high,
                gain.low <= ensemble - single <= gain.high,
                mean_gain.low <= mean - single <= mean_gain.high,
            )
        )
        errors.append((accuracy - ensemble, gain.accuracy - (ensemble - single)))
    shares, biases = np.mean(covered, axis=0), np.mean(errors, axis=0)
    return Coverage(len(covered), *map(float, (*shares, *biases)))


def read_or_simulate(cell: Cell, folder: Path, libraries: int) -> Readings:
    """All readings that ``folder`` stores, at least ``libraries``; missing ones are simulated and stored there."""
    path = folder / f"{cell.name}.npz"
    stored = _read(path) if path.is_file() else None
    done = len(stored.true) if stored else 0
    if stored and done >= libraries:
        return stored
    readings = simulate(cell, range(done + 1, libraries + 1))
    if stored:
        hits, true = np.concatenate([stored.hits, readings.hits]), np.concatenate([stored.true, readings.true])
        readings = Readings(hits, true, stored.folds)
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{cell.name}.npz"
    np.savez_compressed(aside, hits=readings.hits, true=readings.true, folds=readings.folds)
    aside.rename(path)
    return readings


def _read(path: Path) -> Readings:
    with np.load(path) as stored:
        return Readings(stored["hits"], stored["true"], int(stored["folds"]))


def format_table(found: dict[Cell, Coverage]) -> str:
    """Markdown: a row for each kind and number of samples, and a last row for all libraries together."""
    lines = [
        f"| library | samples | {' | '.join(f'{classes} classes' for classes in CLASSES)} |",
        "|---|---:|---|---|---|",
    ]
    for kind, samples in itertools.product(KINDS, SAMPLES):
        row = [found.get(Cell(kind, samples, classes)) for classes in CLASSES]
        if any(row):
            lines.append(f"| {kind} | {samples} | {' | '.join(_format(cell) if cell else '–' for cell in row)} |")
    columns = [[of for cell, of in found.items() if cell.classes == classes] for classes in CLASSES]
    lines.append(f"| all | | {' | '.join(_format(pool(of)) if of else '–' for of in columns)} |")
    return "\n".join(lines)


def pool(found: Sequence[Coverage]) -> Coverage:
    """The coverage of the libraries of several cells together."""
    counts = [of.libraries for of in found]
    means = np.average([astuple(of)[1:] for of in found], axis=0, weights=counts)
    return Coverage(sum(counts), *map(float, means))


def _format(of: Coverage) -> str:
    shares = " / ".join(f"{100 * share:.1f}" for share in (of.accuracy, of.gain, of.mean_gain))
    return f"{shares} ({of.libraries})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=KINDS, help="only this kind of library")
    parser.add_argument(
        "--libraries", type=int, default=LIBRARIES, help=f"minimum number of libraries of a cell; default {LIBRARIES}"
    )
    arguments = parser.parse_args()
    found = {}
    for samples, classes, kind in itertools.product(SAMPLES, CLASSES, KINDS):
        if arguments.only in (None, kind):
            cell = Cell(kind, samples, classes)
            found[cell] = measure(read_or_simulate(cell, arguments.folder, arguments.libraries))
            print(cell.name, found[cell], file=sys.stderr, flush=True)
    print(format_table(found))
    everything = pool(list(found.values()))
    print(
        f"\nBias of the accuracy: {100 * everything.bias:+.2f} points; of the gain: {100 * everything.gain_bias:+.2f}."
    )


if __name__ == "__main__":
    main()
