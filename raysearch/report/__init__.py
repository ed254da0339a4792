"""One self-contained HTML page about a study, read from its folder alone."""

from raysearch.report.page import render, write_report
from raysearch.report.reading import read_study
from raysearch.report.study import Study

__all__ = ["Study", "read_study", "render", "write_report"]
