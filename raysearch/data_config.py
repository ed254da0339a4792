"""The configuration of the data: the section `data` of a config. Everything imports it from `raysearch.config`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from raysearch.section import Section

Count = Annotated[int, Field(ge=1)]


class DataConfig(Section):
    """Where the labelled images come from, and how they are split."""

    source: Annotated[str, Field(min_length=1)] = "digits"
    """The labelled images, in one of four forms: `digits` (included in the package), a folder with train.parquet and
    val.parquet, a folder with train/ and val/ of class folders, or one folder of class folders. Either of the two forms
    with splits may also have a test split. A source without splits is split by class."""
    train_per_class: Count | None = None
    """Train images per class, for a source without splits. Null: 20 for `digits`, half of each class otherwise."""
    held_out_per_class: Count | None = None
    """Held-out images per class, for a source without splits. Null: 20 for `digits`, a quarter of each class
    otherwise."""
    has_test: bool = True
    """For a source without splits: keep images for test. False: all images are in train or held_out; by default, half
    of each class in each."""
    seed: int = 0
    """Seed of every split that is drawn: of a source without splits, of `merged_held_out_per_class` and of `folds`."""
    merged_held_out_per_class: Count | None = None
    """For a final model: train on train and held_out together, holding out this many images per class (AR: "a few
    samples"). The last epoch's weights are kept. Null: train and held_out stay separate. Excludes `folds`."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Cross-validation: merge train and held_out and divide them into this many stratified folds. A trial is then one
    training per fold, and each training holds out a different fold. Together they predict every image. Null: train and
    held_out stay separate."""
    folds_trained: Count | None = None
    """A trial trains only this many of its folds, from fold 0. Predictions then cover the images of these folds, and
    every image still teaches some network. Null: all folds."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """Index of the fold that this training holds out, from 0 to folds - 1. A search sets it; leave it out of a space
    file."""
    storage: Literal["auto", "decoded", "jpeg"] = "auto"
    """How the cache stores train images for `crop: resized`. `decoded`: as pixels, which is faster. `jpeg`: as JPEG,
    which takes less disk space. `auto`: decoded if the split takes at most 4 GiB of pixels, JPEG otherwise."""
    stored_side: Annotated[int, Field(ge=8)] | None = None
    """For `crop: resized`: the cache shrinks train images whose shorter side is longer than this many pixels. Null: 8/7
    of the largest `image_size`."""

    @model_validator(mode="after")
    def _check_folds(self) -> Self:
        if not self.has_test and self.held_out_per_class:
            raise ValueError(
                "without a test split, held_out has all images that are not in train; got held_out_per_class "
                f"{self.held_out_per_class}; remove it, or set has_test to true"
            )
        if self.folds and self.merged_held_out_per_class:
            raise ValueError(
                "folds and merged_held_out_per_class exclude each other, got "
                f"{self.folds} and {self.merged_held_out_per_class}; set one of them to null"
            )
        if self.folds_trained is not None and not 1 < self.folds_trained <= (self.folds or 0):
            raise ValueError(
                "folds_trained must be from 2 to folds, so that every image teaches a network, got folds_trained "
                f"{self.folds_trained} and folds {self.folds}"
            )
        if self.fold is not None and self.fold >= (self.folds or 0):
            raise ValueError(f"fold must be below folds, got fold {self.fold} and folds {self.folds}")
        return self

    @property
    def trainings(self) -> int | None:
        """Trainings of a trial, each of another fold; None without folds."""
        return self.folds and (self.folds_trained or self.folds)
