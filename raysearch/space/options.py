"""The options of a search, as overrides of its space file."""

import json
from collections.abc import Sequence


def format_overrides(
    overrides: Sequence[str] = (),
    *,
    data: str | None = None,
    timeout_s: float | None = None,
    concurrency: int | None = None,
    seed: int | None = None,
) -> list[str]:
    """``path=value`` texts for `load_space`: ``overrides``, then the options that are not None. Later texts win.

    ``data``: source of labelled images; ``timeout_s``: seconds; ``concurrency``: trials at once; ``seed``: of the
    sampler and of every training.
    """
    options = {
        "search.timeout_s": timeout_s,
        "resources.concurrency": concurrency,
        "search.seed": seed,
        "trial.seed": seed,
        "data.source": None if data is None else json.dumps(data),
    }
    return [*overrides, *(f"{path}={value}" for path, value in options.items() if value is not None)]
