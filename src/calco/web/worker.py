"""The process of one job: `python -m calco.web.worker`, with the job on its standard input.

It reports by lines of JSON on its standard output, and ends when its standard input does, which is when the studio
ends. What it has done stays in the job's folder, so the same job given to another process goes on from there.
"""

import contextlib
import fcntl
import json
import os
import re
import resource
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import numpy as np

from calco import imaging
from calco.errors import CalcoError, DiskError, is_out_of_memory
from calco.files import make_folder
from calco.imaging import Image
from calco.imaging.formats import matching_name
from calco.journal import encode
from calco.web.archives import Limits, Unpacked, pack, take, unpack
from calco.web.refusals import RefusedError, sentence, without_paths
from calco.web.uploads import check_length, check_video
from calco.web.video_notes import spanish_note

_OFTEN: Final = 0.5  # seconds between two reports of progress
_PREVIEW_OFTEN: Final = 1.0  # seconds between two previews
_PREVIEW_SIDE: Final = 480  # pixels of the longer side of a preview
_FEW: Final = 3  # notes that a message holds

Send = Callable[[dict[str, Any]], None]


class Reporter:
    """Reports to the studio how much is done, and writes previews; both now and then."""

    def __init__(self, folder: Path, unit: Literal["frame", "image"], send: Send) -> None:
        self.folder, self.unit, self._send = folder, unit, send
        self._reported = self._shown = 0.0

    def progress(self, done: float, total: int | None) -> None:
        """Report the number of frames or images that are done, and that of all of them."""
        now = time.monotonic()
        if now - self._reported < _OFTEN and done != total:
            return
        self._reported = now
        code = self.unit if total is None else f"{self.unit}_of"
        share = min(0.999, done / total) if total else 0.0
        self._send({"count": int(done), "total": total, "progress": share, "code": code,
                    "details": {"count": int(done), "total": total}})  # fmt: skip

    def is_due(self) -> bool:
        """Return whether the preview is old enough for another one."""
        return time.monotonic() - self._shown >= _PREVIEW_OFTEN

    def shown(self, image: Image) -> None:
        """Write a preview of a frame or an image, HWC, unless the last one is new."""
        if not self.is_due():
            return
        self._shown = time.monotonic()
        share = min(1.0, _PREVIEW_SIDE / max(image.shape[:2]))
        size = max(1, round(image.shape[1] * share)), max(1, round(image.shape[0] * share))
        seen = imaging.as_dtype(imaging.visible(imaging.resize(image, size)), np.uint8)
        with contextlib.suppress(CalcoError):  # it is no part of the result
            imaging.write(self.folder / "preview.jpg", imaging.as_channels(seen, 3))


def main() -> None:
    """Do the job that the standard input holds."""
    with os.fdopen(os.dup(1), "wb", buffering=0) as lines:
        os.dup2(2, 1)  # what libraries print is no report
        line = sys.stdin.buffer.readline()
        if not line:  # the studio has ended meanwhile
            return
        task = json.loads(line)
        threading.Thread(target=_end_with_the_studio, daemon=True).start()
        lock = threading.Lock()

        def send(row: dict[str, Any]) -> None:
            with lock:
                lines.write(encode(row))

        send(_outcome(task, send))


def _end_with_the_studio() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


def _outcome(task: dict[str, Any], send: Send) -> dict[str, Any]:
    """Do a job; return how it ended, without paths of this machine."""
    folder = Path(task["folder"])
    code, details = "model", dict[str, Any]()
    try:
        with _prepared(task):
            result, code, details = (_video if task["kind"] == "video" else _images)(task, folder, send)
        return {"state": "done", "result": result, "code": code, "details": details}
    except RefusedError as error:
        code, details = error.reason, error.values
    except DiskError:
        code = "disk"
    except CalcoError as error:
        details = {"reason": without_folders(str(error), folder)}
    except Exception as error:  # noqa: BLE001  (the client gets one line, and the terminal of the studio the rest)
        code = "memory" if is_out_of_memory(error) else "defect"
        details = {"error": type(error).__name__}
        traceback.print_exc()
    return {"state": "failed", "code": code, "details": details}


