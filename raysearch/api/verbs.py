"""The verbs as functions. Each does what `python -m raysearch.VERB` does, and raises `UserError`."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from raysearch.api.study import Study, open_study
from raysearch.ensemble.build import build_ensemble as select
from raysearch.ensemble.recipe import Recipe, read_recipe
from raysearch.ensemble.results import Ensemble, write_ensemble
from raysearch.errors import UserError
from raysearch.export.write import export_set
from raysearch.fit.fitting import FitOptions, default_folder
from raysearch.fit.fitting import fit as run_fit
from raysearch.io import display_path, require_local
from raysearch.paths import StudyPaths
from raysearch.shipped import find_file
from raysearch.space import load_space
from raysearch.space.options import format_overrides
from raysearch.tune.refit import refit_ensemble
from raysearch.tune.search import SearchOptions
from raysearch.tune.search import search as run_search


def search(
    space: str | Path,
    *,
    data: str | Path | None = None,
    out: str | Path = "runs",
    overrides: Mapping[str, Any] | None = None,
    trials: int | str | None = None,
    timeout_s: float | None = None,
    concurrency: int | None = None,
    seed: int | None = None,
    resume: bool = False,
    address: str | None = None,
    quiet: bool = True,
) -> Study:
    """Search ``space`` and return the study, which is in the folder ``out``/<study>.

    ``space``: an included space, such as `cr`, or a space file; ``data``: source of labelled images, None: the
    space's; ``overrides``: values by dotted path, as {"trial.epochs": 6}; ``trials``: how many, or with ``resume``
    "+N" more; ``address``: a running Ray cluster, None: this machine; ``quiet``: print failures and notes only. Call it
    from the main thread: Ctrl-C, SIGTERM and the time limit stop running trials after their batch. Raises `UserError`.
    """
    require_local("out", out)
    require_local("data", data or "")
    path = find_file("spaces", space)
    source = None if data is None else str(data)
    options = format_overrides(_format(overrides), data=source, timeout_s=timeout_s, concurrency=concurrency, seed=seed)
    loaded = load_space(path, options)
    wanted = None if trials is None else str(trials)
    how = SearchOptions(Path(out), wanted, resume=resume, address=address, quiet=quiet)
    paths, _ = run_search(loaded, how, where=display_path(path))
    return open_study(paths.root)


def build_ensemble(
    study: Study | str | Path, recipe: str | Path | Recipe = "greedy", *, add: Sequence[Path] = ()
) -> Ensemble:
    """Select an ensemble from the held-out predictions of ``study``, and write it to the study's folder.

    ``recipe``: an included one such as `bagged`, a recipe file, or a `Recipe`; ``add``: files with predictions of other
    models, as for `raysearch ensemble --add`. Raises `UserError`, `StudyError` and `PredictionsError`.
    """
    paths = _paths_of(study)
    chosen = recipe if isinstance(recipe, Recipe) else read_recipe(find_file("ensembles", recipe))
    ensemble = select(paths, chosen, add)
    write_ensemble(paths.ensemble(ensemble.name), ensemble)
    return ensemble


def export(
    study: Study | str | Path,
    out: str | Path,
    *,
    ensemble: str = "greedy",
    data: str | Path | None = None,
    refit: bool = False,
    refit_seeds: int = 1,
    refit_held_out_per_class: int = 2,
    onnx: bool = False,
) -> Path:
    """Write an ensemble of ``study`` as the checkpoint set ``out``, verified by a fresh process; returns ``out``.

    ``ensemble``: its name; ``data``: where the study's data is now, None: where it was; ``refit``: train the members
    again first, ``refit_seeds`` times each, on all labelled images but ``refit_held_out_per_class`` a class; ``onnx``:
    add the weighted vote as one ONNX file. Raises `UserError`, `StudyError` and `SetError`; ``out`` must not exist.
    """
    require_local("out", out)
    paths, source = _paths_of(study), None if data is None else str(data)

    def train_again() -> StudyPaths:
        return refit_ensemble(
            paths, ensemble, seeds=refit_seeds, held_out_per_class=refit_held_out_per_class, source=source, quiet=True
        )

    export_set(paths, ensemble, Path(out), source, refit=train_again if refit else None, has_onnx=onnx)
    return Path(out)


def fit(
    source: str | Path | None = None,
    minutes: float | str | None = None,
    *,
    out: str | Path | None = None,
    division: Literal["folds", "refit", "split"] | None = None,
    overrides: Mapping[str, Any] | None = None,
    resume: bool = False,
    address: str | None = None,
    quiet: bool = True,
) -> Path:
    """Train the best ensemble that ``minutes`` allow, and return the folder of the verified set.

    ``source``: labelled images, None with ``resume``: those of the fit that is resumed; ``minutes``: the whole budget,
    or with ``resume`` "+N" more; ``out``: the fit's folder, None: fits/<name of the source>; ``division``:
    how the labels are used, as `--division`; ``overrides``: values of
    the space `fit` by dotted path, as {"trial.augment.hflip": 0}; ``address``: a running Ray cluster, None: this
    machine. Call it from the main thread: Ctrl-C and SIGTERM stop running trials after their batch. Raises `UserError`,
    also if the fit was stopped before it had a set.
    """
    began = time.monotonic()
    require_local("out", out or "")
    require_local("source", source or "")
    name = None if source is None else str(source)
    options = FitOptions(
        out=default_folder(name) if out is None else Path(out),
        minutes=None if minutes is None else str(minutes),
        division=division,
        overrides=_format(overrides),
        resume=resume,
        address=address,
        quiet=quiet,
    )
    paths = run_fit(name, options, began)
    if not paths.set.is_dir():
        raise UserError(f"{display_path(paths.root)}: the fit was stopped before it had a set; continue with resume")
    return paths.set


def _format(overrides: Mapping[str, Any] | None) -> list[str]:
    """``path=value`` texts, as `--set` takes them."""
    return [f"{key}={json.dumps(value)}" for key, value in (overrides or {}).items()]


def _paths_of(study: Study | str | Path) -> StudyPaths:
    return StudyPaths(study.folder if isinstance(study, Study) else Path(study)).require()
