"""What a watch is made from: the detector, what paints and blurs, the folder, and what its course depends on."""

import os
from pathlib import Path
from typing import Any, Final

from calco.detection.contract import FindsObjects
from calco.errors import CalcoError
from calco.files import make_folder, sweep
from calco.inference.model import Translator
from calco.inference.working import weights_digest
from calco.outputs import Outputs
from calco.records import to_record
from calco.video.journal import remove_part
from calco.video.writing import part_of
from calco.watch.blurring import PEOPLE, FaceBlur
from calco.watch.config import WatchConfig
from calco.watch.memory import Memory, digest_of
from calco.watch.painting import Painter

CROPS: Final = "crops"
STATE: Final = "state"
_GROWING: Final = ("events.jsonl", "tracks.jsonl", "hooks.jsonl")
_OWN: Final = (*_GROWING, "watch.json", "timeline.html", "config.yaml", "video.mp4")
# What may be another when a watch goes on: where it stands, what is told, how it is played.
_FREE: Final = frozenset({
    "source", "model", "out", "rules", "paint", "resume", "overwrite", "hook", "webhook", "hook_seconds",
    "hook_retries", "runtime", "precision", "page", "patience", "seconds", "device", "video_minutes", "keep_hours",
    "face_model", "size", "rate", "live",
})  # fmt: skip


def the_detector(config: WatchConfig) -> FindsObjects:
    """The detector that the configuration names.

    Raises:
        CalcoError: When it names none, or what cannot be loaded.
    """
    from calco.detection.opening import open_detector

    if not config.model:
        raise CalcoError("--model is missing; name a run of calco detect train")
    return open_detector(config.model, runtime=config.runtime, device=config.device, precision=config.precision)


def make_blur(config: WatchConfig, detector: FindsObjects) -> FaceBlur | None:
    """What blurs faces.

    Raises:
        CalcoError: When nothing would tell where they are.
    """
    if not config.blur_faces:
        return None
    people = config.people or tuple(name for name in detector.classes if name.lower() in PEOPLE)
    if unknown := [name for name in people if name not in detector.classes]:
        raise CalcoError(
            f"--people names {unknown[0]}, which the detector does not find; choose from {', '.join(detector.classes)}"
        )
    if not people and not config.face_model:
        raise CalcoError(
            f"--blur-faces needs to know where people are, and the detector finds {', '.join(detector.classes)}; name "
            "the classes that have a head with --people, or a detector of faces with --face-model"
        )
    return FaceBlur(people, config.face_model)


def make_painter(config: WatchConfig, detector: FindsObjects, translator: Translator | None) -> Painter | None:
    """What paints; None where nothing is painted.

    Raises:
        CalcoError: When the model cannot be loaded, or the detector does not find what shall be painted.
    """
    if translator is None and config.paint:
        from calco.inference.model import load

        translator = load(config.paint, device=config.device, precision=config.precision)
    if translator is None:
        if config.paint_classes:
            raise CalcoError("--paint-classes tells what --paint paints; give that too, or leave it out")
        return None
    if unknown := [name for name in config.paint_classes if name not in detector.classes]:
        known = ", ".join(detector.classes)
        raise CalcoError(f"--paint-classes names {unknown[0]}, which the detector does not find; choose from {known}")
    return Painter(
        translator, translator.info.palette, config.paint_classes, margin=config.margin, every=config.paint_every,
        most=config.paint_most,
    )  # fmt: skip


def prepare_folder(config: WatchConfig, outputs: Outputs) -> None:
    """Readies the folder of a watch: empty of an earlier one, or with the one that is resumed.

    Args:
        config: As it was told.
        outputs: The folder, locked.

    Raises:
        CalcoError: If a watch is there and neither option says what becomes of it, or files of somebody else are there.
    """
    out = outputs.folder
    there = [name for name in outputs.names() if outputs.owns(out / name)]
    if not there and (others := _in_the_way(out)):
        raise CalcoError(f"{out} holds other objects, such as {others[0]}; choose a new or empty folder with --out")
    if there and not (config.resume or config.overwrite):
        raise CalcoError(
            f"{out} holds a watch; --resume goes on with it, --overwrite begins anew, or choose another --out"
        )
    if os.path.realpath(config.source) in {os.path.realpath(out / name) for name in (*there, *_OWN)}:
        raise CalcoError(f"{config.source} is a result of the watch in {out}; choose another --out")
    if there and config.overwrite:
        remove_part(part_of(out / "video.mp4"))
        for name in outputs.names():
            outputs.remove(out / name)
        Memory(out / STATE, {}).clear()
    outputs.check(out / name for name in _OWN)
    sweep(out)
    for name in (CROPS, STATE):
        sweep(make_folder(out / name))
    for name in _GROWING:
        outputs.record(out / name, grows=True)


def _in_the_way(out: Path) -> list[str]:
    """Names in a folder without a watch that a watch would write."""
    found = [name for name in _OWN if os.path.lexists(out / name)]
    found += [name for name in (CROPS, STATE) if os.path.lexists(out / name) and _is_filled(out / name)]
    return found + sorted(path.name for path in out.glob("video-*.mp4"))


def _is_filled(folder: Path) -> bool:
    return not folder.is_dir() or any(folder.iterdir())


def made_by(config: WatchConfig, detector: FindsObjects, source: Any) -> dict[str, Any]:
    """What the course of a watch depends on, plain data.

    Args:
        config: As it was told.
        detector: What finds.
        source: What tells this video or camera from another.
    """
    from calco.detection.opening import detector_digest

    told = {name: value for name, value in to_record(config).items() if name not in _FREE}
    return {
        **told, "classes": list(detector.classes), "threshold": float(detector.threshold), "source": source,
        "model": detector_digest(config.model) if config.model else None, "rules": digest_of(config.rules),
        "paint": weights_digest(config.paint) if config.paint else None,
    }  # fmt: skip
