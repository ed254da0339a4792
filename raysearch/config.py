"""The configuration of one training, as strict, frozen sections. This module imports neither torch nor ray.

Symbols follow Attract-and-Repulse (AR, ICCV 2021 VIPriors): alpha, beta, gamma, delta, tau, eta. JZ is the report of
team jzdjjz in the same challenge. A default without a source is our choice.
"""

from functools import reduce
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from raysearch.data_config import Count as Count
from raysearch.data_config import DataConfig as DataConfig
from raysearch.errors import did_you_mean
from raysearch.section import Section, list_faults, overlay

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of the RGB channels, in [0, 1]. Every input is normalised with them. They are
ImageNet's."""

Objective = Literal["accuracy", "balanced_accuracy", "log_loss"]
"""A figure that trainings are compared by."""
Policy = Literal["none", "basic", "autoaugment", "autoaugment_cifar10", "randaugment", "trivialaugment"]
Probability = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MethodConfig(Section):
    """The loss: CE + alpha RCE + beta CR + gamma MT + aux_weight (CE + alpha RCE of the auxiliary head) (AR eq. 1).

    CE: cross entropy. RCE: reverse cross entropy. CR: contrastive regularization. MT: mean teacher."""

    views: Literal[1, 2] = 2
    """Augmented views of each image in a batch. `beta` > 0 needs 2. Default: AR."""
    alpha: NonNegative = 0.01
    """Weight of reverse cross entropy. 0: off. Default: AR's best value."""
    log_floor: Annotated[float, Field(lt=0, allow_inf_nan=False)] = -4.0
    """Value used for log 0 in reverse cross entropy, A in Wang et al. 2019. Default: that paper."""
    beta: NonNegative = 0.5
    """Weight of contrastive regularization. 0: off. AR names no value."""
    contrast: Literal["probs", "features"] = "probs"
    """What is contrasted: class probabilities (AR's method), or features after a projector (AR Fig. 4b)."""
    projector_size: Count = 128
    """Dimensions of the projector's output, for `contrast: features`."""
    gather: bool = False
    """True: contrast with the samples of all workers, with gradient. False: each worker contrasts its own samples
    (AR)."""
    reduction: Literal["mean", "sum"] = "mean"
    """How the losses of the anchors that have a positive are combined. `mean`: beta does not depend on the batch size.
    `sum`: as in AR."""
    tau: Positive = 0.1
    """Temperature of contrastive regularization. AR names no value."""
    delta: NonNegative = 0.005
    """Two images are positives of each other if the Jensen-Shannon divergence of their targets, in nats (0 to 0.693),
    is at most this. 0: the only positive is the other view of the same image. Default: AR's best value."""
    gamma: NonNegative = 1.0
    """Weight of the mean teacher's consistency term. 0: off; the teacher is still averaged and evaluated. AR names no
    value."""
    direction: Literal["student_teacher", "teacher_student"] = "student_teacher"
    """Divergence of the consistency term. `student_teacher`: KL(student || teacher), as in AR. `teacher_student`:
    KL(teacher || student), as in the code of Mean Teacher (Tarvainen and Valpola 2017)."""
    teacher_mode: Literal["train", "eval"] = "train"
    """`train`: the teacher's forward pass uses batch statistics and dropout. `eval`: it does not."""
    rampup_epochs: NonNegative = 5
    """T, in epochs: gamma is multiplied by exp(-5 (1 - t/T)^2) until epoch T (Tarvainen and Valpola 2017). At most half
    of the epochs; a longer ramp-up is shortened. 0: no ramp-up."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """eta: decay per optimizer step of the teacher's moving average. It warms up as min(1 - 1 / (step + 1), eta)."""
    aux_weight: NonNegative = 0.4
    """Weight of the auxiliary head's loss. 0: no auxiliary head."""
    aux_stage: int | None = None
    """Backbone stage that feeds the auxiliary head, as an index into timm's `feature_info`; a negative index counts
    from the end. Null: the last stage but one."""
    aux_fusion: Probability = 0.3
    """w in (1 - w) final + w auxiliary, the fused probabilities at inference (AR, "Auxiliary Fusion")."""

    @model_validator(mode="after")
    def _check_views(self) -> Self:
        if self.beta > 0 and self.views < 2:
            raise ValueError(
                f"beta > 0 needs views: 2 (an image's other view is its positive); got beta {self.beta:g} and views 1"
            )
        return self


