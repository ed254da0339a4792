"""Every knob of one training, as strict, frozen sections. No torch and no ray here.

Symbols are the papers' (Attract-and-Repulse, ICCV 2021 VIPriors): alpha, beta, gamma, delta, tau, eta.
"""

from functools import reduce
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from raysearch.errors import did_you_mean
from raysearch.section import Section, list_faults

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
"""What every network's input is normalised with, per RGB channel in [0, 1] (ImageNet's, timm's default)."""

Objective = Literal["accuracy", "log_loss"]
Policy = Literal["none", "basic", "autoaugment", "autoaugment_cifar10", "randaugment", "trivialaugment"]
Probability = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


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
    merged_held_out_per_class: Count | None = None
    """For a final model: learn from train and held_out together, but for so many images a class (the papers' "a few
    samples"), which are held out. Null: the splits as they are."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Out-of-fold: train and held_out are one set in so many stratified folds, and a trial is as many trainings, each
    with another fold held out: its predictions are of all those images. Null: the splits as they are."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """The fold that a training holds out, from 0; a search sets it for each of a trial's trainings."""
    storage: Literal["auto", "decoded", "jpeg"] = "auto"
    """How `crop: resized` finds its train images: decoded once, or as JPEG at `stored_side`; `auto`: decoded while
    they take at most 4 GiB."""
    stored_side: Annotated[int, Field(ge=8)] | None = None
    """Longest short side, in pixels, at which `crop: resized` finds its images. Null: 8/7 of the largest image size."""

    @model_validator(mode="after")
    def _folds_go_together(self) -> Self:
        if self.folds and self.merged_held_out_per_class:
            raise ValueError(
                "folds and merged_held_out_per_class exclude each other, got "
                f"{self.folds} and {self.merged_held_out_per_class}; set one of them to null"
            )
        if self.fold is not None and self.fold >= (self.folds or 0):
            raise ValueError(f"fold must be below folds, got fold {self.fold} and folds {self.folds}")
        return self


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
    contrast: Literal["probs", "features"] = "probs"
    """What is contrasted: class probabilities (the method), or features behind a projector (AR Fig. 4b)."""
    projector_size: Count = 128
    """Width of the projector's output, for `contrast: features`."""
    gather: bool = False
    """Contrast with the samples of all workers, with gradient, and not of each worker alone."""
    reduction: Literal["mean", "sum"] = "mean"
    """Over the anchors that have a positive: `mean`, so that beta does not depend on the batch; `sum`: AR's."""
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
    aux_stage: int | None = None
    """The stage that the auxiliary head sits on, an index into timm's `feature_info` (from the end if negative); null:
    the last but one."""
    aux_fusion: Probability = 0.3
    """w in (1 - w) final + w auxiliary, the fused probabilities at inference."""

    @model_validator(mode="after")
    def _contrast_has_two_views(self) -> Self:
        if self.beta > 0 and self.views < 2:
            raise ValueError(
                f"beta > 0 needs views: 2 (an image's other view is its positive); got beta {self.beta:g} and views 1"
            )
        return self


