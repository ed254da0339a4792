"""Charts of the page as plain plotly.js values ({data, layout}). The page sets the colours of text and grid."""

from collections.abc import Sequence
from html import escape
from typing import Any

from raysearch.report.stored import EnsembleFile, EpochLine, Score
from raysearch.report.study import Study, Trial, short_names

Figure = dict[str, Any]
Trace = dict[str, Any]

PALETTE = ("#4a86c5", "#e08a3c", "#4ea36a", "#9a73c2", "#d0605e", "#3ba3a8", "#b59a2e", "#d977a8")
"""Mid tones, readable on a light and a dark page."""
NEUTRAL = "#8b9099"
HIGHLIGHTED = 5
"""Number of trials whose curves have their own colour and legend entry."""
_SYMBOLS = {"COMPLETE": "circle", "PRUNED": "circle-open"}
_LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
_MARGIN = {"l": 62, "r": 14, "t": 10, "b": 46}


def plot_history(study: Study) -> Figure | None:
    """Value by trial number, with the best value so far; trials without a value are at the bottom edge."""
    if not study.trials:
        return None
    valued = [t for t in study.trials if t.value is not None]
    x = [t.number for t in valued]
    data = [_points(study, b, [(t, t.number) for t in valued]) for b in study.backbones]
    data = [trace for trace in data if trace["x"]]
    if any(t.state == "PRUNED" for t in valued):
        data.append(_legend_only("pruned", "circle-open"))
    if valued:
        best = {"shape": "hv", "color": NEUTRAL, "width": 1.5}
        line = {"type": "scatter", "mode": "lines", "name": "best so far", "x": x, "y": _running_best(study, valued)}
        data.append(line | {"line": best, "hoverinfo": "skip"})
    data += _without_value(study)
    layout = _layout(360) | {
        "xaxis": _whole_axis("trial", len(study.trials)),
        "yaxis": _value_axis(study),
        "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
    }
    return {"data": data, "layout": layout}


def plot_parameters(study: Study) -> dict[str, Figure]:
    """Panels by title: value by each sampled parameter that varies, and by training time."""
    valued = [t for t in study.trials if t.value is not None]
    minutes = [(t, t.seconds / 60) for t in valued if t.seconds is not None]
    panels = {name: [(t, t.params[name]) for t in valued if name in t.params] for name in study.sampled()}
    figures = {short: _panel(study, panels[name], name) for name, short in short_names(study.sampled()).items()}
    figures["training time (minutes)"] = _panel(study, minutes, None)
    return {title: figure for title, figure in figures.items() if figure}


def plot_curves(study: Study) -> Figure | None:
    """Held-out (balanced) accuracy of teacher and student, and training loss, by epoch, for all trials.

    Each of the best trials has its own colour. The others are thin and share one legend entry.
    """
    best = [t for t in study.ranked if t.curve and t.value is not None][:HIGHLIGHTED]
    running = [t for t in study.trials if t.curve and t.state == "RUNNING"]
    others = [t for t in study.trials if t.curve and t not in best and t not in running]
    data: list[Trace] = []
    thin = {"width": 1, "color": NEUTRAL}
    data += _curve_group("other trials", others, thin, opacity=0.55)
    data += _curve_group("still running", running, thin | {"dash": "dot"}, opacity=1.0)
    for rank, trial in reversed(list(enumerate(best))):
        data += _curve_group(trial.label, [trial], {"width": 2.2, "color": PALETTE[rank]}, rank=rank)
    if not data:
        return None
    epochs = max(line.epoch for t in study.trials for line in t.curve)
    layout = _layout(900) | {
        "xaxis": _whole_axis("epoch", epochs) | {"anchor": "y3"},
        "yaxis": _axis(f"teacher {study.share} (%)") | {"domain": [0.7, 1]},
        "yaxis2": _axis(f"student {study.share} (%)") | {"domain": [0.36, 0.66]},
        "yaxis3": _axis("training loss") | {"domain": [0, 0.32]},
    }
    return {"data": data, "layout": layout}


