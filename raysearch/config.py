"""Every knob of one training, as strict, frozen sections. No torch and no ray here.

Symbols are the papers' (Attract-and-Repulse, ICCV 2021 VIPriors): alpha, beta, gamma, delta, tau, eta.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from raysearch.errors import SpaceError, did_you_mean

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
"""What every network's input is normalised with, per RGB channel in [0, 1] (ImageNet's, timm's default)."""

Objective = Literal["accuracy", "log_loss"]
Probability = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of a config: unknown keys and wrong types are refused, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class DataConfig(Section):
    """Where the labelled images come from, and how they are split when the source has no splits."""

    source: Annotated[str, Field(min_length=1)] = "digits"
    """`digits`, a folder with train/val[/test].parquet, a folder of train/ val/ [test/] class folders,
    or one folder of class folders (which is split here, stratified)."""
    train_per_class: Count | None = None
    """Images a class to learn from, for a source without splits. Default: 20 of `digits`, else half."""
    held_out_per_class: Count | None = None
    """Images a class that decide, for a source without splits. Default: 20 of `digits`, else a quarter."""
    seed: int = 0
    """Seed of the split, for a source without splits."""


class MethodConfig(Section):
    """The objective: CE + alpha RCE + beta CR + gamma MT, and the auxiliary head (AR eq. 1)."""

    views: Literal[1, 2] = 2
    """Augmented views of each image in a batch."""
    alpha: NonNegative = 0.01
    """Weight of reverse cross entropy."""
    log_floor: Annotated[float, Field(lt=0, allow_inf_nan=False)] = -4.0
    """The value of log 0 in reverse cross entropy (A in Wang et al. 2019)."""
    beta: NonNegative = 0.5
    """Weight of contrastive regularization."""
    tau: Positive = 0.1
    """Temperature of contrastive regularization."""
    delta: NonNegative = 0.005
    """Two targets are positives of each other when their Jensen-Shannon divergence (natural log) is at
    most this; 0: only the other view of the same image."""
    gamma: NonNegative = 1.0
    """Weight of the mean teacher's consistency term."""
    direction: Literal["student_teacher", "teacher_student"] = "student_teacher"
    """KL(student || teacher), as the papers write it, or KL(teacher || student)."""
    teacher_mode: Literal["train", "eval"] = "train"
    """Whether the teacher's own forward pass uses batch statistics and dropout."""
    rampup_epochs: NonNegative = 5
    """Epochs over which gamma rises as exp(-5 (1 - t/T)^2), at most half the run; 0: no ramp-up."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """eta: decay of the teacher's moving average, a step."""
    aux_weight: NonNegative = 0.4
    """Weight of the auxiliary head's loss; 0: no auxiliary head."""
    aux_fusion: Probability = 0.3
    """w in (1 - w) final + w auxiliary, the fused probabilities at inference."""


class AugmentConfig(Section):
    """How an image is varied, and how images are mixed. One box and partner for both views."""

    crop: Literal["pad", "resized", "none"] = "pad"
    """`pad`: reflect-pad by `crop_padding` and crop; `resized`: random resized crop of `crop_scale`."""
    crop_padding: Annotated[int, Field(ge=0)] = 4
    """Pixels on each side, for `crop: pad`."""
    crop_scale: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Smallest share of the image's area, for `crop: resized`."""
    hflip: Probability = 0.5
    """Probability of a horizontal flip."""
    policy: Literal["none", "autoaugment", "autoaugment_cifar10", "randaugment", "trivialaugment"] = "autoaugment"
    """A learned or random policy, torchvision's implementation. `autoaugment` is the ImageNet policy."""
    erasing: Probability = 0.2
    """Probability of random erasing (Zhong et al. 2020), with normal noise."""
    mixing: Literal["none", "mixup", "cutmix", "both"] = "both"
    """Which mixing operations may be drawn for a batch."""
    mix_prob: Probability = 1.0
    """Probability that a batch is mixed at all."""
    switch_prob: Probability = 0.5
    """Probability of cutmix when both operations are on."""
    mixup_alpha: Positive = 0.5
    """mixup's lambda is drawn from Beta(alpha, alpha)."""
    cutmix_alpha: Positive = 1.0
    """cutmix's lambda is drawn from Beta(alpha, alpha)."""


