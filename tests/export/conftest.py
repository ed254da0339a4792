from collections.abc import Iterator

import pytest
from small_study import checking_in_this_process, export_output, small_set, small_study

__all__ = ["export_output", "small_set", "small_study"]


@pytest.fixture
def check_in_this_process() -> Iterator[None]:
    """Faster. The exports of `small_set` and of the set with several crops still verify in a new process."""
    with checking_in_this_process():
        yield
