"""The code of docs/python.md runs from top to bottom."""

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs/python.md"


def test_the_page_of_the_python_api_runs(shared_ray: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)
    assert (tmp_path / "best/python/README.md").is_file()
    assert names["probs"].shape == (4, 10)
    assert 0 <= names["accuracy"] <= 1
