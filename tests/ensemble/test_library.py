import numpy as np
import pytest

from raysearch.ensemble.library import is_dropped, load_library
from raysearch.errors import PredictionsError, StudyError
from raysearch.io import write_json, write_text, write_yaml
from raysearch.paths import StudyPaths


def faults_of(study):
    with pytest.raises(PredictionsError) as caught:
        load_library(study)
    return caught.value.faults


def test_complete_and_pruned_trials_are_candidates_failed_and_unfinished_ones_are_not(study, write_view):
    for number, state in enumerate(["COMPLETE", "PRUNED", "FAIL", None]):
        write_view(number, state=state)
    assert load_library(study).names == ("0000-student-final", "0001-student-final")


def test_every_stored_view_is_a_candidate_in_the_order_of_trial_and_view(study, write_view):
    write_view(10, "student-final")
    write_view(2, "teacher-fused")
    write_view(2, "student-final")
    assert load_library(study).names == ("0002-student-final", "0002-teacher-fused", "0010-student-final")


def test_only_the_views_asked_for_are_candidates(study, write_view):
    write_view(0, "student-final")
    write_view(0, "teacher-final")
    assert load_library(study, ["teacher-final"]).names == ("0000-teacher-final",)


def test_probabilities_are_mapped_from_the_file_not_copied(study, write_view):
    write_view(0)
    (probs,) = load_library(study).probs
    assert not probs.flags.owndata
    assert not probs.flags.writeable


def test_a_finished_trial_without_predictions_is_noted_and_left_out(study, write_view):
    write_view(0)
    write_view(1).unlink()
    library = load_library(study)
    assert library.names == ("0000-student-final",)
    assert library.notes == ("trial 1 has no stored predictions of the selected views and is left out",)


def test_trials_that_have_not_finished_are_named_and_left_out(study, write_view):
    write_view(0)
    for number in range(1, 8):
        write_view(number, state=None)
    library = load_library(study)
    assert library.names == ("0000-student-final",)
    assert library.notes == ("7 trials (1, 2, 3, 4, 5 and 2 more) have not finished and are left out",)


def test_a_view_comes_with_its_forms_at_other_resolutions_unless_they_are_not_wanted(study, write_view):
    for view in ("student-final-40px", "student-final", "teacher-final-40px", "student-final-tencrop"):
        write_view(0, view)
    assert load_library(study).names == tuple(
        f"0000-{v}" for v in ("student-final", "student-final-40px", "teacher-final-40px", "student-final-tencrop")
    )
    assert load_library(study, ["student-final"]).names == ("0000-student-final", "0000-student-final-40px")
    assert load_library(study, ["student-final"], resolutions=False).names == ("0000-student-final",)


def test_weights_are_dropped_where_the_result_says_so_and_they_are_not_there(study, write_view):
    write_view(0)
    trial = study.trial(0)
    assert not is_dropped(trial, "student")
    write_json(trial.result, {"state": "COMPLETE", "dropped": ["student"]})
    assert is_dropped(trial, "student")
    assert not is_dropped(trial, "teacher")
    write_text(trial.weights("student"), "brought back")
    assert not is_dropped(trial, "student")
    assert not is_dropped(study.trial(9), "student")


def test_of_a_trial_of_several_trainings_each_must_have_its_weights(study, write_view):
    write_view(0)
    trial = study.trial(0)
    write_json(trial.result, {"state": "COMPLETE", "dropped": ["student"]})
    for fold in range(3):
        write_text(trial.fold(fold).weights("student"), "weights")
    assert not is_dropped(trial, "student")
    trial.fold(1).weights("student").unlink()
    assert is_dropped(trial, "student")


def test_predictions_of_the_test_split_are_refused_by_name(study, write_view):
    write_view(0)
    write_view(1, split="test")
    (fault,) = faults_of(study)
    assert "0001/predictions/student-final.arrow: made on the 'test' split" in fault


def test_predictions_of_other_data_than_the_study_are_refused(study, write_view):
    write_view(0, fingerprint="cd" * 32)
    (fault,) = faults_of(study)
    assert "student-final.arrow: made on other data than study.yaml" in fault
    assert "cdcdcdcdcdcd, not abababababab" in fault


def test_every_file_that_does_not_fit_is_reported_with_its_difference(study, write_view):
    write_view(0)
    write_view(1, sample_ids=tuple(f"{i:03d}" for i in range(1, 61)))
    write_view(2, classes=("cat", "dog", "fox"))
    write_view(3, labels=np.zeros(60, dtype=np.int32))
    write_view(4, view="student-final").write_bytes(b"no arrow")
    write_view(5, trial_number=6)
    probs = np.full((60, 3), 1 / 3, dtype=np.float32)
    probs[7, 0] = np.nan
    write_view(6, probs=probs)
    write_view(7, labels=np.full(60, 3, dtype=np.int32))
    write_view(9, sample_ids=("000", *(f"{i:03d}" for i in range(59))))
    study.trial(8).root.mkdir()
    study.trial(8).result.write_text("[]")
    expected = {
        1: "different samples (000, 060)",
        2: "different classes (emu, fox)",
        3: "sample '001' has label 'cat'",
        4: "cannot be read as predictions",
        5: "contains predictions of 0006-student-final, not of 0005-student-final",
        6: "for sample '007' they sum to nan",
        7: "labels must be class indices from 0 to 2",
        8: "must contain a state",
        9: "sample ids must be unique, but '000' occurs more than once",
    }
    faults = faults_of(study)
    assert len(faults) == len(expected)
    for number, text in expected.items():
        (fault,) = [fault for fault in faults if f"/{number:04d}/" in fault]
        assert text in fault


def test_a_study_without_finished_trials_says_what_it_has_and_what_to_do(study, write_view):
    write_view(0, state="FAIL")
    write_view(1, state=None)
    with pytest.raises(StudyError, match=r"1 FAIL, 1 unfinished.*finish a trial with `raysearch tune` first"):
        load_library(study)


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(StudyError, match="not a study"):
        load_library(StudyPaths(tmp_path))


def test_a_study_file_without_a_fingerprint_is_refused(study, write_view):
    write_view(0)
    write_yaml(study.study, {"study": "small"})
    with pytest.raises(StudyError, match=r"study\.yaml: data: field required"):
        load_library(study)