def plot_trajectory(ensemble: EnsembleFile) -> Figure | None:
    """In-sample (balanced) accuracy and log loss of the ensemble after each round, with the kept round marked.

    None without rounds: for a bagged selection, the entries of the trajectory are independent.
    """
    rounds = ensemble.trajectory
    if not rounds or (ensemble.method and ensemble.method.trajectory != "rounds"):
        return None
    x = [r.round for r in rounds]
    added = [escape(r.added, quote=False) for r in rounds]
    single = ensemble.best_single.in_sample
    data = [
        *_rounds(x, [_percent(r.value) for r in rounds], added, _percent(single.value), "y", ":.1f} %"),
        *_rounds(x, [r.log_loss for r in rounds], added, single.log_loss, "y2", ":.3f}"),
    ]
    layout = _layout(440) | {
        "xaxis": _whole_axis("round", len(rounds)) | {"anchor": "y2"},
        "yaxis": _axis(f"{single.measure} (%)") | {"domain": [0.55, 1]},
        "yaxis2": _axis("log loss (nats)") | {"domain": [0, 0.45]},
    }
    if ensemble.best_round is not None:
        layout |= _marked_round(ensemble.best_round, len(rounds))
    return {"data": data, "layout": layout}


def _points(study: Study, backbone: str, points: Sequence[tuple[Trial, Any]]) -> Trace:
    """Trials of one backbone: their values over the given x. Complete trials come first."""
    mine = [(t, x) for t, x in points if t.backbone == backbone]
    mine.sort(key=lambda pair: pair[0].state)  # the legend shows the symbol of the first point
    colour = PALETTE[study.backbones.index(backbone) % len(PALETTE)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(backbone, quote=False),
        "x": [escape(x, quote=False) if isinstance(x, str) else x for _, x in mine],
        "y": [_scaled(study, t.value) for t, _ in mine],
        "text": [_hover(t) for t, _ in mine],
        "hovertemplate": "%{text}<br>%{x}: %{y" + (":.1f} %" if study.maximize else ":.3f}") + "<extra></extra>",
        "marker": {
            "color": colour,
            "symbol": [_SYMBOLS.get(t.state, "circle") for t, _ in mine],
            "size": 9,
            "line": {"width": 1.5, "color": colour},
        },
    }


def _panel(study: Study, points: Sequence[tuple[Trial, Any]], name: str | None) -> Figure | None:
    """Value by x, which is the parameter ``name`` if given; None if x does not vary."""
    values = [x for _, x in points]
    if len({str(x) for x in values}) < 2:
        return None
    axis = _axis("")
    if any(isinstance(x, str | bool) or x is None for x in values):
        axis["type"] = "category"
        points = [(t, "none" if x is None else str(x)) for t, x in points]
    elif name and study.is_logarithmic(name) and max(values) > 5 * min(values) > 0:
        decades = max(values) >= 100 * min(values)
        axis |= {"type": "log", "dtick": 1 if decades else "D2", "minorloglabels": "complete"}
    data = [_points(study, b, points) for b in study.backbones]
    layout = _layout(200) | {"xaxis": axis, "yaxis": _value_axis(study) | {"title": None, "nticks": 5}}
    layout |= {"showlegend": False, "margin": _MARGIN | {"l": 44, "b": 30}}
    return {"data": [trace for trace in data if trace["x"]], "layout": layout}


def _without_value(study: Study) -> list[Trace]:
    traces = []
    for state, name, symbol in (("FAIL", "failed", "x"), ("RUNNING", "running", "diamond-open")):
        trials = [t for t in study.trials if t.state == state and t.value is None]
        if trials:
            trace = _legend_only(name, symbol) | {"x": [t.number for t in trials], "y": [0.03] * len(trials)}
            trace |= {"yaxis": "y2", "text": [_hover(t) for t in trials], "hovertemplate": "%{text}<extra></extra>"}
            traces.append(trace)
    return traces


def _legend_only(name: str, symbol: str) -> Trace:
    marker = {"symbol": symbol, "color": NEUTRAL, "size": 9, "line": {"width": 1.5, "color": NEUTRAL}}
    return {"type": "scatter", "mode": "markers", "name": name, "x": [None], "y": [None], "marker": marker}


def _running_best(study: Study, valued: Sequence[Trial]) -> list[float | None]:
    pick = max if study.maximize else min
    best: list[float] = []
    for trial in valued:
        assert trial.value is not None
        best.append(pick(best[-1], trial.value) if best else trial.value)
    return [_scaled(study, value) for value in best]