class StubbornConfig(Section):
    """Stubborn image augmentation (JZ "SIA"): colour shift and contrast stretch for images of the worst classes.

    JZ give no magnitudes: the defaults are ours."""

    probability: Probability = 0.0
    """Probability that an image of a stubborn class is changed. 0: off."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of the classes that are stubborn: those with the lowest held-out recall. At least one class."""
    recall_below: Probability | None = None
    """Classes with a held-out recall below this are stubborn; `share` is then ignored. Null: `share` decides."""
    update_every: Count = 10
    """Update the stubborn classes every N epochs; the held-out split is evaluated then."""
    predictions: str | None = None
    """Held-out predictions of an earlier training on the same data, as the path of an .arrow file. They decide the
    stubborn classes until the first update. Null: no class is stubborn until then."""
    shift: Probability = 0.1
    """Largest decrease of the red and blue channels, as a share of the pixel range 0 to 255."""
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Each channel's deviations from its mean are multiplied by a factor between 1 - scale and 1 + scale."""
    clip: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Largest share of a channel's pixels that the contrast stretch clips, at the dark and at the bright end."""


class AugmentConfig(Section):
    """How an image is augmented, and how images are mixed. Both views of an image are mixed alike (AR Algorithm 1)."""

    crop: Literal["pad", "resized", "none"] = "pad"
    """`pad`: pad by reflection with `crop_padding` pixels, then crop at random. `resized`: random resized crop (Szegedy
    et al. 2015) of at least `crop_scale` of the area. `none`: the centre square."""
    crop_padding: Annotated[int, Field(ge=0)] = 4
    """Pixels of padding on each side, for `crop: pad`. Less than `image_size`."""
    crop_scale: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Smallest share of the image's area that a crop covers, for `crop: resized`."""
    hflip: Probability = 0.5
    """Probability of a horizontal flip."""
    policy: Policy = "autoaugment"
    """Augmentation policy. `autoaugment` (the ImageNet policy, AR), `autoaugment_cifar10`, `randaugment` and
    `trivialaugment` give the images of torchvision's implementations. `basic`: rotation, blur and scale change (JZ)."""
    erasing: Probability = 0.2
    """Probability of random erasing (Zhong et al. 2020), filled with normal noise. 0: off. Default: timm's EfficientNet
    recipe."""
    cutout: Probability = 0.0
    """Probability of cutout (DeVries and Taylor 2017): a square is filled with the mean colour. 0: off."""
    cutout_size: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Side of the cutout square, as a share of the image's side."""
    mixing: Literal["none", "mixup", "cutmix", "both", "ricap"] = "both"
    """How the images of a batch are mixed: mixup (Zhang et al. 2018), cutmix (Yun et al. 2019), RICAP (Takahashi et al.
    2018). `both`: mixup or cutmix, drawn per batch (AR)."""
    mix_prob: Probability = 1.0
    """Probability that a batch is mixed."""
    switch_prob: Probability = 0.5
    """Probability of cutmix in a mixed batch, for `mixing: both`. Otherwise mixup. Default: AR."""
    mixup_alpha: Positive = 0.5
    """mixup draws lambda from Beta(mixup_alpha, mixup_alpha). Default: AR."""
    cutmix_alpha: Positive = 1.0
    """cutmix draws lambda from Beta(cutmix_alpha, cutmix_alpha). Default: AR."""
    ricap_beta: Positive = 0.3
    """RICAP draws its boundary, for width and for height, from Beta(ricap_beta, ricap_beta). Default: its paper."""
    ricap_crop: Literal["uniform", "middle"] = "uniform"
    """Where RICAP takes its four crops. `uniform`: anywhere in the image. `middle`: from its centre (JZ)."""
    stubborn: StubbornConfig = StubbornConfig()


class OptimizerConfig(Section):
    """The optimizer and its learning rate schedule: linear warm-up, then cosine decay to 0. Defaults: AR."""

    name: Literal["rmsproptf", "sgd", "adam", "adamw"] = "rmsproptf"
    """`rmsproptf`: RMSprop as in TensorFlow (alpha 0.9, eps 1e-3). `sgd`: SGD with Nesterov momentum."""
    lr: Positive = 0.005
    """Learning rate after the warm-up, the largest of the schedule."""
    lr_batch: Count | None = None
    """Linear scaling rule (Goyal et al. 2017): the learning rate is lr x images per step / lr_batch, where images per
    step = batch_size x workers x accumulation. Null: the learning rate is lr."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum, for `rmsproptf` and `sgd`."""
    weight_decay: NonNegative = 1e-5
    """Weight decay. Biases and normalisation weights have none."""
    warmup_epochs: NonNegative = 3
    """Epochs of linear warm-up. At most half of the epochs; a longer warm-up is shortened."""
    warmup_lr: NonNegative = 1e-6
    """Learning rate at the first step of the warm-up. At most the rate after it."""


