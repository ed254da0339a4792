"""The set's model card: intended use, data, figures, members, how to load it, limits and licence."""

from collections.abc import Iterator
from pathlib import Path

from raysearch.ensemble.explain import explain_member, explain_temperature
from raysearch.ensemble.results import Ensemble
from raysearch.ensemble.selection import Score
from raysearch.predict.manifest import Manifest, MemberEntry

UNKNOWN_LICENCE = "unknown: check before you share the set"
CLASSES_SHOWN = 100
"""Number of class names that the card lists."""


def render_card(manifest: Manifest, ensemble: Ensemble, counts: dict[str, int | None]) -> str:
    """Return Markdown with the front matter of a Hugging Face model card.

    ``counts``: number of images per split of the members' data; None where it is unknown.
    """
    sections = (
        _head(manifest),
        _intended_use(manifest),
        _data(manifest, counts),
        _figures(manifest, ensemble),
        _members(manifest, ensemble),
        _loading(manifest),
        _limits(manifest, ensemble),
        _licence(manifest),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _head(manifest: Manifest) -> Iterator[str]:
    models = len({folder for member in manifest.members for folder in member.folders})
    yield from ("---", "license: unknown", "pipeline_tag: image-classification", "library_name: timm")
    yield from ("tags: [image-classification, ensemble, raysearch]", "---", "")
    yield f"# Ensemble `{manifest.name}` of the study `{manifest.study}`"
    yield ""
    yield (
        f"This ensemble classifies an image into one of {len(manifest.classes)} classes. It takes the weighted mean of "
        f"the probabilities of {_counted(len(manifest.members), 'member')} ({_counted(models, 'network')}), trained "
        "from scratch. `ensemble.json` lists every weight, setting and figure, and the SHA-256 of every file."
    )
    if manifest.refitted:
        yield ""
        yield (
            "**Refitted**: after the figures below were measured, the members were trained again on train and held-out "
            "images together. The ensemble weights and the temperature did not change. The figures describe the "
            "members before the refit and do not apply to the members of this set. Only a test split can score these."
        )


def _intended_use(manifest: Manifest) -> Iterator[str]:
    names = ", ".join(manifest.classes[:CLASSES_SHOWN])
    more = len(manifest.classes) - CLASSES_SHOWN
    yield from ("## Intended use", "")
    yield (
        "Images like the training images, each showing one of these classes: "
        f"{names}{f' and {more} more' if more > 0 else ''}."
    )


def _data(manifest: Manifest, counts: dict[str, int | None]) -> Iterator[str]:
    shown = ", ".join(f"{count} {split.replace('_', '-')}" for split, count in counts.items() if count is not None)
    yield from ("## Data", "")
    yield f"- Source: `{Path(manifest.data.source).name}`{f' ({shown} images)' if shown else ''}"
    yield f"- Fingerprint: `{manifest.fingerprint}` (SHA-256 of the labelled images)"
    yield f"- Licence of the data: {manifest.provenance.data_licence or UNKNOWN_LICENCE}"


def _figures(manifest: Manifest, ensemble: Ensemble) -> Iterator[str]:
    fitted, gain, calibration = ensemble.cross_fitted, ensemble.gain, ensemble.calibration
    confidence = f"{100 * fitted.confidence:g} %"
    yield from (f"## Figures{' before the refit' if manifest.refitted else ''}", "")
    yield (
        f"Measured on {ensemble.n} held-out images; no network learned from an image that it is scored on. The members "
        "were selected on the same images, so the in-sample figures are optimistic. For the cross-fitted figures, the "
        "selection was repeated without the images that score it "
        f"({fitted.folds} folds, {_counted(fitted.repeats, 'random assignment')})."
    )
    if manifest.members[0].models[0].fold is not None:
        yield (
            "Each image was scored by the one network of a member whose fold held it out. In this set, a member is the "
            "mean of its networks. The figures do not measure that mean, and the temperature was not fitted to it."
        )
    yield from (
        "",
        f"| | {fitted.measure}, cross-fitted ({confidence} interval) | log loss, cross-fitted | {fitted.measure}, "
        "in-sample |",
    )
    yield "|---|---|---|---|"
    interval = f" ({100 * fitted.low:.1f} to {100 * fitted.high:.1f})"
    yield _row("this ensemble", fitted.score, ensemble.in_sample, interval)
    yield _row("best single member", ensemble.best_single.cross_fitted, ensemble.best_single.in_sample)
    yield _row(
        f"plain mean of the best {ensemble.uniform.members}", ensemble.uniform.cross_fitted, ensemble.uniform.in_sample
    )
    yield ""
    yield (
        f"- Gain over the best single member: {100 * gain.value:+.1f} points of {gain.measure} ({confidence} interval "
        f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}){'' if gain.is_certain else ', not significant'}"
    )
    yield (
        f"- Expected calibration error: {calibration.ece:.3f}; after scaling by the temperature "
        f"{calibration.temperature:.2f}: {calibration.ece_scaled:.3f}"
    )
    if limit := explain_temperature(calibration.temperature):
        yield f"- {limit}"


