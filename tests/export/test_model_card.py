"""The model card (README.md of a set), and the licence that the data source states."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raysearch.ensemble.calibration import MAX_TEMPERATURE
from raysearch.ensemble.members import Contribution
from raysearch.ensemble.results import read_ensemble
from raysearch.ensemble.selection import Score
from raysearch.export.card import render_card
from raysearch.export.provenance import find_data_licence
from raysearch.io import parse_yaml, read_json
from raysearch.paths import SetPaths, StudyPaths
from raysearch.predict.integrity import read_manifest


@pytest.fixture
def card(small_set: Path) -> str:
    return (small_set / "README.md").read_text()


def test_the_card_has_hugging_face_front_matter(card: str) -> None:
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


def test_the_card_lists_every_member_and_the_limits(card: str, small_study: StudyPaths) -> None:
    ensemble = read_ensemble(small_study.ensemble("mixed"))
    for member in ensemble.members:
        assert f"| {member.name} | {member.weight:.4f} |" in card
    assert "## Intended use" in card
    assert "An image that shows none of the classes still gets one of them." in card
    assert "Measured on 40 held-out images" in card


def test_the_commands_of_the_card_name_what_is_there(card: str, small_set: Path) -> None:
    assert 'timm.create_model("local-dir:THIS_FOLDER/members/0000-teacher", pretrained=True)' in card
    assert (small_set / "members/0000-teacher").is_dir()
    assert "ensemble.onnx" not in card, "the set has no ONNX file"


def test_the_card_says_if_the_ensemble_is_not_significantly_better(small_set: Path, small_study: StudyPaths) -> None:
    manifest = read_manifest(SetPaths(small_set))
    ensemble = read_ensemble(small_study.ensemble("mixed"))
    limit = "not significantly better than the simpler best single member"
    assert limit in render_card(manifest, replace(ensemble, recommended="single"), {})
    assert limit not in render_card(manifest, replace(ensemble, recommended="ensemble"), {})


def test_the_card_shows_each_members_own_accuracy_and_explains_weak_ones(
    small_set: Path, small_study: StudyPaths
) -> None:
    manifest = read_manifest(SetPaths(small_set))
    ensemble = read_ensemble(small_study.ensemble("mixed"))
    heaviest = max(ensemble.members, key=lambda member: member.weight)
    weak = replace(heaviest, alone=Score(0.123, 2.0), contribution=Contribution(0.02, -0.1, 1.0))
    members = tuple(weak if member is heaviest else member for member in ensemble.members)
    single = replace(ensemble.best_single, in_sample=Score(0.5, 1.0))
    card = render_card(manifest, replace(ensemble, members=members, best_single=single), {})
    assert next(line for line in card.splitlines() if line.startswith(f"| {weak.name} |")).count("| 12.3 % |") == 1
    assert f"Member {weak.name}: its accuracy alone is 12.3 %, the best single model's 50.0 %." in card
    assert "the cross-fitted accuracy of the vote is 2.0 points lower." in card


def test_the_card_explains_a_temperature_at_a_limit(small_set: Path, small_study: StudyPaths) -> None:
    manifest = read_manifest(SetPaths(small_set))
    ensemble = read_ensemble(small_study.ensemble("mixed"))
    for temperature, count in ((MAX_TEMPERATURE, 1), (1.5, 0)):
        calibration = replace(ensemble.calibration, temperature=temperature)
        card = render_card(manifest, replace(ensemble, calibration=calibration), {})
        assert card.count("- The temperature is at the upper limit of its range, 20:") == count


def test_the_card_asks_the_user_to_check_an_unknown_licence(small_set: Path, small_study: StudyPaths) -> None:
    manifest = read_manifest(SetPaths(small_set))
    ensemble = read_ensemble(small_study.ensemble("mixed"))
    unknown = manifest.model_copy(update={"provenance": manifest.provenance.model_copy(update={"data_licence": None})})
    assert "Licence of the data: unknown: check before you share the set" in render_card(unknown, ensemble, {})
    assert "Licence of the data: CC BY 4.0 (UCI" in render_card(manifest, ensemble, {})


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
def test_the_licence_is_read_from_a_readme_next_to_the_data(tmp_path: Path, text: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_text(text)
    assert find_data_licence(str(tmp_path)) == licence


def test_the_licence_is_read_from_a_licence_file_or_parquet_metadata(tmp_path: Path) -> None:
    schema = pa.schema({"label": pa.int64()}, {"huggingface": json.dumps({"info": {"license": "apache-2.0"}})})
    assert find_data_licence(str(tmp_path)) is None
    pq.write_table(pa.table({"label": [1]}, schema=schema), tmp_path / "train.parquet")
    assert find_data_licence(str(tmp_path)) == "apache-2.0"
    (tmp_path / "LICENSE.txt").write_text("\n  Creative Commons Zero v1.0 Universal\n\nMore\n")
    assert find_data_licence(str(tmp_path)) == "Creative Commons Zero v1.0 Universal (LICENSE.txt)"


def test_other_files_state_no_licence(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    (tmp_path / "train.parquet").write_bytes(b"no parquet")
    (tmp_path / "LICENSE").write_text("\n\n")
    assert find_data_licence(str(tmp_path)) is None
    assert find_data_licence(str(tmp_path / "nowhere")) is None
