from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from raysearch.errors import PredictionsError
from raysearch.predictions import Predictions, check_aligned, read_predictions, write_predictions

PREDICTIONS = Predictions(
    sample_ids=("a/1.png", "b/o'clock.png", "b/größe.png"),
    labels=np.array([0, 1, 1], np.int32),
    probs=np.array([[0.75, 0.25], [0.5, 0.5], [0.1, 0.9]], np.float32),
    classes=("ape", "bee"),
    split="held_out",
    fingerprint="ab" * 32,
    trial_number=3,
    view="teacher-fused",
    weights_sha256="cd" * 32,
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "it's a [folder]" / "teacher-fused.arrow"
    write_predictions(path, PREDICTIONS)
    return path


def test_predictions_survive_a_round_trip(path):
    found = read_predictions(path)
    np.testing.assert_array_equal(found.probs, PREDICTIONS.probs)
    np.testing.assert_array_equal(found.labels, PREDICTIONS.labels)
    assert (found.probs.dtype, found.labels.dtype) == (np.float32, np.int32)
    names = ("sample_ids", "classes", "split", "fingerprint", "trial_number", "view", "weights_sha256", "name")
    assert all(getattr(found, name) == getattr(PREDICTIONS, name) for name in names)
    assert found.name == "0003-teacher-fused"
    assert list(path.parent.iterdir()) == [path]


def test_the_file_is_the_documented_table(path):
    schema = pa.ipc.open_file(path).schema
    assert schema.names == ["sample_id", "label", "probs"]
    assert schema.types == [pa.string(), pa.int32(), pa.list_(pa.float32(), 2)]


def test_probabilities_are_read_only_and_mapped_not_copied(tmp_path):
    many = 50_000
    large = replace(
        PREDICTIONS,
        sample_ids=tuple(map(str, range(many))),
        labels=np.zeros(many, np.int32),
        probs=np.full((many, 2), 0.5, np.float32),
    )
    write_predictions(tmp_path / "large.arrow", large)
    before = pa.total_allocated_bytes()
    found = read_predictions(tmp_path / "large.arrow")
    assert pa.total_allocated_bytes() - before < found.probs.nbytes / 10
    assert not found.probs.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        found.probs[0, 0] = 1


def test_an_empty_file_survives_a_round_trip(tmp_path):
    empty = replace(PREDICTIONS, sample_ids=(), labels=np.zeros(0, np.int32), probs=np.zeros((0, 2), np.float32))
    write_predictions(tmp_path / "empty.arrow", empty)
    assert read_predictions(tmp_path / "empty.arrow").probs.shape == (0, 2)


def foreign(path):
    table = pa.table({"x": [1]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)


def without_labels(path):
    table = pa.ipc.open_file(path).read_all().drop_columns(["label"])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no arrow file at all"),
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        foreign,
        without_labels,
    ],
    ids=["missing", "empty", "text", "cut off", "of something else", "without a column"],
)
def test_a_malformed_file_is_named(spoil, tmp_path):
    path = tmp_path / "0003.arrow"
    write_predictions(path, PREDICTIONS)
    spoil(path)
    with pytest.raises(PredictionsError) as raised:
        read_predictions(path)
    assert str(raised.value).startswith(f"{path}: cannot be read as predictions (")


def test_shapes_that_do_not_fit_fail_an_assertion():
    with pytest.raises(AssertionError, match=r"probs \(3, 2\), expected \(3, 3\)"):
        replace(PREDICTIONS, classes=("ape", "bee", "cat"))


def test_aligned_predictions_pass():
    other = replace(PREDICTIONS, probs=np.full((3, 2), 0.5, np.float32), trial_number=4, view="student-final")
    check_aligned([PREDICTIONS, other], ["one.arrow", "two.arrow"])


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"split": "test"}, "split 'test', not 'held_out'"),
        ({"classes": ("ape", "cat")}, "different classes (bee, cat)"),
        ({"classes": ("bee", "ape")}, "different classes (in another order)"),
        ({"sample_ids": ("a/1.png", "x", "b/größe.png")}, "different samples (b/o'clock.png, x)"),
        ({"sample_ids": PREDICTIONS.sample_ids[::-1]}, "different samples (in another order)"),
        ({"labels": np.array([0, 0, 1], np.int32)}, "sample \"b/o'clock.png\" has label 'ape'"),
        ({"fingerprint": "ef" * 32}, "different data (fingerprint efefefefefef, not abababababab)"),
    ],
)
def test_each_difference_is_refused_by_file_and_by_name(change, difference):
    others = [PREDICTIONS, replace(PREDICTIONS, **change), replace(PREDICTIONS, **change)]
    with pytest.raises(PredictionsError) as raised:
        check_aligned([PREDICTIONS, *others], ["first", "same", "two", "three"])
    assert raised.value.faults == [f"{name}: {difference}, unlike first" for name in ("two", "three")]
