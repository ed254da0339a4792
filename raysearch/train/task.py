"""The task: student, teacher and objective. It turns a batch of images into a loss and its terms."""

from dataclasses import replace
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from raysearch.augment import finish_view
from raysearch.config import TrialConfig
from raysearch.losses import BatchLoss, CompositeLoss, SoftTargets, needs_embeddings
from raysearch.models import Classifier, Outputs, Projector, build_classifier, normalise
from raysearch.train.batches import Batch
from raysearch.train.distributed import World
from raysearch.train.ema import MovingAverage
from raysearch.train.precision import choose_precision


class Student(nn.Module):
    """The trained network: the classifier, and a projector if features are contrasted."""

    def __init__(self, classifier: Classifier, projector: Projector | None) -> None:
        super().__init__()
        self.classifier, self.projector = classifier, projector
        self.uses_aux_head = self.uses_projector = True
        """False in a stage that does not use them: DDP must not see outputs that the loss does not use."""

    def forward(self, images: Tensor) -> tuple[Outputs, Tensor | None]:
        """``images``: normalised, float [batch, 3, height, width]. Returns outputs and embeddings [batch,
        projector_size]."""
        outputs: Outputs = self.classifier(images)
        embeddings = self.projector(outputs.features) if self.projector is not None and self.uses_projector else None
        return outputs if self.uses_aux_head else replace(outputs, aux_logits=None), embeddings

    def no_weight_decay(self) -> set[str]:
        """Names of parameters without weight decay, as the backbone defines them. timm's optimizer factory calls
        this."""
        names: set[str] = getattr(self.classifier.backbone, "no_weight_decay", set)()
        return {f"classifier.backbone.{name}" for name in names}


class Task:
    """Owns both networks in all stages. The loop calls only `set_stage`, `loss`, `after_step` and `sync_buffers`."""

    def __init__(self, config: TrialConfig, num_classes: int, world: World) -> None:
        self.config, self.num_classes, self.world, self.device = config, num_classes, world, world.device
        classifier = build_classifier(
            config.backbone,
            num_classes,
            config.inference_size,
            has_aux_head=config.has_aux_head,
            dropout=config.dropout,
            block_dropout=config.block_dropout,
            drop_path_rate=config.drop_path_rate,
            aux_stage=config.aux_stage,
        )
        contrasted = [stage.method for stage in config.schedule if needs_embeddings(stage.method)]
        projector = Projector(classifier.num_features, contrasted[0].projector_size) if contrasted else None
        # Convolutions are faster with channels last, on GPUs and on CPUs.
        self.student = Student(classifier, projector).to(self.device).to(memory_format=torch.channels_last)
        if config.sync_batchnorm and world.size > 1 and self.device.type == "cuda":
            self.student = convert_sync_batchnorm(self.student)
        self.teacher = MovingAverage(self.student.classifier, config.method.ema_decay)
        self.precision = choose_precision(config.precision, self.student, self.device)
        self.set_stage(config.schedule[0])

    def set_stage(self, stage: TrialConfig) -> None:
        """Switch to the objective of another stage. Weights do not change."""
        self.stage = stage
        rampup_epochs = min(stage.method.rampup_epochs, (stage.epochs or 0) / 2)
        method = stage.method.model_copy(update={"rampup_epochs": rampup_epochs})
        self.objective = CompositeLoss(method, stage.label_smoothing)
        self.teacher.decay = method.ema_decay
        self.student.uses_aux_head = method.aux_weight > 0
        self.student.uses_projector = needs_embeddings(stage.method)
        self.network: Any = self.student
        if self.world.size > 1:
            self.network = DistributedDataParallel(
                self.student,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                find_unused_parameters=self._has_idle_parameters(),
                gradient_as_bucket_view=True,
            )
        if self.config.compile:
            self.network = torch.compile(self.network)

    def _has_idle_parameters(self) -> bool:
        """Whether some parameters get no gradient in this stage. DDP must know it, or it waits for them forever."""
        student = self.student
        has_idle_head = student.classifier.aux_head is not None and not student.uses_aux_head
        has_idle_projector = student.projector is not None and not student.uses_projector
        return (
            has_idle_head or has_idle_projector or getattr(student.classifier.backbone, "has_unused_parameters", False)
        )

    def sync_buffers(self) -> None:
        """Copy the buffers of the first process to all. Each process has averaged batch statistics of its own
        batches."""
        if self.world.size > 1:
            for model in (self.student, self.teacher.model):
                for buffer in model.buffers():
                    buffer.copy_(self.world.broadcast(buffer))

    def loss(self, batch: Batch, epochs_done: float) -> BatchLoss:
        """The loss of a batch. ``epochs_done``: epochs since the start of the stage, with fraction, for the ramp-up."""
        inputs, targets = self.inputs(batch)
        self.student.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            # The teacher runs first: after the student, its activations would add to the memory of the student's graph.
            teacher_logits = self._teacher_logits(inputs) if self.objective.needs_teacher else None
            outputs, embeddings = self.network(inputs)
        return self.objective(
            logits=outputs.logits,
            aux_logits=outputs.aux_logits,
            teacher_logits=teacher_logits,
            targets=targets,
            epochs_done=epochs_done,
            embeddings=embeddings,
        )

    def inputs(self, batch: Batch) -> tuple[Tensor, SoftTargets]:
        """The network's inputs, float [views * batch, 3, height, width], and the targets, the same for every view."""
        generator = Generator().manual_seed(batch.seed)
        views = normalise(batch.views.to(self.device, non_blocking=True))
        inputs = finish_view(views, self.stage.augment, generator)
        labels = batch.labels.to(self.device, non_blocking=True)
        if batch.mix is None:
            classes, masses = labels[:, None], torch.ones(len(labels), 1, device=self.device)
        else:
            inputs = torch.cat([batch.mix.images(view) for view in inputs.split(len(labels))])
            classes, masses = batch.mix.labels(labels)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs, SoftTargets(classes, masses, self.num_classes)

    @torch.no_grad()
    def _teacher_logits(self, inputs: Tensor) -> Tensor:
        self.teacher.model.train(self.stage.method.teacher_mode == "train")
        return self.teacher.model(inputs).logits

    def after_step(self, step: int) -> None:
        """Update the teacher. ``step`` counts the optimizer steps of all stages from 1."""
        self.teacher.update(step)
