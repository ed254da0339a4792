"""The whole ensemble as one ONNX file."""

import importlib
import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from small_study import DATA, MIXED

from raysearch.config import DataConfig
from raysearch.data.dataset import open_dataset
from raysearch.errors import SetError
from raysearch.export import onnx_vote
from raysearch.export.onnx_vote import measure_onnx_difference, require_room, write_onnx
from raysearch.export.write import export_set
from raysearch.paths import StudyPaths
from raysearch.predict.checkpoint_set import CheckpointSet, load_set


@pytest.fixture(scope="module")
def with_onnx(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> CheckpointSet:
    """The set `mixed` with its ONNX file: two image sizes, fused and final views, two members with the same network."""
    torch.set_num_threads(1)
    loaded = load_set(shutil.copytree(small_set, tmp_path_factory.mktemp("onnx") / "set"))
    entry = write_onnx(loaded.paths.onnx, loaded)
    return CheckpointSet(loaded.paths, loaded.manifest.model_copy(update={"onnx": entry}), loaded.classifiers)


def held_out(loaded: CheckpointSet) -> dict[int, np.ndarray]:
    return {size: open_dataset(DataConfig(**DATA), size).splits["held_out"].images for size in loaded.image_sizes}


def run(loaded: CheckpointSet, images: dict[int, np.ndarray]) -> list[np.ndarray]:
    """Run the ONNX file using only what `ensemble.json` says."""
    assert loaded.manifest.onnx is not None
    session = onnxruntime.InferenceSession(str(loaded.paths.onnx), providers=["CPUExecutionProvider"])
    pixels = {e.name: images[e.side].transpose(0, 3, 1, 2).astype(np.float32) for e in loaded.manifest.onnx.inputs}
    return session.run(loaded.manifest.onnx.outputs, pixels)


@pytest.mark.parametrize("samples", [1, 7])
def test_raw_pixels_give_the_sets_vote_and_the_calibrated_one_in_batches_of_any_size(
    with_onnx: CheckpointSet, samples: int
) -> None:
    images = {size: pixels[:samples] for size, pixels in held_out(with_onnx).items()}
    probs, calibrated = run(with_onnx, images)
    expected = with_onnx.predict(images)
    np.testing.assert_allclose(probs, expected, atol=1e-5)
    np.testing.assert_allclose(calibrated, with_onnx.calibrated(expected), atol=1e-5)
    assert np.abs(probs - calibrated).max() > 1e-3, "the temperature is not 1"
    assert measure_onnx_difference(with_onnx, images) < 1e-5


def test_a_network_of_several_views_is_in_the_file_once(with_onnx: CheckpointSet, small_set: Path) -> None:
    weights = sum(path.stat().st_size for path in small_set.rglob("*.safetensors"))
    assert len(MIXED) == 4
    assert weights * 0.9 < with_onnx.paths.onnx.stat().st_size < weights * 1.2 + 200_000


def test_a_file_with_other_probabilities_is_detected(with_onnx: CheckpointSet) -> None:
    other = [m.model_copy(update={"weight": w}) for m, w in zip(with_onnx.members, (0.1, 0.2, 0.3, 0.4), strict=True)]
    changed = with_onnx.manifest.model_copy(update={"members": other})
    reweighted = CheckpointSet(with_onnx.paths, changed, with_onnx.classifiers)
    assert measure_onnx_difference(reweighted, held_out(reweighted)) > 1e-3


def test_without_the_extra_one_error_says_how_to_get_it_before_anything_is_written(
    small_study: StudyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_vote, "PACKAGES", ("onnx_that_is_not_there", "onnxruntime"))
    with pytest.raises(SetError) as caught:
        export_set(small_study, "mixed", tmp_path / "sets" / "best", has_onnx=True)
    assert caught.value.faults == [
        "--format onnx: needs onnx_that_is_not_there, not installed; run pip install 'raysearch[onnx]'"
    ]
    assert not (tmp_path / "sets").exists()


def test_the_package_loads_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError):
        importlib.import_module("onnxruntime")
    importlib.reload(onnx_vote)


def test_weights_beyond_what_one_file_holds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").write_bytes(bytes(30))
    require_room([tmp_path / "weights"])
    monkeypatch.setattr(onnx_vote, "LIMIT_BYTES", 59)
    with pytest.raises(SetError, match=r"one ONNX file holds at most .* but the members' weights are"):
        require_room([tmp_path / "weights"] * 2)


class Unknown(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> object:
        return torch.linalg.eigvals(images.mean(1))


def test_a_network_that_onnx_cannot_express_is_one_error(small_set: Path, tmp_path: Path) -> None:
    loaded = load_set(small_set)
    networks = {**loaded.classifiers, "members/0001-student": Unknown()}
    with pytest.raises(SetError, match=r"x\.onnx: ONNX cannot express a member .*without --format onnx"):
        write_onnx(tmp_path / "x.onnx", CheckpointSet(loaded.paths, loaded.manifest, networks))


def test_the_exporter_prints_and_warns_of_nothing(
    small_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded = load_set(small_set)
    small = loaded.manifest.model_copy(update={"members": [loaded.members[0].model_copy(update={"weight": 1.0})]})
    write_onnx(tmp_path / "x.onnx", CheckpointSet(loaded.paths, small, loaded.classifiers))
    assert capfd.readouterr() == ("", "")
