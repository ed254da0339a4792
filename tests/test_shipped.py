"""Spaces and recipes that ship are found by name, and what is not there is explained."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from raysearch.ensemble.__main__ import app as ensemble
from raysearch.errors import UserError
from raysearch.export.__main__ import app as export
from raysearch.predict.__main__ import app as predict
from raysearch.shipped import find_file, list_shipped_files, read_summary
from raysearch.space import load_space
from raysearch.spaces.__main__ import app as spaces
from raysearch.train.__main__ import app as train
from raysearch.tune.__main__ import app as tune

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fault(app: object, *words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    return line


def test_what_ships_is_what_the_top_level_folders_hold() -> None:
    for kind in ("spaces", "ensembles"):
        assert set(list_shipped_files(kind)) == {path.stem for path in (ROOT / kind).glob("*.yaml")}


@pytest.mark.parametrize("text", ["cr", "cr.yaml", "spaces/cr.yaml"])
def test_a_space_is_found_by_its_name_from_any_folder(text: str) -> None:
    assert find_file("spaces", text).samefile(ROOT / "spaces/cr.yaml")


@pytest.mark.parametrize("text", ["bagged", "bagged.yaml", "ensembles/bagged.yaml"])
def test_a_recipe_is_found_by_its_name_from_any_folder(text: str) -> None:
    assert find_file("ensembles", text).samefile(ROOT / "ensembles/bagged.yaml")


def test_a_file_of_that_name_is_taken_before_what_ships() -> None:
    Path("cr.yaml").write_text("study: mine\n")
    assert find_file("spaces", "cr.yaml") == Path("cr.yaml")
    assert find_file("spaces", "cr").samefile(ROOT / "spaces/cr.yaml")


def test_a_file_may_extend_a_space_that_ships() -> None:
    Path("mine.yaml").write_text(find_file("spaces", "photos32").read_text())  # extends: cr.yaml
    assert (
        load_space(Path("mine.yaml")).trial.parameters() == load_space(ROOT / "spaces/photos32.yaml").trial.parameters()
    )


def test_a_name_that_is_nowhere_lists_the_known_ones_and_the_nearest() -> None:
    line = fault(tune, "photos23")
    assert "photos23: no such file" in line
    assert "did you mean 'photos32'?" in line
    assert "known: ablation, cr, fit, gem" in line
    assert "did you mean 'greedy'?" in fault(ensemble, "runs/cr", "--recipe", "gready")
    assert "known: ablation" in fault(train, "configs/none.yaml")


def test_a_folder_of_images_is_no_space() -> None:
    Path("photos/cat").mkdir(parents=True)
    line = fault(tune, "photos")
    assert "photos: " in line
    assert "raysearch tune cr --data photos" in line


def test_a_folder_of_a_trial_or_a_study_has_its_own_remedy() -> None:
    trial = Path("runs/cr/trials/0000")
    trial.mkdir(parents=True)
    (trial / "config.yaml").touch()
    Path("runs/cr/study.yaml").touch()
    assert f"give the trial's config: {trial}/config.yaml" in fault(train, str(trial))
    assert "give its space and --resume" in fault(tune, "runs/cr")


def test_what_a_file_extends_is_beside_it_or_ships_and_not_in_the_working_folder() -> None:
    Path("sub").mkdir()
    Path("base.yaml").write_text("study: wrong\n")
    Path("sub/mine.yaml").write_text("extends: base.yaml\nstudy: mine\n")
    assert "sub/mine.yaml: extends: base.yaml: no such file" in fault(tune, "sub/mine.yaml")
    Path("sub/base.yaml").write_text("trial: {epochs: 7}\n")
    assert load_space(Path("sub/mine.yaml")).resolved["trial"]["epochs"] == 7
    Path("sub/mine.yaml").write_text("extends: ../sub\nstudy: mine\n")
    assert "expected a space file, got a folder" in (line := fault(tune, "sub/mine.yaml"))
    assert "--data" not in line


def test_no_space_at_all_names_those_that_ship() -> None:
    assert "cr, fit, gem, jz, photos32" in fault(tune)


@pytest.mark.parametrize("scheme", ["s3", "gs", "https", "hdfs"])
def test_an_address_is_no_folder(scheme: str) -> None:
    url = f"{scheme}://bucket/photos"
    lines = [
        fault(tune, "cr", "--out", url),
        fault(tune, "cr", "--data", url),
        fault(train, "cr", "--out", url),
        fault(export, "runs/cr", "--out", url),
        fault(predict, "best/cr", "a.png", "--out", f"{url}/a.csv"),
    ]
    for line, option in zip(lines, ("--out", "--data", "--out", "--out", "--out"), strict=True):
        assert line.startswith(f"error: {option}: ")
        assert url in line
        assert "NFS, EFS, Lustre" in line
    with pytest.raises(UserError, match="is a URL; download the file and give its path"):
        find_file("spaces", url)
    assert not list(Path().iterdir())


def test_all_that_ships_is_listed_with_a_line_each() -> None:
    shown = CliRunner().invoke(spaces).stdout.splitlines()
    for kind in ("spaces", "ensembles"):
        for name, path in list_shipped_files(kind).items():
            summary = read_summary(path)
            assert 20 < len(summary) <= 110, name
            assert sum(line.split() == [name, *summary.split()] for line in shown) == 1, name


def test_a_space_or_recipe_is_printed_as_it_is() -> None:
    assert CliRunner().invoke(spaces, ["photos32"]).stdout == (ROOT / "spaces/photos32.yaml").read_text()
    assert CliRunner().invoke(spaces, ["bagged.yaml"]).stdout == (ROOT / "ensembles/bagged.yaml").read_text()
    assert "did you mean 'photos32'?" in fault(spaces, "photo32")