def _curve_group(
    name: str, trials: Sequence[Trial], line: dict[str, Any], opacity: float = 1.0, rank: int = HIGHLIGHTED
) -> list[Trace]:
    """Three traces per trial (teacher, student, loss); one legend entry shows or hides all of them."""
    common: Trace = {"type": "scatter", "mode": "lines", "name": escape(name, quote=False), "line": line}
    common |= {"opacity": opacity, "legendgroup": name, "legendrank": rank}
    traces = []
    for trial in trials:
        evaluations = [line for line in trial.curve if line.held_out]
        text = escape(trial.label, quote=False)
        for axis, epochs, ys, shown in (
            ("y", evaluations, [_share(trial, e, "teacher-final") for e in evaluations], ":.1f} %"),
            ("y2", evaluations, [_share(trial, e, "student-final") for e in evaluations], ":.1f} %"),
            ("y3", trial.curve, [e.train.get("loss") for e in trial.curve], ":.3f}"),
        ):
            if not epochs:
                continue  # an empty first trace would hide its group's legend entry
            hover = {"text": text, "hovertemplate": "%{text}<br>epoch %{x}: %{y" + shown + "<extra></extra>"}
            traces.append(common | hover | {"x": [e.epoch for e in epochs], "y": ys, "yaxis": axis})
    return [trace | {"showlegend": index == 0} for index, trace in enumerate(traces)]


def _rounds(
    x: list[int], y: list[float | None], added: list[str], single: float | None, axis: str, shown: str
) -> list[Trace]:
    """The ensemble's figure by round, and the best single model's figure as a horizontal line."""
    first = axis == "y"
    common = {"type": "scatter", "yaxis": axis, "showlegend": first}
    hover = {"text": added, "hovertemplate": "round %{x}: %{y" + shown + "<br>added %{text}<extra></extra>"}
    grown = {"name": "ensemble", "legendgroup": "ensemble", "mode": "lines+markers", "x": x, "y": y}
    level: Trace = {"name": "best single model", "legendgroup": "single", "mode": "lines", "x": [x[0], x[-1]]}
    level |= {"y": [single, single], "line": {"color": NEUTRAL, "width": 1.5, "dash": "dash"}, "hoverinfo": "skip"}
    style = {"line": {"color": PALETTE[0], "width": 2}, "marker": {"size": 5}}
    return [common | grown | hover | style, common | level]


def _marked_round(best: int, rounds: int) -> dict[str, Any]:
    line = {"color": PALETTE[1], "width": 1.5, "dash": "dot"}
    position = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "x0": best, "x1": best}
    left = best > rounds / 2
    text = {"text": f"kept: round {best}", "x": best, "xref": "x", "y": 0.5, "yref": "paper", "showarrow": False}
    text |= {"xanchor": "right" if left else "left", "xshift": -6 if left else 6}
    return {"shapes": [{"type": "line", "line": line} | position], "annotations": [text]}


def _share(trial: Trial, line: EpochLine, view: str) -> float | None:
    score: Score | None = (line.held_out or {}).get(view)
    return _percent(trial.measure(score)) if score else None


def _hover(trial: Trial) -> str:
    state = "" if trial.state == "COMPLETE" else f" · {trial.state}"
    gain = "" if trial.ensemble_gain is None else f" · gain {trial.ensemble_gain:.4f}"
    return escape(trial.label + state + gain, quote=False)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 4)


def _scaled(study: Study, value: float | None) -> float | None:
    return _percent(value) if study.maximize else value


def _value_axis(study: Study) -> dict[str, Any]:
    return _axis(f"held-out {study.figure} ({'%' if study.maximize else 'nats'})")


def _axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "zeroline": False, "automargin": True}


def _whole_axis(title: str, length: int) -> dict[str, Any]:
    """An axis of whole numbers with at most about ten ticks."""
    steps = (base * 10**power for power in range(9) for base in (1, 2, 5))
    return _axis(title) | {"dtick": next(step for step in steps if length / step <= 10)}


def _layout(height: int) -> dict[str, Any]:
    transparent = {"paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
    return transparent | {"height": height, "margin": _MARGIN, "legend": _LEGEND, "hovermode": "closest"}
