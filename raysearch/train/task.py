"""Student, teacher and objective together: a batch of images in, a loss with its parts out."""

import torch
from torch import Generator, Tensor

from raysearch.augment import augment_view, draw_mix, random_erasing
from raysearch.config import TrialConfig
from raysearch.losses import CompositeLoss, SoftTargets, Terms
from raysearch.models import build_classifier, normalise
from raysearch.train.ema import MovingAverage
from raysearch.train.precision import choose_precision


class Task:
    """Owns both networks. The loop knows only `loss` and `after_step`."""

    def __init__(self, config: TrialConfig, num_classes: int, device: torch.device) -> None:
        self.config, self.num_classes, self.device = config, num_classes, device
        method = config.method
        student = build_classifier(
            config.backbone,
            num_classes,
            config.image_size,
            has_aux_head=method.aux_weight > 0,
            dropout=config.dropout,
            drop_path_rate=config.drop_path_rate,
        )
        # Convolutions are faster with the channels last, on GPUs and on CPUs.
        self.student = student.to(device).to(memory_format=torch.channels_last)
        self.teacher = MovingAverage(self.student, method.ema_decay)
        rampup_epochs = min(method.rampup_epochs, config.epochs / 2)
        self.objective = CompositeLoss(
            method.model_copy(update={"rampup_epochs": rampup_epochs}), config.label_smoothing
        )
        self.precision = choose_precision(config.precision, self.student, device)

    def loss(self, images: Tensor, labels: Tensor, epochs_done: float, generator: Generator) -> Terms:
        """``images`` uint8 [batch, 3, height, width], ``labels`` int64 [batch], both on the CPU."""
        inputs, targets = self.views(images, labels, generator)
        self.student.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            outputs = self.student(inputs)
            teacher_logits = self._teacher_logits(inputs) if self.objective.needs_teacher else None
        return self.objective(outputs.logits, outputs.aux_logits, teacher_logits, targets, epochs_done)

    def views(self, images: Tensor, labels: Tensor, generator: Generator) -> tuple[Tensor, SoftTargets]:
        """Independently augmented views, a view after the other, all mixed alike (AR Algorithm 1)."""
        augment, (height, width) = self.config.augment, images.shape[-2:]
        mix = draw_mix(augment, len(images), height, width, generator)
        views = []
        for _ in range(self.config.method.views):
            view = normalise(augment_view(images, augment, generator))
            view = random_erasing(view, augment.erasing, generator)
            views.append(view if mix is None else mix.images(view))
        inputs = torch.cat(views).to(self.device, memory_format=torch.channels_last)
        classes, masses = mix.labels(labels) if mix else (labels[:, None], torch.ones(len(labels), 1))
        return inputs, SoftTargets(classes.to(self.device), masses.to(self.device), self.num_classes)

    @torch.no_grad()
    def _teacher_logits(self, inputs: Tensor) -> Tensor:
        self.teacher.model.train(self.config.method.teacher_mode == "train")
        return self.teacher.model(inputs).logits

    def after_step(self, step: int) -> None:
        """``step`` counts optimizer steps from 1."""
        self.teacher.update(step)
