import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from raysearch.errors import PredictionsError, SetError, StudyError
from raysearch.export import check, write
from raysearch.export.write import export_set
from raysearch.io import read_json, read_yaml, write_json, write_yaml
from raysearch.paths import StudyPaths
from raysearch.predict.integrity import read_manifest
from raysearch.predictions import read_predictions, write_predictions

pytestmark = pytest.mark.usefixtures("check_in_this_process")


@pytest.fixture
def study(small_study: StudyPaths, tmp_path: Path) -> StudyPaths:
    """A copy of the small study that tests may damage."""
    return StudyPaths(shutil.copytree(small_study.root, tmp_path / "study"))


@pytest.fixture
def refused(study: StudyPaths, tmp_path: Path) -> Callable[..., str]:
    """Export the damaged study, check that nothing was written, and return the error message."""

    def export(error: type[Exception], name: str = "mixed") -> str:
        out = tmp_path / "sets" / "best"
        with pytest.raises(error) as caught:
            export_set(study, name, out)
        assert not out.parent.exists() or not list(out.parent.iterdir())
        return str(caught.value)

    return export


def test_a_set_holds_the_listed_files_and_its_manifest_only(small_set: Path) -> None:
    manifest = json.loads((small_set / "ensemble.json").read_text())
    found = {path.relative_to(small_set).as_posix() for path in small_set.rglob("*") if path.is_file()}
    assert found == {"ensemble.json", *manifest["files"]}
    assert [path.name for path in small_set.parent.iterdir()] == [small_set.name]


def test_views_of_the_same_weights_share_a_folder_and_only_fused_ones_bring_the_auxiliary_head(
    small_set: Path,
) -> None:
    manifest = json.loads((small_set / "ensemble.json").read_text())
    folders = {member["name"]: [model["folder"] for model in member["models"]] for member in manifest["members"]}
    assert folders == {
        "0000-teacher-fused": ["members/0000-teacher"],
        "0000-teacher-final": ["members/0000-teacher"],
        "0001-student-final": ["members/0001-student"],
        "0002-student-fused": ["members/0002-student"],
    }
    with_head = {
        name
        for name in {one for found in folders.values() for one in found}
        if (small_set / name / "aux_head.safetensors").exists()
    }
    assert with_head == {"members/0000-teacher", "members/0002-student"}


def test_the_manifest_says_where_the_set_comes_from(small_set: Path, small_study: StudyPaths) -> None:
    manifest = json.loads((small_set / "ensemble.json").read_text())
    stored = json.loads(small_study.ensemble("mixed").read_text())
    assert manifest["study"] == "small"
    assert manifest["fingerprint"] == read_yaml(small_study.study)["data"]["fingerprint"]
    assert manifest["figures"] == {key: stored[key] for key in write.FIGURES}
    assert manifest["temperature"] == stored["calibration"]["temperature"] != 1
    assert (manifest["provenance"]["study"], manifest["provenance"]["trained"]) == ("small", "2026-01-01")
    assert manifest["provenance"]["data_licence"].startswith("CC BY 4.0")
    assert not manifest["refitted"]
    assert manifest["members"][0]["config"] == read_yaml(small_study.trial(0).config)
    assert [(m["image_size"], m["aux_fusion"]) for m in manifest["members"]] == [
        (16, 0.3),
        (16, None),
        (32, None),
        (32, 0.3),
    ]
    assert set(manifest["versions"]) == {"python", "torch", "timm", "raysearch"}


def test_an_existing_folder_is_refused_and_left_as_it_is(study: StudyPaths, tmp_path: Path) -> None:
    out = tmp_path / "best"
    out.mkdir()
    (out / "precious.txt").write_text("mine")
    with pytest.raises(SetError, match=r"already exists; choose another --out or remove it"):
        export_set(study, "mixed", out)
    assert [path.name for path in out.iterdir()] == ["precious.txt"]


def test_altered_weights_are_refused_by_name(study: StudyPaths, refused: Callable[..., str]) -> None:
    path = study.trial(1).weights("student")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    study.trial(2).weights("student").unlink()
    message = refused(SetError)
    assert "0001/checkpoints/student.safetensors: not the weights that made the predictions of member" in message
    assert "0002/checkpoints/student.safetensors: no such file, but member 0002-student-fused" in message


def test_predictions_of_other_weights_than_selected_are_refused(study: StudyPaths, refused: Callable[..., str]) -> None:
    path = study.trial(1).predictions("student-final")
    write_predictions(path, replace(read_predictions(path), weights_sha256="0" * 64))
    assert "member 0001-student-final: its predictions were made by other weights" in refused(PredictionsError)