class StubbornConfig(Section):
    """Stubborn image augmentation (JZ "SIA"): colour shift and contrast stretch for the classes learned worst."""

    probability: Probability = 0.0
    """Probability for an image of a stubborn class; 0: off."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of the classes that are stubborn, those of the lowest held-out recall."""
    recall_below: Probability | None = None
    """The classes of a held-out recall below this are stubborn, in place of `share`."""
    update_every: Count = 10
    """Epochs between two estimates of the recalls."""
    predictions: str | None = None
    """Held-out predictions of an earlier training (an .arrow file) that name the stubborn classes from the start."""
    shift: Probability = 0.1
    """Largest darkening of red and blue, as a share of the range of pixel values."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """A channel's spread about its mean is scaled by 1 - scale to 1 + scale."""
    clip: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Largest share of pixels that the contrast stretch clips at each end of a channel."""


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
    policy: Policy = "autoaugment"
    """A learned or random policy, torchvision's implementation. `autoaugment` is the ImageNet policy; `basic` is JZ's
    set: rotation, blur, scale change."""
    erasing: Probability = 0.2
    """Probability of random erasing (Zhong et al. 2020), with normal noise."""
    cutout: Probability = 0.0
    """Probability of cutout (DeVries and Taylor 2017): a square of the mean colour."""
    cutout_size: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Side of cutout's square, as a share of the image's side."""
    mixing: Literal["none", "mixup", "cutmix", "both", "ricap"] = "both"
    """Which mixing operation may be drawn for a batch; `both`: mixup or cutmix."""
    mix_prob: Probability = 1.0
    """Probability that a batch is mixed at all."""
    switch_prob: Probability = 0.5
    """Probability of cutmix when both operations are on."""
    mixup_alpha: Positive = 0.5
    """mixup's lambda is drawn from Beta(alpha, alpha)."""
    cutmix_alpha: Positive = 1.0
    """cutmix's lambda is drawn from Beta(alpha, alpha)."""
    ricap_beta: Positive = 0.3
    """RICAP's boundary position is drawn from Beta(beta, beta), for width and height."""
    ricap_crop: Literal["uniform", "middle"] = "uniform"
    """Where RICAP takes its four crops: anywhere, or from the middle of each image (JZ)."""
    stubborn: StubbornConfig = StubbornConfig()


class OptimizerConfig(Section):
    """The optimizer and its schedule: linear warm-up, then cosine to 0."""

    name: Literal["rmsproptf", "sgd", "adam", "adamw"] = "rmsproptf"
    """`rmsproptf`: RMSprop in TensorFlow's form (alpha 0.9, eps 1e-3); `sgd`: with Nesterov momentum."""
    lr: Positive = 0.005
    """Learning rate at the top of the schedule."""
    lr_batch: Count | None = None
    """The linear scaling rule: `lr` is for a step of so many source images, and scaled to the step's own number
    (batch x workers x accumulation). Null: `lr` is as it is."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum, for rmsproptf and sgd."""
    weight_decay: NonNegative = 1e-5
    """Weight decay of weight matrices; biases and normalisation have none."""
    warmup_epochs: NonNegative = 3
    """Epochs of linear warm-up; shortened to half the run where the run is short."""
    warmup_lr: NonNegative = 1e-6
    """Learning rate at the first step of the warm-up."""


class InferenceConfig(Section):
    """How a trained network looks at images, in every look at held-out and after its export."""

    image_size: Annotated[int, Field(ge=8)] | None = None
    """Side of the square image, in pixels; null: the training's (the last stage's)."""
    tencrop: bool = False
    """Write predictions by TenCrop too (four corners, the centre, and their mirror images), as views of their own, when
    a training is through or asked to stop; a trial that the scheduler cuts off has none."""
    tencrop_share: Annotated[float, Field(gt=0, lt=1)] = 0.875
    """Side of a crop as a share of the side that the image is resized to for TenCrop."""
    also_at: list[Annotated[int, Field(ge=8)]] = Field(default_factory=list)
    """Other sides of the square image, in pixels, at which predictions are written too, as views of their own: when
    TenCrop's are."""


STAGE_KEYS = ("epochs", "eval_every", "image_size", "batch_size", "label_smoothing", "method", "augment", "optimizer")
"""What a stage of a training may give for itself."""
SAME_IN_ALL_STAGES = ("method.aux_stage", "method.aux_fusion", "method.projector_size", "augment.stubborn.predictions")
"""Values within these that are the whole training's."""


