"""Which settings a fit trains, in which order."""

from typing import Any

import pytest

from raysearch.fit.layout import Round
from raysearch.fit.space import LONG_PASSES, add_round, load_template
from raysearch.space import Space

QUICK, STRONG, LIGHT = load_template(()).search.first[:3]


def rounds_of(*passes: int, is_quick: bool = True) -> list[dict[str, Any]]:
    """The settings of a short round, if there is one, and of one trial for each of ``passes``."""
    template = load_template(())
    space = Space(**{**vars(template), "resolved": {**template.resolved, "search": {**template.resolved["search"]}}})
    space.resolved["search"]["first"] = []
    if is_quick:
        space = add_round(space, Round(1, 3, 10.0, 10.0, is_quick=True), template, 1000)
    for each in passes:
        space = add_round(space, Round(1, 30, 10.0, 10.0), template, each)
    return [{k: v for k, v in e.items() if k not in ("epochs", "time_limit_s")} for e in space.search.first]


@pytest.mark.parametrize("is_quick", [True, False])
def test_long_trainings_begin_with_strong_augmentation_and_short_ones_without(is_quick: bool) -> None:
    quick = [QUICK] if is_quick else []
    assert rounds_of(LONG_PASSES, LONG_PASSES, is_quick=is_quick) == [*quick, STRONG, LIGHT]
    assert rounds_of(1000, 1000, is_quick=is_quick) == [*quick, LIGHT, STRONG]


def test_no_setting_is_skipped_or_repeated_if_the_lengths_change() -> None:
    assert rounds_of(1000, LONG_PASSES, 1000) == [QUICK, LIGHT, STRONG, {}]
    assert rounds_of(LONG_PASSES, 1000, 1000) == [QUICK, STRONG, LIGHT, {}]
