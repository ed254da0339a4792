"""Terminal output for an ensemble: tables of members and figures, then sentences that interpret them."""

from collections.abc import Collection, Iterator

from rich.table import Table

from raysearch.ensemble.calibration import Calibration
from raysearch.ensemble.members import Disagreement
from raysearch.ensemble.methods import BASELINE, METHODS
from raysearch.ensemble.results import Ensemble, Member
from raysearch.ensemble.scores import Score

MISSING = "–"


def members_table(ensemble: Ensemble, dropped: Collection[Member]) -> Table:
    """Weight and contribution of each member; marks the members in ``dropped``, whose weights were removed."""
    changes = f"change of {ensemble.in_sample.measure} and log loss by the member, cross-fitted"
    table = Table(
        title=f"Ensemble {ensemble.name}: {len(ensemble.members)} of {ensemble.candidates} candidates",
        title_justify="left",
        caption=f"Adds: {changes}. Chosen: share of the folds.",
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
        table.add_row(member.name, member.backbone or MISSING, f"{member.weight:.3f}", *_contribution(member), *marks)
    return table


def _contribution(member: Member) -> tuple[str, str, str]:
    contribution = member.contribution
    if contribution is None:
        return MISSING, MISSING, MISSING
    return (
        f"{100 * contribution.value:+.1f}",
        f"{contribution.log_loss:+.3f}",
        f"{100 * contribution.chosen:.0f} %",
    )


def figures_table(ensemble: Ensemble) -> Table:
    """Accuracy or balanced accuracy, and log loss, of the ensemble, the best single candidate and the plain mean."""
    fitted, single, mean = ensemble.cross_fitted, ensemble.best_single, ensemble.uniform
    table = Table(
        title=f"{fitted.measure.capitalize()} (log loss) on {ensemble.n} held-out samples",
        title_justify="left",
        caption="In-sample figures use the samples of the selection and are too optimistic.",
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("cross-fitted", justify="right")
    table.add_column(f"{100 * fitted.confidence:.0f} % interval", justify="right")
    table.add_column("in-sample", justify="right")
    table.add_row(
        "ensemble",
        _format(fitted.score),
        f"{100 * fitted.low:.1f} to {100 * fitted.high:.1f}",
        _format(ensemble.in_sample),
    )
    table.add_row(f"best single ({single.name})", _format(single.cross_fitted), "", _format(single.in_sample))
    if ensemble.recipe.method != BASELINE:
        table.add_row(f"plain mean of the best {mean.members}", _format(mean.cross_fitted), "", _format(mean.in_sample))
    return table


def _format(score: Score) -> str:
    return f"{100 * score.value:.1f} % ({score.log_loss:.3f})"


def sentences(ensemble: Ensemble) -> Iterator[str]:
    """Method, calibration, disagreement and recommendation."""
    yield f"Method {ensemble.recipe.method}: {METHODS[ensemble.recipe.method].label}."
    yield _describe_calibration(ensemble.calibration)
    if ensemble.disagreement:
        yield _describe_disagreement(ensemble.disagreement)
    yield _interpret_gain(ensemble)


def _describe_calibration(calibration: Calibration) -> str:
    change = calibration.log_loss_scaled - calibration.log_loss
    return (
        f"Calibration, cross-fitted: expected error {100 * calibration.ece:.1f} %; with temperature "
        f"{calibration.temperature:.2f} it is {100 * calibration.ece_scaled:.1f} % and the log loss changes by "
        f"{change:+.3f}."
    )


def _describe_disagreement(disagreement: Disagreement) -> str:
    pairs = [share for row, shares in enumerate(disagreement.matrix) for share in shares[:row]]
    spread = f" ({100 * min(pairs):.1f} to {100 * max(pairs):.1f})" if len(pairs) > 1 else ""
    return f"Disagreement: two members differ on {100 * disagreement.mean:.1f} % of the samples on average{spread}."


def _interpret_gain(ensemble: Ensemble) -> str:
    gain = ensemble.gain
    figure = (
        f"Gain over the best single model, cross-fitted: {100 * gain.value:+.1f} points of "
        f"{gain.measure}, "
        f"{100 * gain.confidence:.0f} % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}."
    )
    if gain.is_certain:
        return f"{figure}\nThe interval is above zero: the ensemble is better.{_compare_with_mean(ensemble)}"
    if gain.high < 0:
        verdict = "The interval is below zero: the single model is better than this ensemble."
    else:
        verdict = "The interval includes zero: these samples do not show that the ensemble is better."
    return f"{figure}\n{verdict} {_recommend(ensemble)}"


def _compare_with_mean(ensemble: Ensemble) -> str:
    mean = ensemble.uniform
    if ensemble.recipe.method == BASELINE or mean.cross_fitted.rank <= ensemble.cross_fitted.score.rank:
        return ""
    return f" The plain mean of the best {mean.members} (method: {BASELINE}) is even better, and simpler."


def _recommend(ensemble: Ensemble) -> str:
    single, mean = ensemble.best_single, ensemble.uniform
    if ensemble.recommended == "single":
        return f"Recommended: the single model {single.name}, which is simpler."
    if ensemble.recipe.method == BASELINE:
        return "Its cross-fitted score is better than the single model's. Recommended if the cost does not matter."
    return (
        f"Recommended: the plain mean of the best {mean.members} (method: {BASELINE}). It is simpler, and its "
        "cross-fitted score is better than the single model's."
    )
