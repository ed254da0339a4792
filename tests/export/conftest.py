from collections.abc import Iterator

import pytest
from small_study import checking_in_this_process, export_output, small_set, small_study

__all__ = ["export_output", "small_set", "small_study"]


@pytest.fixture
def check_in_this_process() -> Iterator[None]:
    """`small_set` and the set of TenCrop views were checked in a fresh one."""
    with checking_in_this_process():
        yield
