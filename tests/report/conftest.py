"""A made-up study, and its page."""

import pytest
from fake_study import write_fake_study
from page_parts import own_part

from raysearch.report.page import render
from raysearch.report.reading import read_study


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_fake_study(tmp_path_factory.mktemp("runs") / "cr").root


@pytest.fixture(scope="module")
def page(root):
    return own_part(render(read_study(root)))