def test_a_missing_ensemble_lists_the_known_ones_and_the_command(refused: Callable[..., str]) -> None:
    message = refused(StudyError, "gredy")
    assert "gredy.json: no such ensemble; known: greedy, mixed; create one with `raysearch ensemble" in message


def test_a_study_of_data_that_has_changed_is_refused(study: StudyPaths, refused: Callable[..., str]) -> None:
    content = read_yaml(study.study)
    content["space"]["data"]["seed"] = 4
    write_yaml(study.study, content)
    assert "study.yaml: the data in digits has changed since the study began" in refused(StudyError)


def test_a_folder_that_is_not_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="not a study"):
        export_set(StudyPaths(tmp_path), "greedy", tmp_path / "best")


def test_a_set_that_does_not_reproduce_the_stored_probabilities_is_removed(
    study: StudyPaths, refused: Callable[..., str]
) -> None:
    path = study.trial(1).predictions("student-final")
    stored = read_predictions(path)
    shifted = stored.probs.copy()
    shifted[0, :2] += (-0.01, 0.01)
    write_predictions(path, replace(stored, probs=shifted))
    message = refused(SetError)  # the weight is 1/8
    assert (
        "not written: the set's probabilities differ from the stored ones by up to 0.0012, must be less than 0.0001"
        in message
    )
    assert "member 0001-student-final differs most" in message


def test_a_config_that_does_not_fit_its_weights_is_refused(study: StudyPaths, refused: Callable[..., str]) -> None:
    content = read_yaml(study.trial(0).config)
    content["trial"]["backbone"] = "wrn_16_1"
    write_yaml(study.trial(0).config, content)
    assert "teacher.safetensors: not the weights of its trial's config" in refused(SetError)


def test_the_check_does_not_depend_on_the_order_of_the_data(small_study: StudyPaths, tmp_path: Path) -> None:
    """A source may list its samples in another order than when the study was made."""
    study = StudyPaths(shutil.copytree(small_study.root, tmp_path / "study"))
    for member in json.loads(study.ensemble("mixed").read_text())["members"]:
        path = study.trial(member["trial"]).predictions(member["view"])
        stored = read_predictions(path)
        write_predictions(
            path,
            replace(
                stored,
                sample_ids=stored.sample_ids[::-1],
                labels=stored.labels[::-1].copy(),
                probs=stored.probs[::-1].copy(),
            ),
        )
    manifest, result = export_set(study, "mixed", tmp_path / "best")
    assert result.max_difference < 1e-6
    assert manifest.files


@pytest.mark.parametrize(
    ("max_difference", "accuracy", "fault"),
    [(9e-5, 0.5, None), (1e-4, 0.5, "differ"), (float("nan"), 0.5, "differ"), (0.0, 0.48, "accuracy is 0.4800")],
)
def test_a_check_fails_on_a_difference_or_another_accuracy(
    max_difference: float, accuracy: float, fault: str | None
) -> None:
    found = check.Check(50, max_difference, 0.0, "0001-student-final", accuracy, 0.5).fault
    assert (found is None) if fault is None else (found is not None and fault in found)


def test_a_malformed_ensemble_file_is_refused_by_name(study: StudyPaths, refused: Callable[..., str]) -> None:
    write_json(study.ensemble("mixed"), {"name": "mixed"})
    assert "mixed.json" in refused(StudyError)


def test_a_manifest_reads_back_as_it_was_written(small_set: Path, small_study: StudyPaths) -> None:
    from raysearch.paths import SetPaths

    manifest = read_manifest(SetPaths(small_set))
    assert manifest.model_dump(mode="json") == json.loads((small_set / "ensemble.json").read_text())


def test_a_member_added_with_add_is_refused_by_name_with_the_remedy(
    study: StudyPaths, refused: Callable[..., str]
) -> None:
    content = read_json(study.ensemble("mixed"))
    content["members"][2] |= {"trial": None, "view": "theirs.parquet"}
    write_json(study.ensemble("mixed"), content)
    message = refused(SetError)
    assert message.count("\n") == 0
    assert "mixed.json: member theirs.parquet: its predictions were added with --add" in message
    assert message.endswith("run `raysearch ensemble` again without --add")


def test_a_member_with_a_small_weight_is_checked_separately(study: StudyPaths, refused: Callable[..., str]) -> None:
    content = read_json(study.ensemble("mixed"))
    for member, weight in zip(content["members"], (0.5, 0.25, 0.001, 0.249), strict=True):
        member["weight"] = weight
    write_json(study.ensemble("mixed"), content)
    path = study.trial(1).predictions("student-final")
    stored = read_predictions(path)
    shifted = stored.probs.copy()
    shifted[0, :2] += (-0.01, 0.01)
    write_predictions(path, replace(stored, probs=shifted))
    assert "the probabilities of member 0001-student-final differ from the stored ones by up to 0.01," in refused(
        SetError
    )