class TrialConfig(Section):
    """One training, whole."""

    backbone: str = "wrn_16_2"
    """A name in timm's registry, ours included (`raysearch.models`)."""
    image_size: Annotated[int, Field(ge=8)] = 32
    """Side of the square image the network sees, in pixels."""
    epochs: Count | None = 30
    """Passes over the train split; null beside `stages`, which have their own."""
    stages: list[dict[str, Any]] = Field(default_factory=list)
    """Trainings one after the other, each starting from the last one's weights, student and teacher: what each does
    otherwise than the values beside this list (`epochs`, always; any of `STAGE_KEYS`)."""
    eval_every: Count = 1
    """Epochs between two looks at the held-out split (the last epoch always has one)."""
    batch_size: Annotated[int, Field(ge=2)] = 50
    """Source images a batch and worker; the network sees `method.views` times as many."""
    accumulation: Count = 1
    """Batches whose gradients make one optimizer step."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """eps in (1 - eps) q + eps / classes."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Dropout before the last layer."""
    drop_path_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Stochastic depth; null for a backbone that has none."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 autocast where the backbone gains from it on this machine."""
    compile: bool = False
    """Train through `torch.compile`: minutes at the first step, faster ones after it."""
    sync_batchnorm: bool = True
    """Batch statistics over all workers, where several train on GPUs."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random in the training. In a search, trial n has this plus n."""
    method: MethodConfig = MethodConfig()
    augment: AugmentConfig = AugmentConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    inference: InferenceConfig = InferenceConfig()

    @property
    def schedule(self) -> "tuple[TrialConfig, ...]":
        """The stages, each as a training without stages; without a stage list this training alone."""
        return tuple(self._stage(index) for index in range(len(self.stages))) or (self,)

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs or 0 for stage in self.schedule)

    @property
    def inference_size(self) -> int:
        """Side of the square image that the trained network sees, in pixels: the same in every look."""
        return self.inference.image_size or self.schedule[-1].image_size

    @property
    def aux_stage(self) -> int | None:
        """The stage of the backbone that the auxiliary head sits on throughout: as the last stage of training says."""
        return self.schedule[-1].method.aux_stage

    @property
    def aux_fusion(self) -> float:
        """The auxiliary head's share in fused probabilities, the same in every look: the last stage's."""
        return self.schedule[-1].method.aux_fusion

    @property
    def has_aux_head(self) -> bool:
        """Whether any stage trains an auxiliary head: the network then has one throughout."""
        return any(stage.method.aux_weight > 0 for stage in self.schedule)

    def _stage(self, index: int) -> "TrialConfig":
        # The other sides are the training's: a stage alone may well be trained at one of them.
        values = self.model_dump(exclude={"stages": True, "epochs": True, "inference": {"also_at"}})
        for key, value in self.stages[index].items():
            is_section = isinstance(values.get(key), dict) and isinstance(value, dict)
            values[key] = _overlaid(values[key], value) if is_section else value
        return TrialConfig.model_validate(values)

    @model_validator(mode="before")
    @classmethod
    def _stages_have_the_epochs(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("stages") and "epochs" not in values:
            return {**values, "epochs": None}
        return values

    @model_validator(mode="after")
    def _stages_are_whole(self) -> Self:
        if self.stages and self.epochs is not None:
            raise ValueError(
                f"epochs must be left out beside stages, which have their own (null where another file gives it); "
                f"got {self.epochs}"
            )
        if not self.stages and self.epochs is None:
            raise ValueError("epochs must be given, or stages with epochs of their own; got neither")
        faults = []
        for index, values in enumerate(self.stages):
            unknown = [key for key in values if key not in STAGE_KEYS]
            faults += [f"stages.{index}.{key}: not for a stage{did_you_mean(key, STAGE_KEYS)}" for key in unknown]
            if values.get("epochs") is None:
                faults.append(f"stages.{index}.epochs: must be given")
            elif not unknown:
                try:
                    self._stage(index)
                except ValidationError as error:
                    faults += list_faults(TrialConfig, error, f"stages.{index}")
        for path in SAME_IN_ALL_STAGES:
            found = {str(reduce(getattr, path.split("."), stage)) for stage in (self.schedule if not faults else ())}
            if len(found) > 1:
                faults.append(f"stages: {path} must be the same in every stage, got {', '.join(sorted(found))}")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @model_validator(mode="after")
    def _other_sides_are_others(self) -> Self:
        also_at, size = self.inference.also_at, self.inference_size
        if size in also_at:
            raise ValueError(f"inference.also_at must have other sides than inference itself, {size} px; got {also_at}")
        if len(set(also_at)) < len(also_at):
            raise ValueError(f"inference.also_at must have each side once, got {also_at}")
        return self

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


def _overlaid(values: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """``values`` with ``others`` laid over them, nested mappings key by key."""
    merged = dict(values)
    for key, value in others.items():
        inner = merged.get(key)
        merged[key] = _overlaid(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged
