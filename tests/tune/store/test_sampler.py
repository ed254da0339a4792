"""Every sampler on a stored study of a space with options that bring parameters of their own."""

from pathlib import Path

import optuna
import pytest

from raysearch.paths import StudyPaths
from raysearch.space import SearchConfig, Space, space_from
from raysearch.tune.store.sampler import SAMPLERS
from raysearch.tune.store.study import open_storage

TRIALS = {"gp": 12}
"""Where 16 take long: it models from the 11th on, half a second each."""
TRIAL = {
    "backbone": {
        "choice": {
            "wrn_10_1": {"optimizer": {"lr": {"loguniform": [0.01, 0.1]}}},
            "wrn_16_1": {"dropout": {"uniform": [0.0, 0.5]}},
        }
    },
    "method": {"alpha": {"loguniform": [0.01, 1.0]}, "gamma": {"uniform": [0.0, 2.0]}},
    "batch_size": {"int": [4, 64]},
}


def make_space(sampler: str) -> Space:
    return space_from({"study": "toy", "search": {"sampler": sampler, "seed": 3}, "trial": TRIAL}, "toy.yaml")


def ask(study: optuna.Study, space: Space) -> optuna.Trial:
    trial = study.ask()
    space.trial.suggest(trial)
    return trial


def run(root: Path, space: Space, trials: int) -> list[dict[str, object]]:
    """As a search does: two at a time, a FAIL and a PRUNED among them. What was drawn."""
    root.mkdir(exist_ok=True)
    study = open_storage(StudyPaths(root), space.study, space.search)
    drawn = []
    for pair in range(trials // 2):
        for index, trial in enumerate([ask(study, space), ask(study, space)]):
            drawn.append(trial.params)
            distance = abs(trial.params["method.gamma"] - 1.5)
            trial.report(1 - distance, 1)
            if (pair, index) == (1, 0):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            elif index and pair % 3 == 2:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(trial, 1 - distance)
    return drawn


def different(drawn: list[dict[str, object]]) -> int:
    return len({tuple(sorted(params.items())) for params in drawn})


def test_the_space_file_knows_just_these_samplers() -> None:
    known = SearchConfig.model_json_schema()["properties"]["sampler"]["enum"]
    assert sorted(known) == sorted(SAMPLERS)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_it_draws_from_options_of_their_own_and_says_nothing(
    tmp_path: Path, sampler: str, capfd: pytest.CaptureFixture[str]
) -> None:
    drawn = run(tmp_path / "toy", make_space(sampler), TRIALS.get(sampler, 16))
    assert {params["backbone"] for params in drawn} == {"wrn_10_1", "wrn_16_1"}
    assert all(("optimizer.lr[wrn_10_1]" in params) == (params["backbone"] == "wrn_10_1") for params in drawn)
    assert different(drawn) == len(drawn) >= 12
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_resumed_study_draws_on_and_nothing_twice(tmp_path: Path, sampler: str) -> None:
    space = make_space(sampler)
    each = TRIALS.get(sampler, 16) // 2
    first, second = run(tmp_path / "toy", space, each), run(tmp_path / "toy", space, each)
    assert different(first + second) == 2 * each


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_draws_the_same(tmp_path: Path, sampler: str) -> None:
    one, two = (run(tmp_path / name, make_space(sampler), 12) for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(("sampler", "trials"), [("tpe", 40), ("gp", 20), ("cmaes", 40)])
def test_those_that_model_come_nearer_to_what_is_good(tmp_path: Path, sampler: str, trials: int) -> None:
    drawn = run(tmp_path / "toy", make_space(sampler), trials)
    distances = [abs(params["method.gamma"] - 1.5) for params in drawn]
    assert sum(distances[-10:]) < sum(distances[:10])
