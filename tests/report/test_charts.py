"""The charts of a study's page."""

import plotly.graph_objects as go
from page_parts import charts_of

from raysearch.report.figures import plot_curves, plot_history, plot_parameters, plot_trajectory
from raysearch.report.reading import read_study


def test_every_chart_is_valid_plotly_and_has_its_place_on_the_page(page):
    charts = charts_of(page)
    assert {"history", "curves", "trajectory-1", "panel-1"} <= set(charts)
    assert "trajectory-2" not in charts  # the uniform ensemble has no rounds
    for name, chart in charts.items():
        go.Figure(chart)  # raises on an unknown property
        assert page.count(f'id="{name}"') == 1
    assert page.count('class="plot"') == len(charts)


def test_the_history_holds_every_trial_once_and_a_running_best_that_never_falls(root):
    traces = plot_history(read_study(root))["data"]
    points = [x for trace in traces if trace["mode"] == "markers" for x in trace["x"] if x is not None]
    assert sorted(points) == list(range(10))
    best = next(trace for trace in traces if trace["name"] == "best so far")["y"]
    assert best == sorted(best)


def test_the_curves_of_every_trial_are_drawn_and_one_legend_entry_switches_each_group(root):
    traces = plot_curves(read_study(root))["data"]
    assert len(traces) == 10 * 3  # teacher, student, loss
    shown = [trace["name"] for trace in traces if trace["showlegend"]]
    assert len(shown) == len(set(shown)) == 7  # the best five, the others, the running one
    assert {trace["legendgroup"] for trace in traces} == set(shown)
    teacher = next(t for t in traces if t["text"].startswith("trial 0 ") and t["yaxis"] == "y")
    assert teacher["x"] == [1, 2, *range(3, 31, 3)]  # only the epochs with an evaluation


def test_each_parameter_that_varies_has_a_panel(root):
    panels = plot_parameters(read_study(root))
    assert set(panels) >= {"alpha", "beta", "lr", "policy", "training time (minutes)"}
    assert panels["alpha"]["layout"]["xaxis"]["type"] == "log"
    assert panels["policy"]["layout"]["xaxis"]["type"] == "category"
    assert "type" not in panels["beta"]["layout"]["xaxis"]


def test_the_trajectory_marks_the_kept_round(root):
    chart = plot_trajectory(read_study(root).ensembles[0])
    assert chart["layout"]["shapes"][0]["x0"] == 7
    assert chart["data"][0]["y"][6] == 94.5