class InferenceConfig(Section):
    """How a network sees images at inference: in every evaluation of the held-out split, and after export."""

    image_size: Annotated[int, Field(ge=8)] | None = None
    """Side of the square image, in pixels. Null: `image_size` of the training, or of its last stage."""
    mirror: bool = False
    """Also write predictions of the mean over an image and its horizontal mirror image, as separate views, at the same
    time as those of TenCrop. For images that keep their meaning when mirrored; needs `augment.hflip` above 0."""
    tencrop: bool = False
    """Also write TenCrop predictions (four corners, the centre, and their mirror images), as separate views. They are
    written at the end of a training, or when it is asked to stop. A trial that the scheduler stops has none."""
    tencrop_share: Annotated[float, Field(gt=0, lt=1)] = 0.875
    """Side of a TenCrop crop, as a share of the side that the image is resized to. Default: 224 / 256, the usual
    ratio."""
    also_at: list[Annotated[int, Field(ge=8)]] = Field(default_factory=list)
    """Other sides of the square image, in pixels. Predictions at each are also written, as separate views, at the same
    time as those of TenCrop. Must not include the side that `image_size` gives."""


STAGE_KEYS = ("epochs", "eval_every", "image_size", "batch_size", "label_smoothing", "method", "augment", "optimizer")
"""Keys that a stage may set."""
SAME_IN_ALL_STAGES = ("method.aux_stage", "method.aux_fusion", "method.projector_size", "augment.stubborn.predictions")
"""Values within these keys that must be the same in every stage."""


