"""Export to a disk that runs full."""

import shutil
from pathlib import Path

import pytest

from raysearch.errors import SetError
from raysearch.export.write import export_set
from raysearch.paths import StudyPaths

pytestmark = pytest.mark.usefixtures("check_in_this_process")

LITTLE = 16 * 1024


@pytest.fixture(scope="module")
def size_bytes(small_set: Path) -> int:
    """Size of the set's files on disk, rounded up to pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in small_set.rglob("*") if path.is_file())


def leave(disk: Path, room: int) -> None:
    """Fill ``disk`` so that ``room`` bytes stay free."""
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - room))


def test_a_set_that_fits_is_written(small_study: StudyPaths, small_disk: Path, size_bytes: int) -> None:
    leave(small_disk, size_bytes + 4 * LITTLE)
    export_set(small_study, "mixed", small_disk / "sets" / "best")
    assert (small_disk / "sets" / "best" / "ensemble.json").is_file()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.995])
def test_a_full_disk_leaves_no_partial_set_and_gives_one_error(
    small_study: StudyPaths, small_disk: Path, size_bytes: int, share: float
) -> None:
    leave(small_disk, int(share * size_bytes))
    with pytest.raises(SetError) as caught:
        export_set(small_study, "mixed", small_disk / "best")
    assert caught.value.faults == [f"{small_disk / 'best'}: cannot be written (No space left on device)"]
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_disk_too_small_for_the_onnx_file_leaves_no_partial_set(
    small_study: StudyPaths, small_disk: Path, size_bytes: int
) -> None:
    leave(small_disk, size_bytes + LITTLE)
    with pytest.raises(SetError) as caught:
        export_set(small_study, "mixed", small_disk / "best", has_onnx=True)
    assert caught.value.faults == [f"{small_disk / 'best'}: cannot be written (No space left on device)"]
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
