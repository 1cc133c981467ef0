"""What a watch is made from: the detector, what paints and blurs, the folder, and what its course depends on."""

import shutil
from pathlib import Path
from typing import Any, Final

from calco.detection.contract import FindsThings
from calco.detection.watch.blurring import PEOPLE, FaceBlur
from calco.detection.watch.config import WatchConfig
from calco.detection.watch.memory import digest_of
from calco.detection.watch.painting import Painter
from calco.errors import CalcoError
from calco.files import make_folder
from calco.film.writing import part_of
from calco.inference.model import Translator
from calco.inference.working import weights_digest
from calco.pairs.frames import result_folder
from calco.records import to_record

_OWN: Final = ("events.jsonl", "tracks.jsonl", "hooks.jsonl", "watch.json", "timeline.html", "config.yaml", "film.mp4")
_FOLDERS: Final = ("crops", "state")
# What may be another when a watch goes on: where it stands, what is told, how it is played.
_FREE: Final = frozenset({
    "source", "model", "out", "rules", "paint", "resume", "overwrite", "hook", "webhook", "hook_seconds",
    "hook_retries", "runtime", "precision", "page", "patience", "seconds", "device", "film_minutes", "keep_hours",
    "face_model", "size", "rate", "live",
})  # fmt: skip


def the_detector(config: WatchConfig) -> FindsThings:
    """The detector that the configuration names.

    Raises:
        CalcoError: When it names none, or what cannot be loaded.
    """
    from calco.detection.opening import open_detector

    if not config.model:
        raise CalcoError("--model is missing; name a run of calco detect train")
    return open_detector(config.model, runtime=config.runtime, device=config.device, precision=config.precision)


def make_blur(config: WatchConfig, detector: FindsThings) -> FaceBlur | None:
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


def make_painter(config: WatchConfig, detector: FindsThings, translator: Translator | None) -> Painter | None:
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


def prepare_folder(config: WatchConfig) -> Path:
    """The folder, empty or with what goes on.

    Raises:
        CalcoError: When a watch is there and nobody said what shall become of it.
    """
    out = result_folder(config.out)
    there = (out / "events.jsonl").exists() or (out / "state").exists() or (out / "watch.json").exists()
    if there and not (config.resume or config.overwrite):
        raise CalcoError(
            f"{out} holds a watch; --resume goes on with it, --overwrite begins anew, or choose another --out"
        )
    if config.overwrite:
        for name in (*_OWN, part_of(out / "film.mp4").name):
            (out / name).unlink(missing_ok=True)
        for part in out.glob("film-*.mp4"):
            part.unlink(missing_ok=True)
        for name in _FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)
    make_folder(out / "crops")
    make_folder(out / "state")
    return out


def made_by(config: WatchConfig, detector: FindsThings, source: Any) -> dict[str, Any]:
    """What the course of a watch depends on, plain data.

    Args:
        config: As it was told.
        detector: What finds.
        source: What tells this film or camera from another.
    """
    from calco.detection.opening import detector_digest

    told = {name: value for name, value in to_record(config).items() if name not in _FREE}
    return {
        **told, "classes": list(detector.classes), "threshold": float(detector.threshold), "source": source,
        "model": detector_digest(config.model) if config.model else None, "rules": digest_of(config.rules),
        "paint": weights_digest(config.paint) if config.paint else None,
    }  # fmt: skip
