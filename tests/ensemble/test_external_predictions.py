import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.external import add_files
from raysearch.ensemble.library import load_library
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.results import ensemble_probs
from raysearch.errors import PredictionsError

IDS = [f"{i:03d}" for i in range(60)]
CLASSES = ("cat", "dog", "emu")
QUICK = Recipe(rounds=10, repeats=1, bootstrap=20)


def probs_of(seed=0, strength=3.0):
    logits = np.random.default_rng(seed).normal(size=(60, 3)) + strength * np.eye(3)[np.arange(60) % 3]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def table_of(probs, order=slice(None), id_column="id", prefix="prob_", **columns):
    values = {prefix + name: probs[order, at] for at, name in enumerate(CLASSES)}
    return pa.table({id_column: np.array(IDS)[order], **values, **columns})


def write(path, table):
    writer = pyarrow.csv.write_csv if path.suffix == ".csv" else pyarrow.parquet.write_table
    writer(table, path)
    return path


@pytest.fixture
def library(study, write_view):
    write_view(0)
    write_view(1)
    return load_library(study)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize(("id_column", "prefix"), [("id", "prob_"), ("sample_id", "")])
def test_rows_and_classes_in_any_order_are_matched_by_name(library, tmp_path, suffix, id_column, prefix):
    probs = probs_of()
    table = table_of(probs, np.random.default_rng(1).permutation(60), id_column, prefix)
    table = table.select([prefix + "emu", id_column, prefix + "cat", prefix + "dog"])
    file = write(tmp_path / f"other{suffix}", table)
    (added,) = add_files(library, [file]).added
    np.testing.assert_allclose(added.probs, probs, atol=1e-6)
    assert added.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_what_raysearch_predict_writes_is_read_as_it_is(library, tmp_path):
    probs = probs_of()
    said = np.array(CLASSES)[probs.argmax(axis=1)]
    table = table_of(probs, prediction=said, confidence=probs.max(axis=1))
    found = add_files(library, [write(tmp_path / "other.parquet", table)])
    assert found.names == ("0000-student-final", "0001-student-final", "other.parquet")


def test_a_strong_added_candidate_becomes_a_member_without_a_trial(study, library, tmp_path):
    file = write(tmp_path / "other.parquet", table_of(probs_of(strength=6.0)))
    ensemble = build_ensemble(study, QUICK, [file])
    member = next(member for member in ensemble.members if member.trial is None)
    assert (member.name, member.view, member.backbone) == ("other.parquet", "other.parquet", None)
    assert member.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert ensemble.best_single.name == "other.parquet"
    probs = ensemble_probs(ensemble, add_files(library, [file]))
    assert (probs.argmax(axis=1) == library.labels).mean() == ensemble.in_sample.accuracy


def test_an_ensemble_whose_file_was_not_added_again_or_has_changed_is_refused(study, library, tmp_path):
    file = write(tmp_path / "other.parquet", table_of(probs_of(strength=6.0)))
    ensemble = build_ensemble(study, QUICK, [file])
    with pytest.raises(PredictionsError, match=r"member other\.parquet: its predictions are no longer stored"):
        ensemble_probs(ensemble, library)
    write(file, table_of(probs_of(seed=1)))
    with pytest.raises(PredictionsError, match=r"member other\.parquet: its predictions were made by other weights"):
        ensemble_probs(ensemble, add_files(library, [file]))


def without(*rows):
    return [row for row in range(60) if row not in rows]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (table_of(probs_of(), without(7)), r"id: misses '007'; the ids must be the study's 60 held-out"),
        (
            table_of(probs_of(), [*range(60), 7]),
            r"id: .* but '007' occurs more than once",
        ),
        (
            table_of(probs_of(), id_column="name"),
            r"must have a column 'id' .*, but has the columns name, prob_cat",
        ),
        (
            table_of(probs_of()).drop(["prob_emu"]),
            r"misses prob_emu; each .* needs a column 'prob_<class>'",
        ),
        (
            table_of(probs_of()).drop(["prob_cat", "prob_dog", "prob_emu"]),
            r"misses cat, dog, emu; each of the study's classes needs a column 'prob_<class>' ",
        ),
        (table_of(probs_of(), prob_dig=np.zeros(60)), r"prob_dig: not a class of the study; did you mean 'prob_dog'\?"),
        (
            table_of(np.where(np.arange(60)[:, None] == 7, np.nan, probs_of())),
            r".*for sample '007' they sum to nan",
        ),
        (table_of(2 * probs_of()), r".*for sample '000' they sum to 2 .*and 59 more samples"),
        (table_of(probs_of() - 0.5), r".*for sample '000' they sum to"),
        (
            table_of(probs_of()).set_column(1, "prob_cat", pa.array(["much"] * 60)),
            r"prob_cat: must contain numbers, got string",
        ),
    ],
    ids=["missing", "duplicate", "no id", "class", "no class", "unknown", "nan", "sums", "negative", "text"],
)
def test_a_file_that_does_not_fit_gets_one_error_that_names_it(library, tmp_path, table, message):
    file = write(tmp_path / "other.parquet", table)
    with pytest.raises(PredictionsError, match=rf"other\.parquet: {message}") as caught:
        add_files(library, [file])
    assert len(caught.value.faults) == 1


def test_ids_that_the_study_does_not_hold_out_are_refused(library, tmp_path):
    table = pa.concat_tables(
        [table_of(probs_of()), table_of(probs_of()).slice(0, 1).set_column(0, "id", pa.array(["x"]))]
    )
    with pytest.raises(PredictionsError, match=r"id: has unknown 'x'"):
        add_files(library, [write(tmp_path / "other.parquet", table)])


def test_files_that_cannot_be_read_are_all_named(library, tmp_path):
    (tmp_path / "broken.parquet").write_text("not parquet")
    (tmp_path / "x.json").write_text("{}")
    twin = tmp_path / "twin"
    twin.mkdir()
    files = [tmp_path / "broken.parquet", tmp_path / "none.csv", tmp_path / "x.json"]
    with pytest.raises(PredictionsError) as caught:
        add_files(library, files)
    assert len(caught.value.faults) == 3
    assert caught.value.faults[1].endswith("none.csv: no such file")
    for file, fault in zip(files, caught.value.faults, strict=True):
        assert file.name in fault


def test_a_csv_file_that_is_not_text_is_named(library, tmp_path):
    (tmp_path / "other.csv").write_bytes(b"\xfb\xfe,a\n1,2\n")
    with pytest.raises(PredictionsError, match=r"other\.csv: not UTF-8 text"):
        add_files(library, [tmp_path / "other.csv"])


def test_two_files_of_one_name_are_refused(library, tmp_path):
    (tmp_path / "twin").mkdir()
    files = [write(folder / "other.csv", table_of(probs_of())) for folder in (tmp_path, tmp_path / "twin")]
    with pytest.raises(PredictionsError, match=r"--add other\.csv: file names must be unique"):
        add_files(library, files)