def _row(name: str, fitted: Score, in_sample: Score, interval: str = "") -> str:
    return f"| {name} | {100 * fitted.value:.1f} %{interval} | {fitted.log_loss:.3f} | {100 * in_sample.value:.1f} % |"


def _members(manifest: Manifest, ensemble: Ensemble) -> Iterator[str]:
    yield from (
        "## Members",
        "",
        "| member | weight | backbone | image size | networks | accuracy alone | gain (cross-fitted) |",
    )
    yield "|---|---|---|---|---|---|---|"
    for member, selected in zip(manifest.members, ensemble.members, strict=True):
        mirror = ", with its mirror image" if member.mirror else ""
        crops = f", ten crops of {member.tencrop_side} px" if member.tencrop_side else mirror
        gain = f"{100 * selected.contribution.value:+.2f} points" if selected.contribution else ""
        yield (
            f"| {member.name} | {member.weight:.4f} | {member.backbone} | {member.image_size} px{crops} | "
            f"{_networks(member)} | {100 * selected.alone.value:.1f} % | {gain} |"
        )
    best = ensemble.best_single.in_sample.value
    for selected in ensemble.members:
        adds = selected.contribution.value if selected.contribution else None
        members = len(ensemble.members)
        if text := explain_member(selected.name, selected.alone.value, best, selected.weight, members, adds):
            yield from ("", text)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _networks(member: MemberEntry) -> str:
    if member.models[0].fold is not None:
        return f"{len(member.models)}, one per fold"
    if member.models[0].refit is not None:
        return f"{len(member.models)}, refitted"
    return "1"


def _loading(manifest: Manifest) -> Iterator[str]:
    first = manifest.members[0]
    yield from ("## How to load it", "", "```sh", "raysearch predict THIS_FOLDER YOUR_IMAGES")
    yield from (
        "```",
        "",
        "In Python, with paths, PIL images or uint8 arrays:",
        "",
        "```python",
        "import raysearch",
        "",
        'model = raysearch.load("THIS_FOLDER")',
        'probs = model.predict_proba(["YOUR_IMAGE"])  # [images, classes], in the order of model.classes',
        "```",
        "",
        "One network in plain timm (for a backbone that raysearch adds, `import raysearch.models` first):",
    )
    yield from ("", "```python", "import timm", "")
    yield f'model = timm.create_model("local-dir:THIS_FOLDER/{first.folders[0]}", pretrained=True).eval()'
    yield "transform = timm.data.create_transform(**timm.data.resolve_data_config(model=model))"
    yield "```"
    yield ""
    yield (
        "Images are turned upright by their EXIF orientation, converted to RGB, cropped to the centre square and "
        "resized (bicubic, antialiased) to "
        f"{', '.join(f'{side} px' for side in sorted({member.input_side for member in manifest.members}))}. They are "
        "normalised with the mean and standard deviation in each folder's `config.json`."
    )
    if manifest.onnx:
        inputs = ", ".join(f"`{entry.name}`" for entry in manifest.onnx.inputs)
        yield ""
        yield (
            f"The whole ensemble is in `{manifest.onnx.file}` (ONNX, opset {manifest.onnx.opset}). Inputs: {inputs}, "
            "float32 [batch, 3, side, side], RGB from 0 to 255, the same images at each side, not normalised. "
            "Outputs: `probs`, and `calibrated`, which is `probs` scaled by the temperature."
        )


def _limits(manifest: Manifest, ensemble: Ensemble) -> Iterator[str]:
    yield from ("## Limits", "")
    yield "- An image that shows none of the classes still gets one of them."
    yield "- On images from other sources than the training data, accuracy may be lower than the figures."
    yield f"- The figures come from {ensemble.n} images; the interval shows their uncertainty."
    if ensemble.recommended != "ensemble":
        simpler = "best single member" if ensemble.recommended == "single" else "plain mean"
        yield f"- On these images the ensemble is not significantly better than the simpler {simpler}."
    yield from (f"- {note[0].upper()}{note[1:]}." for note in ensemble.notes)


def _licence(manifest: Manifest) -> Iterator[str]:
    provenance = manifest.provenance
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions.items())
    commit = f", commit {provenance.commit[:12]}" if provenance.commit else ""
    yield from ("## Licence and origin", "")
    yield (
        "These weights were trained with raysearch. The licence of raysearch (Apache-2.0) does not cover them. Their "
        "licence is the choice of the person who trained them, within the licence of the data "
        f"({provenance.data_licence or UNKNOWN_LICENCE})."
    )
    yield from ("", f"Trained with {versions or 'unknown versions'}{commit}.")