class TrialConfig(Section):
    """One training. The `trial` section of a space file."""

    backbone: str = "wrn_16_2"
    """Network: a name in timm's registry, which includes the networks that `raysearch.models` adds."""
    image_size: Annotated[int, Field(ge=8)] = 32
    """Side of the square image that the network trains on, in pixels."""
    epochs: Count | None = 30
    """Passes over the train split. Leave it out, or set it to null, if `stages` is set."""
    stages: list[dict[str, Any]] = Field(default_factory=list)
    """Stages of the training, in order. Each starts from the weights of the one before, student and teacher. A stage
    sets `epochs`, and any of `eval_every`, `image_size`, `batch_size`, `label_smoothing`, `method`, `augment` and
    `optimizer`. Values that it does not set are those of `trial`. Empty: one stage."""
    time_limit_s: Positive | None = None
    """Time limit of the training, in seconds. If the epochs take longer, there are fewer of them: the rest of the
    learning rate schedule is compressed so that it ends in time. Null: no limit. Excludes `stages`."""
    eval_every: Count = 1
    """Evaluate the held-out split every N epochs, and after the last epoch."""
    batch_size: Annotated[int, Field(ge=2)] = 50
    """Source images per batch and worker. The network sees `method.views` times as many. The last incomplete batch of
    an epoch is dropped."""
    accumulation: Count = 1
    """Batches per optimizer step. Their gradients are averaged."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """eps in the target (1 - eps) q + eps / classes."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Dropout probability before the last layer. Default: AR."""
    block_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout probability between the two convolutions of a residual block (Zagoruyko and Komodakis 2016, section 2.4).
    Must be 0 for a backbone other than `wrn_*`."""
    drop_path_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Probability of stochastic depth. Null: the backbone's default. Must be null for a backbone without stochastic
    depth."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward and backward pass. `auto`: bfloat16 autocast if it is faster for this backbone on this
    machine, float32 otherwise. Weights are float32 in every case."""
    compile: bool = False
    """Train with `torch.compile`: the first step takes minutes, and later steps are faster."""
    sync_batchnorm: bool = True
    """Compute batch normalisation statistics over all workers. Applies when several workers train on GPUs."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of all randomness in the training. In a search, trial n uses seed + n."""
    method: MethodConfig = MethodConfig()
    augment: AugmentConfig = AugmentConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    inference: InferenceConfig = InferenceConfig()

    @property
    def schedule(self) -> "tuple[TrialConfig, ...]":
        """The stages, each as a config without `stages`; a training without stages is its only stage."""
        return tuple(self._merge_stage(index) for index in range(len(self.stages))) or (self,)

    @property
    def total_epochs(self) -> int:
        """Sum of the epochs of all stages."""
        return sum(stage.epochs or 0 for stage in self.schedule)

    @property
    def inference_size(self) -> int:
        """Side of the square image at inference, in pixels. It is the same in every evaluation."""
        return self.inference.image_size or self.schedule[-1].image_size

    @property
    def aux_stage(self) -> int | None:
        """Backbone stage that feeds the auxiliary head. It is the same in every stage of the training."""
        return self.schedule[-1].method.aux_stage

    @property
    def aux_fusion(self) -> float:
        """Weight of the auxiliary head in fused probabilities. It is the same in every stage of the training."""
        return self.schedule[-1].method.aux_fusion

    @property
    def has_aux_head(self) -> bool:
        """Whether any stage trains an auxiliary head. The network then has one in every stage."""
        return any(stage.method.aux_weight > 0 for stage in self.schedule)

    def _merge_stage(self, index: int) -> "TrialConfig":
        # These belong to the whole training. A stage may train at a side of `also_at`, or without flips, which the
        # checks of a training reject.
        values = self.model_dump(exclude={"stages": True, "epochs": True, "inference": {"also_at", "mirror"}})
        for key, value in self.stages[index].items():
            is_section = isinstance(values.get(key), dict) and isinstance(value, dict)
            values[key] = overlay(values[key], value) if is_section else value
        return TrialConfig.model_validate(values)

    @model_validator(mode="before")
    @classmethod
    def _default_epochs_to_null(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("stages") and "epochs" not in values:
            return {**values, "epochs": None}
        return values

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        if self.stages and self.epochs is not None:
            raise ValueError(
                "epochs must not be set together with stages, which have their own; "
                f"got {self.epochs}; remove it, or set it to null if an extended file sets it"
            )
        if not self.stages and self.epochs is None:
            raise ValueError("epochs or stages must be set, got neither")
        if self.stages and self.time_limit_s is not None:
            raise ValueError(f"time_limit_s must not be set together with stages, got {self.time_limit_s:g}")
        faults = []
        for index, values in enumerate(self.stages):
            unknown = [key for key in values if key not in STAGE_KEYS]
            faults += [
                f"stages.{index}.{key}: a stage cannot set this key{did_you_mean(key, STAGE_KEYS)}" for key in unknown
            ]
            if values.get("epochs") is None:
                faults.append(f"stages.{index}.epochs: must be set")
            elif not unknown:
                try:
                    self._merge_stage(index)
                except ValidationError as error:
                    faults += list_faults(TrialConfig, error, f"stages.{index}")
        for path in SAME_IN_ALL_STAGES:
            distinct = {str(reduce(getattr, path.split("."), stage)) for stage in (self.schedule if not faults else ())}
            if len(distinct) > 1:
                faults.append(f"stages: {path} must be the same in every stage, got {', '.join(sorted(distinct))}")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @model_validator(mode="after")
    def _check_inference(self) -> Self:
        also_at, size = self.inference.also_at, self.inference_size
        if size in also_at:
            raise ValueError(f"inference.also_at must not include the inference size, {size} px, got {also_at}")
        if len(set(also_at)) < len(also_at):
            raise ValueError(f"inference.also_at must not repeat a side, got {also_at}")
        if self.inference.mirror and not any(stage.augment.hflip for stage in self.schedule):
            raise ValueError("inference.mirror needs augment.hflip > 0 in a stage, got mirror: true and hflip: 0")
        return self

    @model_validator(mode="after")
    def _check_padding(self) -> Self:
        if self.augment.crop == "pad" and self.augment.crop_padding >= self.image_size:
            raise ValueError(
                f"augment.crop_padding < image_size must hold, got {self.augment.crop_padding} and {self.image_size}"
            )
        return self


def is_maximized(objective: Objective) -> bool:
    """Whether a larger value is better."""
    return objective != "log_loss"


class TrainingConfig(Section):
    """The content of a trial's `config.yaml`, and the input of `raysearch train`."""

    data: DataConfig = DataConfig()
    objective: Objective = "accuracy"
    """Held-out figure that decides which epoch's weights are kept. `accuracy`: share of correct samples.
    `balanced_accuracy`: mean over the classes of the recall, for classes of unequal size. `log_loss`: mean of
    -log p(label), in nats."""
    trial: TrialConfig = TrialConfig()
