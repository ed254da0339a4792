"""Extracts the parts of a page that tests check."""

import json
import re

from plotly.offline import get_plotlyjs


def own_part(html):
    """The page without plotly.js, which it must contain exactly once."""
    assert html.count(get_plotlyjs()) == 1
    return html.replace(get_plotlyjs(), "")


def charts_of(page):
    return json.loads(re.search(r"^const CHARTS = (.*);$", page, re.M)[1])


def section(page, name):
    return re.search(rf'<section id="{name}">.*?</section>', page, re.S)[0]


def rows(html):
    """The text of each table cell, row by row."""
    found = [re.findall(r"<td.*?</td>", row, re.S) for row in re.findall(r"<tr.*?</tr>", html, re.S)]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in found if row]
