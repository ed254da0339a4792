"""README.md of a set, and what the data's own files say of their licence."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raysearch.ensemble.results import read_ensemble
from raysearch.export.card import card_of
from raysearch.export.provenance import data_licence
from raysearch.io import parse_yaml, read_json
from raysearch.paths import SetPaths, StudyPaths
from raysearch.predict.integrity import read_manifest


@pytest.fixture
def card(small_set: Path) -> str:
    return (small_set / "README.md").read_text()


def test_the_front_matter_is_that_of_a_hugging_face_card(card: str) -> None:
    _, front, body = card.split("---\n", 2)
    assert parse_yaml(front) == {
        "license": "unknown",
        "pipeline_tag": "image-classification",
        "library_name": "timm",
        "tags": ["image-classification", "ensemble", "raysearch"],
    }
    assert body.lstrip().startswith("# Ensemble `mixed` of the study `small`")


def test_figures_have_their_interval_cross_fitted_and_in_sample(card: str, small_study: StudyPaths) -> None:
    stored = read_json(small_study.ensemble("mixed"))
    fitted = stored["cross_fitted"]
    row = next(line for line in card.splitlines() if line.startswith("| this ensemble |"))
    assert f"{100 * fitted['accuracy']:.1f} % ({100 * fitted['low']:.1f} to {100 * fitted['high']:.1f})" in row
    assert row.endswith(f"| {100 * stored['in_sample']['accuracy']:.1f} % |")
    assert f"{100 * stored['gain']['low']:+.1f} to {100 * stored['gain']['high']:+.1f}" in card
    assert f"temperature {stored['calibration']['temperature']:.2f}" in card


def test_every_member_and_the_limits_stand_there(card: str, small_study: StudyPaths) -> None:
    ensemble = read_ensemble(small_study.ensemble("mixed"))
    for member in ensemble.members:
        assert f"| {member.name} | {member.weight:.4f} |" in card
    assert "## Intended use" in card
    assert "An image of none of the classes gets one of them all the same." in card
    assert "40 held-out images" in card


def test_the_commands_of_the_card_name_what_is_there(card: str, small_set: Path) -> None:
    assert 'timm.create_model("local-dir:THIS_FOLDER/members/0000-teacher", pretrained=True)' in card
    assert (small_set / "members/0000-teacher").is_dir()
    assert "ensemble.onnx" not in card, "there is none"


def test_a_vote_that_is_no_better_for_sure_is_said_to_be_so(small_set: Path, small_study: StudyPaths) -> None:
    manifest = read_manifest(SetPaths(small_set))
    ensemble = read_ensemble(small_study.ensemble("mixed"))
    said = "not better for sure than the best single member"
    assert said in card_of(manifest, replace(ensemble, recommended="single"), {})
    assert said not in card_of(manifest, replace(ensemble, recommended="ensemble"), {})


def test_an_unknown_licence_is_to_be_checked(small_set: Path, small_study: StudyPaths) -> None:
    manifest = read_manifest(SetPaths(small_set))
    ensemble = read_ensemble(small_study.ensemble("mixed"))
    unknown = manifest.model_copy(update={"provenance": manifest.provenance.model_copy(update={"data_licence": None})})
    assert "Licence of the data: unknown: check before you share the set" in card_of(unknown, ensemble, {})
    assert "Licence of the data: CC BY 4.0 (UCI" in card_of(manifest, ensemble, {})


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: cc-by-4.0\ntags: [a]\n---\n# Data", "cc-by-4.0"),
        ("# Data\n\n**License:** MIT\n", "MIT"),
        ("Origin: a page. Licence: CC BY 4.0. Re-encoded.", "CC BY 4.0"),
        ("Licence: none stated by the authors; cite the report.\nMore", "none stated by the authors; cite the report"),
        ("---\nlicense:\n- mit\n---", None),
        ("There is a licence somewhere.", None),
    ],
)
def test_a_readme_beside_the_data_states_the_licence(tmp_path: Path, text: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_text(text)
    assert data_licence(str(tmp_path)) == licence


def test_else_a_licence_file_or_the_parquet_files_metadata_do(tmp_path: Path) -> None:
    schema = pa.schema({"label": pa.int64()}, {"huggingface": json.dumps({"info": {"license": "apache-2.0"}})})
    assert data_licence(str(tmp_path)) is None
    pq.write_table(pa.table({"label": [1]}, schema=schema), tmp_path / "train.parquet")
    assert data_licence(str(tmp_path)) == "apache-2.0"
    (tmp_path / "LICENSE.txt").write_text("\n  Creative Commons Zero v1.0 Universal\n\nMore\n")
    assert data_licence(str(tmp_path)) == "Creative Commons Zero v1.0 Universal (LICENSE.txt)"


def test_files_that_are_none_of_these_state_nothing(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    (tmp_path / "train.parquet").write_bytes(b"no parquet")
    (tmp_path / "LICENSE").write_text("\n\n")
    assert data_licence(str(tmp_path)) is None
    assert data_licence(str(tmp_path / "nowhere")) is None
