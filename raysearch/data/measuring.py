"""What a source holds, from its listing and its image headers: nothing is decoded."""

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from PIL import Image

from raysearch.config import DataConfig
from raysearch.data.images import decoding_pool
from raysearch.data.records import Record
from raysearch.data.sources import list_source
from raysearch.errors import DataError
from raysearch.io import display_path

HEADERS = 500
"""Most image headers that are read, at equal distances."""
DECIDES = ("train", "held_out")


@dataclass(frozen=True)
class SourceFacts:
    """The labelled images of a source, train and held_out together."""

    classes: tuple[str, ...]
    per_class: tuple[int, ...]
    """Images of each class"""
    short_side: int
    """Median of the images' shorter sides, in pixels"""

    @property
    def images(self) -> int:
        return sum(self.per_class)


def measure_source(config: DataConfig) -> SourceFacts:
    """Count and measure the labelled images of ``config.source``.

    Raises one `DataError` with all faults of the listing, or if no image header can be read.
    """
    source = list_source(config, DECIDES)
    records: list[Record] = []
    faults = list(source.faults)
    for name in DECIDES:
        if name in source.splits:
            found, wrong = source.splits[name].load()
            records += found
            faults += wrong
    if faults:
        raise DataError(dict.fromkeys(faults))
    counts = Counter(record.label for record in records)
    step = max(1, len(records) // HEADERS)
    with decoding_pool() as pool:
        sides = [side for side in pool.map(_read_short_side, records[::step]) if side]
    if not sides:
        raise DataError(f"{display_path(config.source)}: no image can be read")
    return SourceFacts(
        classes=source.classes,
        per_class=tuple(counts[label] for label in range(len(source.classes))),
        short_side=round(median(sides)),
    )


def _read_short_side(record: Record) -> int | None:
    """The shorter side in pixels; None if the header cannot be read. Decoding reports such an image later."""
    try:
        with Image.open(record.stored if isinstance(record.stored, Path) else io.BytesIO(record.stored)) as image:
            return min(image.size)
    except Exception:  # Pillow's decoders raise many types for malformed bytes
        return None
