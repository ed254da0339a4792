"""A file of predictions on a disk that runs full."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from raysearch.errors import UserError
from raysearch.predict.table_file import WRITERS, open_table_file


def rows(start: int, count: int) -> pa.Table:
    return pa.table({"id": [f"{row}.png" for row in range(start, start + count)], "prob_a": np.random.rand(count)})


def fill(out: Path) -> None:
    with open_table_file(out, partial(WRITERS[out.suffix], schema=rows(0, 1).schema)) as file:
        for start in range(0, 10**6, 10**4):
            file.write(rows(start, 10**4))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_full_disk_is_an_error_and_leaves_whole_rows_or_nothing(
    small_disk: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    out = small_disk / f"p{ending}"
    (small_disk / "other").write_bytes(bytes(58 * 2**20))
    with pytest.raises(UserError, match=rf"--out .*p\{ending}: cannot be written \(.*No space left"):
        fill(out)
    left = sorted(path.name for path in small_disk.iterdir())
    if ending == ".csv":
        assert left == ["other", "p.partial.csv"]
        found = pyarrow.csv.read_csv(small_disk / "p.partial.csv")
        assert found["id"].to_pylist() == [f"{row}.png" for row in range(len(found))]
        assert f"the {len(found)} predictions made so far" in caplog.text
    else:
        assert left == ["other"]
