"""Trainings pause on a full disk and lose nothing. Uses a small file system where one can be mounted."""

import errno
import threading
import time
from pathlib import Path

import pytest

from raysearch.io import append_line
from raysearch.paths import TrialPaths
from raysearch.train import disk
from raysearch.train.loop import train

SIZE = 60 * 2**20


def fill(folder: Path, leave: int) -> Path:
    """Fill the disk so that this many bytes are free."""
    file = folder / "others"
    file.write_bytes(b"x" * (disk.free_bytes(folder) - leave))
    return file


def test_a_training_waits_for_disk_space_and_loses_nothing(small_disk, config, digits, host, metrics_of, monkeypatch):
    monkeypatch.setattr(disk, "POLL_S", 0.05)
    paths, whole = TrialPaths(small_disk / "trial"), TrialPaths(small_disk.parent / "whole")
    others = fill(small_disk, leave=100_000)  # less than a checkpoint
    thread = threading.Thread(target=train, args=[config(), digits, paths, host()])
    thread.start()
    wait_for(paths.paused.is_file)
    assert "waits for disk space: 0." in paths.paused.read_text()
    time.sleep(1)
    assert thread.is_alive()
    others.unlink()
    thread.join(60)
    assert not thread.is_alive()
    assert not paths.paused.exists()
    train(config(), digits, whole, host())
    assert metrics_of(paths) == metrics_of(whole)
    assert paths.weights("student").read_bytes() == whole.weights("student").read_bytes()


def test_what_does_not_fit_is_written_again_when_more_is_free(small_disk, monkeypatch):
    monkeypatch.setattr(disk, "POLL_S", 0.05)
    monkeypatch.setattr(disk, "RESERVE", 2**20)
    others = fill(small_disk, leave=5 * 2**20)
    large = small_disk / "large"
    threading.Timer(1.0, others.unlink).start()
    disk.retry_while_disk_full(TrialPaths(small_disk), lambda: large.write_bytes(b"y" * 20 * 2**20))
    assert large.stat().st_size == 20 * 2**20


def test_a_line_is_appended_whole_or_not_at_all(small_disk):
    file = small_disk / "lines"
    file.write_text("first\n")
    fill(small_disk, leave=0)
    with pytest.raises(OSError, match="No space left"):
        append_line(file, "z" * 10**6)
    assert file.read_text() == "first\n"


def test_the_message_of_every_library_for_a_full_disk_is_known(small_disk):
    import pyarrow as pa
    import torch
    from safetensors.torch import save_file

    tensor = torch.zeros(SIZE // 2)
    table = pa.table({"x": tensor.numpy()})

    def write_arrow():
        with pa.OSFile(str(small_disk / "c"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
            out.write_table(table)

    writers = [
        lambda: torch.save(tensor, small_disk / "a"),
        lambda: save_file({"x": tensor}, small_disk / "b"),
        write_arrow,
        lambda: (small_disk / "d").write_bytes(b"x" * 2 * SIZE),
    ]
    for write in writers:
        with pytest.raises(Exception) as raised:  # noqa: PT011 - each its own
            write()
        assert disk.is_disk_full(raised.value), raised.value
        for file in small_disk.iterdir():
            file.unlink()


def test_other_errors_are_raised(tmp_path):
    def write():
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        disk.retry_while_disk_full(TrialPaths(tmp_path), write)


def wait_for(condition, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
