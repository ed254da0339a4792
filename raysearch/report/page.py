"""Renders the report: a jinja2 template that contains the charts' values and plotly.js."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from raysearch.ensemble.explain import explain_member, explain_temperature
from raysearch.io import display_path, write_text
from raysearch.paths import StudyPaths
from raysearch.report import figures
from raysearch.report.ablation import build_tables, count_complete
from raysearch.report.stored import EnsembleFile, Gain
from raysearch.report.study import STATES, Study, short_names
from raysearch.report.tables import format_cells, list_columns, list_notes

MISSING = "–"
"""Text of a table cell without a value."""


def write_report(study: Study) -> Path:
    """Write the report into the study's folder and return its path."""
    path = StudyPaths(study.root).report
    write_text(path, render(study))
    return path


def render(study: Study) -> str:
    """The report as HTML that needs no network and no other file."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters |= FILTERS | {"value": percent if study.maximize else number}
    panels, tables = figures.plot_parameters(study), build_tables(study)
    charts = {
        "history": figures.plot_history(study),
        "curves": figures.plot_curves(study),
        **{f"panel-{number}": figure for number, figure in enumerate(panels.values(), start=1)},
        **{f"trajectory-{number}": figures.plot_trajectory(e) for number, e in enumerate(study.ensembles, start=1)},
    }
    return environment.get_template("page.html.j2").render(
        study=study,
        states=STATES,
        trials_by_number={t.number: t for t in study.trials},
        parameters=short_names(study.sampled()),
        panel_titles=list(panels),
        tables=[(table.title, list_columns(table), format_cells(table)) for table in tables],
        notes=list_notes(tables),
        progress=count_complete(tables),
        seeds=len(tables[0].seeds) if tables else 0,
        charts={name: figure for name, figure in charts.items() if figure},
        highlighted=figures.HIGHLIGHTED,
        folder=shlex.quote(display_path(study.root)),
        written=datetime.now(UTC),
        plotly_js=get_plotlyjs(),
    )


def percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def nats(value: float | None) -> str:
    """A gain in log loss, with four decimals because it is small for a good ensemble."""
    return MISSING if value is None else f"{value:.4f}".replace("-", "−")


def signed_points(share: float) -> str:
    """A difference of two shares in percentage points, with sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """Seconds as text with the largest nonzero unit and the next smaller one."""
    if seconds is None:
        return MISSING
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours} h {m:02d} min" if hours else f"{m} min {s:02d} s" if m else f"{s} s"


def parameter(value: Any) -> str:
    """A parameter's value as text; floats with three significant digits."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(str(item.get("name", item) if isinstance(item, dict) else item) for item in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def moment(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M %Z").strip()


def verdict(gain: Gain) -> str:
    """One sentence that interprets the interval of the gain."""
    if gain.low > 0:
        return "The interval is above zero: on images like these the ensemble is better than the best single model."
    if gain.high < 0:
        return "The interval is below zero: on images like these the ensemble is worse than the best single model."
    return "The interval includes zero: these images do not show that the ensemble is better."


def advice(ensemble: EnsembleFile) -> str:
    """The recommendation if it is not the ensemble; otherwise empty."""
    mean = ensemble.uniform
    if ensemble.recommended == "single":
        return f"Recommended: the single model {ensemble.best_single.name}, which is simpler."
    if ensemble.recommended == "uniform" and mean and not ensemble.is_baseline:
        gain, other = (mean.over_ensemble, "ensemble") if ensemble.gain.low > 0 else (mean.gain, "single model")
        reason = f" Its gain over the {other} is {interval(gain)}." if gain else ""
        return f"Recommended: the plain mean of the best {mean.members}, which is simpler.{reason}"
    return ""


def interval(gain: Gain) -> str:
    """A gain with its interval."""
    return (
        f"{signed_points(gain.value or 0.0)} percentage points, {100 * gain.confidence:g} % interval "
        f"{signed_points(gain.low)} to {signed_points(gain.high)}"
    )


def explanations(ensemble: EnsembleFile) -> list[str]:
    """A sentence for each member that is weak alone and heavy in the vote."""
    best = ensemble.best_single.in_sample.value
    sentences = [
        explain_member(m.name, m.alone.value, best, m.weight, len(ensemble.members), m.contribution.value)
        for m in ensemble.members
        if m.alone and m.contribution and best is not None and m.alone.value is not None
    ]
    return [sentence for sentence in sentences if sentence]


FILTERS: dict[str, Callable[..., Any]] = {
    "percent": percent,
    "number": number,
    "nats": nats,
    "signed_points": signed_points,
    "duration": duration,
    "parameter": parameter,
    "moment": moment,
    "verdict": verdict,
    "advice": advice,
    "interval": interval,
    "explanations": explanations,
    "limit": explain_temperature,
}