class OptimizerConfig(Section):
    """The optimizer and its schedule: linear warm-up, then cosine to 0."""

    name: Literal["rmsproptf", "sgd", "adamw"] = "rmsproptf"
    """`rmsproptf`: RMSprop in TensorFlow's form (alpha 0.9, eps 1e-3); `sgd`: with Nesterov momentum."""
    lr: Positive = 0.005
    """Learning rate at the top of the schedule."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum, for rmsproptf and sgd."""
    weight_decay: NonNegative = 1e-5
    """Weight decay of weight matrices; biases and normalisation have none."""
    warmup_epochs: NonNegative = 3
    """Epochs of linear warm-up; shortened to half the run where the run is short."""
    warmup_lr: NonNegative = 1e-6
    """Learning rate at the first step of the warm-up."""


class TrialConfig(Section):
    """One training, whole."""

    backbone: str = "wrn_16_2"
    """A name in timm's registry, ours included (`raysearch.models`)."""
    image_size: Annotated[int, Field(ge=8)] = 32
    """Side of the square image the network sees, in pixels."""
    epochs: Count = 30
    """Passes over the train split."""
    eval_every: Count = 1
    """Epochs between two looks at the held-out split (the last epoch always has one)."""
    batch_size: Annotated[int, Field(ge=2)] = 50
    """Source images a step and worker; the network sees `method.views` times as many."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """eps in (1 - eps) q + eps / classes."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Dropout before the last layer."""
    drop_path_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Stochastic depth; null for a backbone that has none."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 autocast where the backbone gains from it on this machine."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random in the training. In a search, trial n has this plus n."""
    method: MethodConfig = MethodConfig()
    augment: AugmentConfig = AugmentConfig()
    optimizer: OptimizerConfig = OptimizerConfig()

    @model_validator(mode="after")
    def _padding_can_be_reflected(self) -> Self:
        if self.augment.crop == "pad" and self.augment.crop_padding >= self.image_size:
            raise ValueError(
                f"augment.crop_padding < image_size must hold, got {self.augment.crop_padding} and {self.image_size}"
            )
        return self


class TrainingConfig(Section):
    """What `raysearch.train` takes and a trial leaves as `config.yaml`: a data section and a trial."""

    data: DataConfig = DataConfig()
    objective: Objective = "accuracy"
    """What the held-out split decides by: which epoch's weights are kept, and a search's value."""
    trial: TrialConfig = TrialConfig()


SectionT = TypeVar("SectionT", bound=Section)


def validate(section: type[SectionT], values: Any, where: str, prefix: str = "") -> SectionT:
    """``values`` as a ``section``; all mistakes at once as a `SpaceError`.

    ``where`` is the file's name and ``prefix`` the dotted path of ``values`` in it, for the messages.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise SpaceError(faults_of(section, error, where, prefix)) from error


def faults_of(section: type[Section], error: ValidationError, where: str, prefix: str = "") -> list[str]:
    """A line a mistake: file, dotted path, what had to hold, the value got, the nearest known name."""
    faults = []
    for item in error.errors():
        path = ".".join([*([prefix] if prefix else []), *(str(part) for part in item["loc"])])
        faults.append(f"{where}: {path or 'top level'}: {message_of(section, item)}")
    return faults


def message_of(section: type[BaseModel], item: ErrorDetails) -> str:
    """What had to hold, the value got and the nearest known name, for one of a validation's errors."""
    if item["type"] in ("extra_forbidden", "invalid_key"):
        return f"unknown key{did_you_mean(item['loc'][-1], _known_names(section, item['loc'][:-1]))}"
    if item["type"] == "literal_error":
        expected = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return f"got {item['input']!r}{did_you_mean(item['input'], expected)}"
    if item["type"] in ("model_type", "dict_type"):
        return f"a mapping must stand here, got {item['input']!r}"
    if item["type"] == "missing":
        return "must be given"
    message = item["msg"].removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}, got {item['input']!r}"


def _known_names(section: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    for name in path:
        field = section.model_fields.get(str(name))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        section = field.annotation
    return list(section.model_fields)


def display_path(path: Path | str) -> str:
    """A path as messages show it: relative to the working folder where it lies below it."""
    path = Path(path)
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
