"""The rounds of a fit, done by the search, the ensemble selection, the export and the report."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.recipe import read_recipe
from raysearch.ensemble.results import Ensemble, read_ensemble, write_ensemble
from raysearch.errors import StudyError
from raysearch.export.write import Refitting, export_set
from raysearch.fit.layout import Division, Facts, Round, Times
from raysearch.fit.space import add_round, with_timeout, write_space
from raysearch.io import display_path, replace_folder
from raysearch.paths import FitPaths, SetPaths, StudyPaths
from raysearch.report.page import write_report
from raysearch.report.reading import read_study
from raysearch.shipped import find_file
from raysearch.space import Space
from raysearch.train.result import read_metrics, read_result
from raysearch.tune.refit import refit_ensemble
from raysearch.tune.search import SearchOptions, search

RECIPE = "greedy"
REFIT_HELD_OUT = 2
"""Images of each class that a refit leaves out; the set is verified on them."""


@dataclass
class StudyWork:
    """Runs rounds in the study of a fit (`raysearch.fit.driver.Work`)."""

    paths: FitPaths
    template: Space
    space: Space
    """With every trial that has been begun"""
    facts: Facts
    division: Division
    address: str | None
    quiet: bool
    say: Callable[[str], None]

    @property
    def done(self) -> Sequence[int]:
        """For each ended trial, the images that one of its networks has seen in training."""
        train = self.division.count_train(self.facts)
        return [train * result["epochs_done"] // self.division.trainings for result in self._ended().values()]

    def _ended(self) -> dict[int, dict[str, Any]]:
        """The results of the ended trials by number, without failed ones."""
        results = {n: result for n, folder in self.paths.study.trials() if (result := read_result(folder))}
        return {n: result for n, result in results.items() if result["state"] != "FAIL"}

    @property
    def is_exported(self) -> bool:
        """Whether the set is newer than every ended trial. It is not if the fit was killed before its export."""
        manifest = SetPaths(self.paths.set).manifest
        if not manifest.is_file():
            return not self.done
        ended = (self.paths.study.trial(number).result.stat().st_mtime_ns for number in self._ended())
        return manifest.stat().st_mtime_ns > max(ended, default=0)

    def run_round(self, round_: Round, time_left_s: float) -> Times | None:
        """Begin the round's trials, or resume those that were begun, and train them."""
        before, began = self._ended(), time.monotonic()
        if len(self.space.search.first) <= len(before):
            passes = round_.epochs * self.division.count_train(self.facts)
            self.space = add_round(self.space, round_, self.template, passes)
        self.space = with_timeout(self.space, time_left_s)
        write_space(self.paths, self.space)
        options = SearchOptions(
            self.paths.root, resume=self.paths.study.study.exists(), address=self.address, quiet=self.quiet
        )
        search(self.space, options, where=display_path(self.paths.space))
        ended = self._ended()
        if len(ended) < len(self.space.search.first):
            return None
        return self._measure([number for number in ended if number not in before], time.monotonic() - began)

    def _measure(self, trials: Sequence[int], seconds: float) -> Times:
        """The times of a round that took ``seconds``."""
        folders = [folder for number in trials for folder in self.paths.study.trial(number).trainings]
        spent = [(lines[-1]["seconds"], lines[-1]["epoch"]) for folder in folders if (lines := read_metrics(folder))]
        waves = -(-len(spent) // self.facts.slots)
        image_s = median(s / epochs for s, epochs in spent) / self.division.count_train(self.facts)
        start_s = seconds / waves - sum(s for s, _ in spent) / len(spent)
        return Times(image_s, max(0.5, start_s), 0.0)

    def finish(self) -> None:
        """Select, export in place of the set so far, verify, and report."""
        ensemble = build_ensemble(self.paths.study, read_recipe(find_file("ensembles", RECIPE)))
        write_ensemble(self.paths.study.ensemble(ensemble.name), ensemble)
        self._export()
        write_report(read_study(self.paths.study.root))
        if not self.quiet:
            self.say(f"{display_path(self.paths.set)}: verified; {describe(ensemble)}")

    def _export(self, refit: Refitting | None = None) -> None:
        """Write the verified set in place of the one so far."""
        shutil.rmtree(self.paths.new_set, ignore_errors=True)  # a kill may have left it
        export_set(self.paths.study, RECIPE, self.paths.new_set, refit=refit)
        replace_folder(self.paths.new_set, self.paths.set)

    def refit(self, times: Times, time_left_s: float) -> bool:
        """Train the members again on all labels, with as many seeds as the time allows, and export them."""
        study, began = self.paths.study, time.monotonic()
        members = read_ensemble(study.ensemble(RECIPE)).members
        trials = {member.trial for member in members if member.trial is not None}
        results = [result for trial in trials if (result := read_result(study.trial(trial)))]
        seeds = count_seeds(self.facts, times, [result["epochs_done"] for result in results], time_left_s)

        def train() -> StudyPaths:
            return refit_ensemble(
                study,
                RECIPE,
                seeds=seeds,
                held_out_per_class=min(REFIT_HELD_OUT, self.facts.smallest_class - 1),
                address=self.address,
                quiet=self.quiet,
                timeout_s=time_left_s - (time.monotonic() - began),
            )

        try:
            self._export(train)
        except StudyError as error:
            self.say(f"the set is without a refit: {'; '.join(error.faults)}")
            return False
        if not self.quiet:
            self.say(f"{display_path(self.paths.set)}: verified; its networks were trained again on all labels")
        return True


def count_seeds(facts: Facts, times: Times, epochs: Sequence[int], time_left_s: float) -> int:
    """How many times all members can be trained again within the time: at least once, then in fewer epochs.

    ``epochs``: of each trial that is trained again.
    """
    seconds = [times.start + each * times.image * facts.images for each in epochs]
    return max(1, int(facts.slots * time_left_s / sum(seconds)))


def describe(ensemble: Ensemble) -> str:
    """Members and cross-fitted accuracy, or balanced accuracy, of an ensemble."""
    fitted, members = ensemble.cross_fitted, len(ensemble.members)
    interval = f"({100 * fitted.low:.1f} to {100 * fitted.high:.1f})"
    return (
        f"{fitted.measure} {100 * fitted.value:.1f} % {interval} on {ensemble.n} labelled images that the networks did "
        f"not learn from; {members} {'member' if members == 1 else 'members'}"
    )
