import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from raysearch.errors import StudyError
from raysearch.export.__main__ import command
from raysearch.paths import StudyPaths


def test_the_command_says_what_a_fresh_process_verified(export_output: str, small_set: Path) -> None:
    verified = re.search(r"of 40 held-out images: max difference (\S+), accuracy (\S+) in both", export_output)
    assert verified
    assert float(verified[1]) < 1e-6
    assert "4 members from 3 checkpoints" in export_output
    assert re.search(r"Cross-fitted accuracy on held-out images: \S+ % \(\S+ to \S+\)", export_output)
    assert export_output.splitlines()[-1] == f"Written to {small_set}"


def test_refit_options_reach_the_refit_and_its_study_reaches_the_export(
    small_study: StudyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = {}

    def refit_ensemble(study: StudyPaths, name: str, **options: object) -> StudyPaths:
        received.update(options, study=study, name=name)
        return StudyPaths(tmp_path / "refit that is none")

    monkeypatch.setitem(sys.modules, "raysearch.tune.refit", SimpleNamespace(refit_ensemble=refit_ensemble))
    with pytest.raises(StudyError, match="refit that is none: no such folder"):
        command(small_study.root, tmp_path / "set", "mixed", "digits", refit=True, refit_seeds=3)
    options = {"seeds": 3, "held_out_per_class": 2, "source": "digits"}
    assert received == {"study": small_study, "name": "mixed", **options}
    assert not (tmp_path / "set").exists()
