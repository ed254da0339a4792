import pytest

from raysearch.config import TrialConfig
from raysearch.errors import UserError
from raysearch.models import check_sizes

SWIN = "swin_tiny_patch4_window7_224"
STAGES = [{"epochs": 2, "image_size": 64}, {"epochs": 1}, {"epochs": 1, "image_size": 96}]


def test_a_backbone_of_one_size_is_refused_at_another_with_every_place_named():
    trial = TrialConfig.model_validate({"backbone": SWIN, "image_size": 32, "stages": STAGES})
    with pytest.raises(UserError) as caught:
        check_sizes(trial)
    assert [fault.partition(",")[0] for fault in caught.value.faults] == [
        "trial.stages.0.image_size: got 64",
        "trial.stages.1.image_size: got 32",
    ]
    assert "'swin_tiny_patch4_window7_224' accepts only one image size, and inference uses 96 px" in str(caught.value)


def test_a_backbone_of_one_size_is_refused_at_another_in_inference():
    trial = TrialConfig.model_validate({"backbone": SWIN, "image_size": 64, "inference": {"image_size": 96}})
    with pytest.raises(UserError, match=r"trial\.image_size: got 64, but 'swin_tiny\S+' accepts .* uses 96 px"):
        check_sizes(trial)


@pytest.mark.parametrize(
    "values",
    [
        {"backbone": "resnet10t", "image_size": 32, "stages": STAGES, "inference": {"image_size": 128}},
        {"backbone": SWIN, "image_size": 64},
        {"backbone": SWIN, "image_size": 96, "stages": [{"epochs": 1}, {"epochs": 1}], "inference": {"image_size": 96}},
        {"backbone": "an_unknown_name", "inference": {"image_size": 96}},
    ],
)
def test_one_size_throughout_and_backbones_of_any_size_are_taken(values):
    check_sizes(TrialConfig.model_validate(values))
