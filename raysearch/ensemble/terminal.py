"""Terminal output for an ensemble: tables of members and figures, then sentences that interpret them."""

from collections.abc import Collection, Iterator

from rich.table import Table

from raysearch.ensemble.calibration import Calibration
from raysearch.ensemble.explain import explain_member, explain_temperature
from raysearch.ensemble.intervals import Gain
from raysearch.ensemble.members import Disagreement
from raysearch.ensemble.methods import BASELINE, METHODS
from raysearch.ensemble.results import Ensemble, Member
from raysearch.ensemble.scores import Score

MISSING = "–"


def members_table(ensemble: Ensemble, dropped: Collection[Member]) -> Table:
    """Weight, own figure and contribution of each member; marks the members in ``dropped``: no weights are left."""
    measure = ensemble.in_sample.measure
    table = Table(
        title=f"Ensemble {ensemble.name}: {len(ensemble.members)} of {ensemble.candidates} candidates",
        title_justify="left",
        caption=f"Alone: {measure} of the member itself, in %. Adds: change of {measure} and log loss by the member, "
        "cross-fitted. Chosen: share of the folds.",
        caption_justify="left",
    )
    table.add_column("member", no_wrap=True)
    table.add_column("backbone")
    for name in ("weight", "alone", "adds\npoints", "adds\nnats", "chosen"):
        table.add_column(name, justify="right", no_wrap=True)
    if dropped:
        table.add_column("", no_wrap=True)
    for member in ensemble.members:
        marks = ["dropped" if member in dropped else ""] if dropped else []
        table.add_row(
            member.name,
            member.backbone or MISSING,
            f"{member.weight:.3f}",
            f"{100 * member.alone.value:.1f}",
            *_contribution(member),
            *marks,
        )
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
    """Method, members that are weak alone, calibration, disagreement and recommendation."""
    yield f"Method {ensemble.recipe.method}: {METHODS[ensemble.recipe.method].label}."
    yield from filter(None, (_explain(member, ensemble) for member in ensemble.members))
    yield _describe_calibration(ensemble.calibration)
    if limit := explain_temperature(ensemble.calibration.temperature):
        yield limit
    if ensemble.disagreement:
        yield _describe_disagreement(ensemble.disagreement)
    yield _interpret_gain(ensemble)


def _explain(member: Member, ensemble: Ensemble) -> str:
    return explain_member(
        member.name,
        member.alone.value,
        ensemble.best_single.in_sample.value,
        member.weight,
        len(ensemble.members),
        member.contribution.value if member.contribution else None,
    )


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
    gain, mean = ensemble.gain, ensemble.uniform
    figure = f"Gain over the best single model, cross-fitted: {_format_gain(gain)}."
    if gain.is_certain:
        verdict = "The interval is above zero: the ensemble is better."
    elif gain.high < 0:
        verdict = "The interval is below zero: the single model is better than this ensemble."
    else:
        verdict = "The interval includes zero: these samples do not show that the ensemble is better."
    if ensemble.recommended == "ensemble":
        return f"{figure}\n{verdict}{_compare_with_mean(ensemble)}"
    if ensemble.recommended == "single":
        return f"{figure}\n{verdict} Recommended: the single model {ensemble.best_single.name}, which is simpler."
    other, shown = ("ensemble", mean.over_ensemble) if gain.is_certain else ("single model", mean.gain)
    return (
        f"{figure}\n{verdict} Recommended: the plain mean of the best {mean.members} (method: {BASELINE}). Its gain "
        f"over the {other}, cross-fitted: {_format_gain(shown)}."
    )


def _format_gain(gain: Gain) -> str:
    return (
        f"{100 * gain.value:+.1f} points of {gain.measure}, {100 * gain.confidence:.0f} % interval "
        f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
    )


def _compare_with_mean(ensemble: Ensemble) -> str:
    """A sentence if the plain mean is at least as good, but not certainly; otherwise empty."""
    mean = ensemble.uniform
    if ensemble.recipe.method == BASELINE or mean.over_ensemble.value < 0:
        return ""
    return (
        f" The plain mean of the best {mean.members} (method: {BASELINE}) is simpler. Its difference from the ensemble "
        "is within the noise."
    )
