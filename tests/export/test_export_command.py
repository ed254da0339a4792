import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from raysearch.paths import StudyPaths


@pytest.mark.slow
def test_the_command_verifies_in_a_fresh_process_and_says_so(small_study: StudyPaths, tmp_path: Path) -> None:
    out = tmp_path / "sets" / "best"
    command = [sys.executable, "-m", "raysearch.export", str(small_study.root), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    verified = re.search(r"of 40 held-out images: max difference (\S+), accuracy (\S+) both", done.stdout)
    assert verified
    assert float(verified[1]) < 1e-6
    assert (out / "ensemble.json").is_file()


def test_a_user_mistake_is_a_line_on_stderr_and_exit_code_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raysearch.export", str(tmp_path / "nowhere"), "--out", str(tmp_path / "best")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "no such folder; give the folder that raysearch.tune printed" in done.stderr
    assert "Traceback" not in done.stderr