@contextlib.contextmanager
def _prepared(task: dict[str, Any]) -> Iterator[None]:
    """Take the job's folder, which a killed process may still hold; bound what this process takes of the machine."""
    import cv2
    import torch

    os.nice(task["nice"])
    torch.set_num_threads(task["threads"])
    cv2.setNumThreads(task["threads"])
    folder = Path(task["folder"])
    most = task["limits"]["unpacked_bytes"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # an animation may unpack to any size
    os.environ["TMPDIR"] = str(make_folder(folder / "temporary"))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# ---- A video ----


_Done = tuple[str, str, dict[str, Any]]
"""Name of the result, and code and details of what to say of it."""


def _video(task: dict[str, Any], folder: Path, send: Send) -> _Done:
    """Translate a video, or find objects in it."""
    from calco.video.reading import Video

    source, target = next(folder.glob("upload.*")), folder / "result.mp4"
    tables = [target.with_suffix(ending) for ending in (".csv", ".jsonl") if task["does"] == "detector"]
    if all(path.exists() for path in (target, *tables)):  # whole, and the studio was ended before it heard of it
        return target.name, "", {}
    for path in (target, *tables):
        path.unlink(missing_ok=True)
    limits, reporter = Limits(**task["limits"]), Reporter(folder, "frame", send)
    check_video(source, limits)
    video = Video(source)

    def progress(done: float, total: int | None) -> None:
        check_length(done / video.rate, int(done), limits)  # containers need not say how long they are
        reporter.progress(done, total)

    # A browser plays H.264 with colour for every second pixel; sizes that are odd need another codec for that.
    codec = "vp9" if video.full_chroma or any(side % 2 for side in video.size) else "h264"
    call = _video_by_detector if task["does"] == "detector" else _video_by_translator
    notes = call(task, source, target, codec, progress, reporter.shown)
    if not notes:
        return target.name, "", {}
    english = [without_folders(note, folder) for note in notes[:_FEW]]
    said = {"english": "; ".join(english), "spanish": "; ".join(map(spanish_note, english))}
    return target.name, "notes", {"notes": ("video_notes", said)}


_Progress = Callable[[float, int | None], None]
_Shown = Callable[[Image], None]


def _video_by_translator(
    task: dict[str, Any], source: Path, target: Path, codec: str, progress: _Progress, shown: _Shown
) -> list[str]:
    from functools import partial

    from calco.data.mask_encoding import read_mask
    from calco.data.recipes.erase import given_region
    from calco.inference.steady import Steady
    from calco.inference.translator import weights_digest
    from calco.inference.video import RenderOptions, VideoOptions, translate_video

    translator, options = _translator(task), task["options"]
    mask = next(source.parent.glob("mask.*"), None)
    steadier = partial(Steady.of, translator.info) if options["steady"] else None
    made_by = {"model": weights_digest(task["model"]), **translator.settings}
    region = None if mask is None else given_region(read_mask(mask), translator.info.recipe.erase)[..., None]
    render = RenderOptions(noise_seed=options["noise_seed"], mask=region)
    done = translate_video(
        translator, source, target, VideoOptions(codec=codec, render=render, steadier=steadier, made_by=made_by),
        progress=progress, shown=shown,
    )  # fmt: skip
    return done.notes


def _video_by_detector(
    task: dict[str, Any], source: Path, target: Path, codec: str, progress: _Progress, shown: _Shown
) -> list[str]:
    from calco.detection.config import PredictConfig
    from calco.detection.predict import predict

    named = source.with_suffix(".mp4")  # known by its ending; what it is, its content says
    if source != named and not named.exists():
        os.link(source, named)
    config = PredictConfig(model=task["model"], sources=(str(named),), out=str(target), codec=codec,
                           format=("drawn", "jsonl", "csv"), threshold=task["options"]["threshold"])  # fmt: skip
    done = predict(config, progress=lambda _what, count, total: progress(count, total), shown=shown)
    return [note for video in done.videos for note in video.notes]


# ---- Images ----


def _images(task: dict[str, Any], folder: Path, send: Send) -> _Done:
    """Translate images, or find objects in them."""
    target = folder / "result.zip"
    if target.exists():
        return target.name, "", {}
    reporter, out = Reporter(folder, "image", send), folder / "out"
    given = _given(task, folder)
    if not given.names:
        name, reason = next(iter(given.left_out.items()))
        raise RefusedError("none", count=len(given.left_out), name=name, reason=reason)

    def progress(done: float, total: int | None) -> None:
        reporter.progress(done, total)
        _show_newest(out, reporter)

    call = _images_by_detector if task["does"] == "detector" else _images_by_translator
    results, texts, left_out = call(task, folder / "input", out, given, progress)
    language = task.get("language", "en")  # a job of an earlier version has none
    said = {name: sentence(*reason, language) for name, reason in given.left_out.items()}
    said |= {
        given.names.get(name, name): sentence("model", {"reason": without_folders(reason, folder)}, language)
        for name, reason in left_out.items()
    }
    if said:
        texts["left_out.txt"] = "".join(f"{name}: {reason}\n" for name, reason in sorted(said.items()))
    pack(target, results, texts)
    counts = {"count": len(said), "total": len(given.names) + len(given.left_out)}
    return target.name, "left_out" if said else "", counts


def _given(task: dict[str, Any], folder: Path) -> Unpacked:
    """Return the images of an upload, unpacked and named by their content; those of an earlier process are kept."""
    record, inputs = folder / "given.json", folder / "input"
    if record.exists():
        kept = json.loads(record.read_bytes())
        return Unpacked(kept["names"], kept["left_out"])
    limits, found = Limits(**task["limits"]), Unpacked()
    if task["names"]:
        for own, name in task["names"].items():
            # What a killed process has named already is found by its beginning.
            file = next(inputs.glob(f"{own}*"), None)
            if file is not None:
                take(file.rename(inputs / own), safe_name(name), found, limits)
    else:
        upload = next(folder.glob("upload.*"))
        shutil.rmtree(inputs, ignore_errors=True)
        if upload.suffix == ".zip":
            found = unpack(upload, inputs, limits)
        else:
            shutil.copyfile(upload, make_folder(inputs) / "000000")
            take(inputs / "000000", f"image{upload.suffix}", found, limits)
    from calco.files import write_json

    write_json(record, {"names": found.names, "left_out": found.left_out})
    return found


_Results = tuple[list[tuple[str, Path]], dict[str, str], dict[str, str]]
"""Files by their names in the result; texts by theirs; reasons of what was left out by its name on this disk."""


def _images_by_translator(
    task: dict[str, Any], inputs: Path, out: Path, given: Unpacked, progress: _Progress
) -> _Results:
    from calco.inference.images import translate_images

    translator, seed = _translator(task), task["options"]["noise_seed"]
    done = translate_images(
        task["model"], inputs, out, masks=_masks(inputs, given, Limits(**task["limits"])), noise_seed=seed,
        overlay=translator.overlay, loaded=translator, progress=progress,
    )  # fmt: skip
    made = {path.name.partition(".")[0]: path for path in sorted(out.glob("[0-9]*"))}
    return _named(made, given), {}, done.left_out


def _masks(inputs: Path, given: Unpacked, limits: Limits) -> Path | None:
    """Return a folder with the mask of each image under the image's name here; None if the job has no masks."""
    upload = next(inputs.parent.glob("mask.*"), None)
    if upload is None:
        return None
    folder = inputs.parent / "masks"
    if folder.exists():  # of an earlier process, whose end may have left it half done
        shutil.rmtree(folder)
    if upload.suffix != ".zip":
        for own in given.names:
            os.link(upload, make_folder(folder) / Path(own).with_suffix(upload.suffix))
        return folder
    found = unpack(upload, inputs.parent / "unpacked", limits)
    by_name = {matching_name(name): own for own, name in found.names.items()}
    for own, name in given.names.items():
        mask = by_name.get(matching_name(name))
        if mask is not None:
            os.link(inputs.parent / "unpacked" / mask, make_folder(folder) / Path(own).with_suffix(Path(mask).suffix))
    if not folder.exists():
        raise RefusedError("mask_names")
    return folder


def _images_by_detector(
    task: dict[str, Any], inputs: Path, out: Path, given: Unpacked, progress: _Progress
) -> _Results:
    from calco.detection.config import PredictConfig
    from calco.detection.predict import predict
    from calco.detection.prediction import write_csv
    from calco.journal import read

    config = PredictConfig(model=task["model"], sources=(str(inputs),), out=str(out), format=("drawn", "jsonl"),
                           threshold=task["options"]["threshold"])  # fmt: skip
    done = predict(config, progress=lambda _what, count, total: progress(count, total))
    rows = [{**row, "image": given.names.get(row["image"], row["image"])} for row in read(out / "detections.jsonl")]
    table = out.parent / "named.csv"
    write_csv(table, rows)
    texts = {"detections.jsonl": "".join(encode(row).decode() for row in rows),
             "detections.csv": table.read_text(encoding="utf-8")}  # fmt: skip
    made = {path.name.partition(".")[0]: path for path in sorted((out / "drawn").glob("[0-9]*"))}
    return _named(made, given), texts, done.left_out


def _named(made: dict[str, Path], given: Unpacked) -> list[tuple[str, Path]]:
    """Return results by the clients' names of their images, with the endings of the results, each name once."""
    named: dict[str, Path] = {}
    for own, name in given.names.items():
        path = made.get(own.partition(".")[0])
        if path is not None:
            wanted = PurePosixPath(name).with_suffix(path.suffix).as_posix()
            named[wanted if wanted not in named else f"{name}{path.suffix}"] = path
    return list(named.items())


def _show_newest(out: Path, reporter: Reporter) -> None:
    """Write a preview of the newest result, unless that before is new."""
    place = out / "drawn" if (out / "drawn").is_dir() else out
    if reporter.is_due():
        with contextlib.suppress(CalcoError, OSError, ValueError):  # there is none yet
            reporter.shown(imaging.read(max(place.glob("[0-9]*"), key=lambda path: path.stat().st_mtime_ns)))


# ---- Both ----


def _translator(task: dict[str, Any]) -> Any:
    from calco.inference.network import Overlay
    from calco.inference.translator import load
    from calco.networks.machine import make_ready

    translator = load(task["model"], precision="auto")
    make_ready(translator.device)
    if task["options"]["overlay"]:
        translator.lay_over(Overlay())
    return translator


def safe_name(name: str) -> str:
    """Return a client's name of a file as one for an archive: without folders, and not empty."""
    return PurePosixPath(name.replace("\\", "/")).name.replace("\0", "") or "image"


def without_folders(text: str, folder: Path) -> str:
    """Return a message without the folders of this machine, and with the upload under that name."""
    text = without_paths(text.replace(f"{folder}{os.sep}", "").replace(str(folder), "the upload"))
    return re.sub(r"\bupload\.\w+", "the upload", text)


if __name__ == "__main__":
    main()
