"""The package as others get it: a wheel and an sdist, used from a folder that is no checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("raysearch", "spaces", "ensembles", "pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(kind: str, tree: Path, out: Path) -> Path:
    """``kind``: `build_wheel` or `build_sdist`, of the sources in ``tree``."""
    out.mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", BUILD, kind, str(out)], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an sdist, which is of a copy of the sources: links stay links there."""
    folder = tmp_path_factory.mktemp("package")
    tree = folder / "checkout"
    tree.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    with tarfile.open(build("build_sdist", tree, folder / "dist")) as archive:
        archive.extractall(folder, filter="data")
    [unpacked] = folder.glob("raysearch-*")
    return build("build_wheel", unpacked, folder / "dist")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files, for PYTHONPATH; the libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed: Path, cwd: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "raysearch", *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("raysearch/")}
    files = [path for path in (ROOT / "raysearch").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    ours = {path.relative_to(ROOT).as_posix() for path in files}
    for kind in ("spaces", "ensembles"):
        ours |= {f"raysearch/shipped/{kind}/{path.name}" for path in (ROOT / kind).glob("*.yaml")}
    assert packed == ours


@pytest.mark.slow
def test_the_first_commands_run_from_another_folder(installed: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [sys.executable, "-c", "import raysearch; print(raysearch.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    ).stdout
    assert where.startswith(str(installed))
    assert "photos32_quick" in run(installed, tmp_path, "spaces")
    (tmp_path / "mine.yaml").write_text(run(installed, tmp_path, "spaces", "photos32"))
    small = ("trial.backbone=wrn_10_1", "trial.epochs=1", "trial.image_size=16", "data.train_per_class=10")
    words = [word for text in small for word in ("--set", text)]
    # photos32 extends cr.yaml, which is not in this folder; --trials 1: the first of its search.first.
    run(installed, tmp_path, "tune", "mine.yaml", "--data", "digits", "--trials", "1", "--quiet", *words)
    assert "of 4 candidates" in run(installed, tmp_path, "ensemble", "runs/photos32", "--recipe", "bagged")
