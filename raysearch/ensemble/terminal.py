"""What the command says of an ensemble: two tables of figures, and what they allow to be said."""

from collections.abc import Collection, Iterator

from rich.table import Table

from raysearch.ensemble.calibration import Calibration
from raysearch.ensemble.members import Disagreement
from raysearch.ensemble.results import Ensemble, Member
from raysearch.ensemble.scores import Score

MISSING = "–"


def members_table(ensemble: Ensemble, dropped: Collection[Member]) -> Table:
    """Weight and contribution of each member; those in ``dropped`` have no weights any more."""
    table = Table(
        title=f"Ensemble {ensemble.name}: {len(ensemble.members)} of {ensemble.candidates} candidates",
        title_justify="left",
        caption="Adds: to accuracy and to log loss, cross-fitted. Chosen: in this share of the folds.",
        caption_justify="left",
    )
    table.add_column("member", no_wrap=True)
    table.add_column("backbone")
    for name in ("weight", "adds points", "adds nats", "chosen"):
        table.add_column(name, justify="right", no_wrap=True)
    if dropped:
        table.add_column("", no_wrap=True)
    for member in ensemble.members:
        marks = ["dropped" if member in dropped else ""] if dropped else []
        table.add_row(member.name, member.backbone or MISSING, f"{member.weight:.3f}", *_added_by(member), *marks)
    return table


def _added_by(member: Member) -> tuple[str, str, str]:
    found = member.contribution
    if found is None:
        return MISSING, MISSING, MISSING
    return f"{100 * found.accuracy:+.1f}", f"{found.log_loss:+.3f}", f"{100 * found.chosen:.0f} %"


def figures_table(ensemble: Ensemble) -> Table:
    """Accuracy and log loss of the ensemble, of the best single candidate and of the plain mean."""
    fitted, single, mean = ensemble.cross_fitted, ensemble.best_single, ensemble.uniform
    table = Table(
        title=f"Accuracy (log loss) on {ensemble.n} held-out samples",
        title_justify="left",
        caption="In-sample figures are of the samples that chose: they flatter.",
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("cross-fitted", justify="right")
    table.add_column(f"{100 * fitted.confidence:.0f} % interval", justify="right")
    table.add_column("in-sample", justify="right")
    honest = Score(fitted.accuracy, fitted.log_loss)
    table.add_row(
        "ensemble", _shown(honest), f"{100 * fitted.low:.1f} to {100 * fitted.high:.1f}", _shown(ensemble.in_sample)
    )
    table.add_row(f"best single ({single.name})", _shown(single.cross_fitted), "", _shown(single.in_sample))
    if ensemble.recipe.method != "uniform":
        table.add_row(f"plain mean of the best {mean.members}", _shown(mean.cross_fitted), "", _shown(mean.in_sample))
    return table


def _shown(score: Score) -> str:
    return f"{100 * score.accuracy:.1f} % ({score.log_loss:.3f})"


def sentences(ensemble: Ensemble) -> Iterator[str]:
    """Calibration, disagreement and the verdict."""
    yield _calibration(ensemble.calibration)
    if ensemble.disagreement:
        yield _disagreement(ensemble.disagreement)
    yield _verdict(ensemble)


def _calibration(found: Calibration) -> str:
    return (
        f"Calibration, cross-fitted: expected error {100 * found.ece:.1f} %; with temperature {found.temperature:.2f} "
        f"{100 * found.ece_scaled:.1f} %, and the log loss changes by {found.log_loss_scaled - found.log_loss:+.3f}."
    )


def _disagreement(found: Disagreement) -> str:
    pairs = [share for row, shares in enumerate(found.matrix) for share in shares[:row]]
    spread = f" ({100 * min(pairs):.1f} to {100 * max(pairs):.1f})" if len(pairs) > 1 else ""
    return f"Disagreement: two members differ on {100 * found.mean:.1f} % of the samples{spread}."


def _verdict(ensemble: Ensemble) -> str:
    gain = ensemble.gain
    figure = (
        f"Gain over the best single model, cross-fitted: {100 * gain.accuracy:+.1f} points of accuracy, "
        f"{100 * gain.confidence:.0f} % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}."
    )
    if gain.is_certain:
        return f"{figure}\nThe interval lies above zero: the ensemble is better.{_still_better_mean(ensemble)}"
    if gain.high < 0:
        found = "The interval lies below zero: the single model is better than this ensemble."
    else:
        found = "The interval includes zero: these samples do not show that the ensemble is better."
    return f"{figure}\n{found} {_advice(ensemble)}"


def _still_better_mean(ensemble: Ensemble) -> str:
    mean, own = ensemble.uniform, Score(ensemble.cross_fitted.accuracy, ensemble.cross_fitted.log_loss)
    if ensemble.recipe.method == "uniform" or mean.cross_fitted.rank <= own.rank:
        return ""
    return f" The plain mean of the best {mean.members} does still better, and is simpler (method: uniform)."


def _advice(ensemble: Ensemble) -> str:
    single, mean = ensemble.best_single, ensemble.uniform
    if ensemble.recommended == "single":
        return f"Recommended: the single model {single.name}, the simpler choice."
    if ensemble.recipe.method == "uniform":
        return "Cross-fitted it is ahead of every choice of a single model: recommended if its cost does not matter."
    return (
        f"Recommended: the plain mean of the best {mean.members} (method: uniform), which is simpler, and cross-fitted "
        "ahead of the single model."
    )
