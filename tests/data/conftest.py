"""A separate cache for every test, and small sources with known content."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("RAYSEARCH_CACHE", str(folder))
    return folder


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the shared image sets are not on this machine")
    return SHARED


@pytest.fixture
def extracted(shared: Path, tmp_path: Path) -> Callable[[str], Path]:
    def extract(name: str) -> Path:
        with tarfile.open(shared / f"{name}-folder.tar") as archive:
            archive.extractall(tmp_path, filter="data")
        return tmp_path / name

    return extract


@pytest.fixture
def make_images(tmp_path: Path) -> Callable[..., Path]:
    """Writes PNG files of random pixels at the given paths below a folder with a space and a quote."""
    rng = np.random.default_rng(0)

    def make(*names: str) -> Path:
        root = tmp_path / "o'clock pictures"
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(path)
        return root

    return make


@pytest.fixture
def split_folders(make_images: Callable[..., Path]) -> Path:
    """Two classes, two images of each in train, val and test."""
    return make_images(*(f"{s}/{c}/{i}.png" for s in ("train", "val", "test") for c in ("cat", "dog") for i in "ab"))
