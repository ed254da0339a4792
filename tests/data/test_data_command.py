"""`raysearch.data check`."""

from pathlib import Path

from typer.testing import CliRunner

from raysearch.config import DataConfig
from raysearch.data.__main__ import app
from raysearch.data.dataset import open_dataset


def test_check_prints_the_table_and_the_fingerprint(split_folders: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(split_folders)])
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["fingerprint", open_dataset(DataConfig(source=str(split_folders)), 8).fingerprint] in lines
    assert lines[-4:] == [
        ["class", "train", "held_out", "test"],
        ["cat", "2", "2", "2"],
        ["dog", "2", "2", "2"],
        ["all", "4", "4", "4"],
    ]


def test_check_of_one_split_needs_no_other(split_folders: Path) -> None:
    for name in ("train", "test"):
        (split_folders / name).rename(split_folders / f".{name}")
    result = CliRunner().invoke(app, ["check", str(split_folders), "--split", "val"])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].split() == ["all", "4"]


def test_check_prints_every_fault_and_exits_with_2(split_folders: Path) -> None:
    (split_folders / "train/cat/a.png").write_bytes(b"")
    (split_folders / "val/dog/b.png").write_bytes(b"")
    result = CliRunner().invoke(app, ["check", str(split_folders)])
    assert result.exit_code == 2
    assert not result.stdout
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["error", "error"]


def test_help_is_complete() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "check" in result.stdout
    result = CliRunner().invoke(app, ["check", "--help"])
    assert result.exit_code == 0
    for word in ("digits", "val.parquet", "test/", "--split"):
        assert word in result.stdout
