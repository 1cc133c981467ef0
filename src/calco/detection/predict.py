"""`calco detect predict`: a detector on pictures, films and what cameras see."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from calco import images
from calco.annotations.detections import Detections
from calco.detection.contract import FindsThings
from calco.detection.looking import Look, Tally
from calco.detection.predict_config import PredictConfig
from calco.detection.predict_film import FilmDone, FilmWish, predict_film
from calco.detection.predict_live import is_live, predict_live
from calco.detection.predict_pictures import LINES, Places, predict_pictures
from calco.detection.slicing import Slices
from calco.detection.sources import Given, listed
from calco.errors import CalcoError, DiskError
from calco.files import read_json, write_json
from calco.film.codecs import written_as
from calco.pairs.frames import is_film, result_folder

MANIFEST: Final = "prediction.json"
FORMAT: Final = 1


@dataclass
class Prediction:
    """What came of a call.

    Attributes:
        out: The folder or file that was written; empty where live pictures were only shown.
        pictures: What was found in pictures.
        frames: What was found in frames of films, or live.
        written: Pictures that were looked at now.
        kept: Pictures and films that an earlier call had done.
        films: What came of each film.
        left_out: Name and reason of everything that could not be used.
        only: What is in the picture, where it was a single one.
        notes: What of the pictures is not used, a sentence each.
    """

    out: str
    pictures: Tally = field(default_factory=Tally)
    frames: Tally = field(default_factory=Tally)
    written: int = 0
    kept: int = 0
    films: list[FilmDone] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    only: Detections | None = None
    notes: list[str] = field(default_factory=list)


Progress = Callable[[str, float, int | None], None]
"""Is told what is looked at ("pictures", or the name of a film), how much is done, and of how much."""


def predict(
    config: PredictConfig,
    detector: FindsThings | None = None,
    *,
    made_by: str = "",
    progress: Progress = lambda _what, _done, _of: None,
) -> Prediction:
    """Finds things in pictures, films and what cameras see.

    Args:
        config: What is wanted.
        detector: What finds them; None loads the model that is named.
        made_by: What tells the detector from another one; by default the digest of its weights.
        progress: Is told how far it is.

    Raises:
        CalcoError: When model or sources cannot be used, `out` holds what another model found, or nothing was done.
    """
    plays = is_live(config)
    given, left_out = ([], []) if plays else listed(config.sources, config.out)
    if not plays:
        _check_formats(config, given)
    if detector is None:
        from calco.detection.opening import detector_digest, open_detector

        detector = open_detector(config.model, runtime=config.runtime, device=config.device, precision=config.precision)
        made_by = made_by or detector_digest(config.model)
    look = Look(
        detector=detector, threshold=config.threshold, classes=config.classes, batch=config.batch,
        slices=Slices(side=config.slice, overlap=config.overlap, batch=config.batch) if config.slice else None,
    )  # fmt: skip
    done = Prediction(config.out)
    done.left_out |= dict(left_out)
    if note := images.note_on_several(
        [each.path for each in given if each.kind == "picture"], "--out NAME.mp4 looks at all frames of one animation"
    ):
        done.notes.append(note)
    if plays:
        done.frames = predict_live(look, config)
        return done
    record = {"format": FORMAT, "model": made_by or "python", **look.record(), "precision": config.precision}
    try:
        _Files(config, look, record, done, progress).work(given)
    except DiskError as error:
        command = "the same command without --overwrite" if config.overwrite else "the same command"
        raise DiskError(f"{error}; what is done is kept, and {command} goes on from there") from error
    return done


def _check_formats(config: PredictConfig, given: list[Given]) -> None:
    films = [each for each in given if each.kind == "film"]
    if films and len(films) == len(given) and set(config.format) == {"coco"}:
        raise CalcoError("COCO names picture files, which frames of films are not; choose --format jsonl or csv")
    if not films and (config.from_ or config.to or config.codec or config.quality is not None):
        raise CalcoError(f"--from, --to, --codec and --quality are for films, and {config.sources[0]} is none; "
                         "leave them out")  # fmt: skip
    if not config.out:
        raise CalcoError("--out is missing; name the folder to write into")


class _Files:
    """Pictures and films of one call."""

    def __init__(
        self, config: PredictConfig, look: Look, record: dict[str, Any], done: Prediction, progress: Progress
    ) -> None:
        self.config, self.look, self.record, self.done, self.progress = config, look, record, done, progress
        self.out = Path(config.out)

    def work(self, given: list[Given]) -> None:
        """Looks at all of them."""
        pictures = [each for each in given if each.kind == "picture"]
        films = [each for each in given if each.kind == "film"]
        if self._one_file(given):
            if films:
                self._film(films[0], self.out, self.out.with_suffix(".jsonl"))
            else:
                places = self._beside(given[0])
                self._pictures(pictures, places)
                if "jsonl" not in self.config.format:
                    places.table(".jsonl").unlink(missing_ok=True)
            return
        result_folder(self.out)
        self._claim()
        if pictures:
            self._pictures(pictures, Places.in_folder(self.out, self.config.format))
        for film in films:
            target = self.out / written_as(film.name, self.config.codec)
            with_table = self.out / f"{film.name}.jsonl"
            try:
                self._film(film, target, with_table)
            except DiskError:  # nor can those that follow be written
                raise
            except CalcoError as error:
                self.done.left_out[film.name] = str(error)
        write_json(self.out / MANIFEST, {**self.record, "left_out": self.done.left_out})
        if not (self.done.written or self.done.kept or self.done.films):
            name, reason = next(iter(self.done.left_out.items()))
            raise CalcoError(f"nothing of {len(given)} could be looked at; the first, {name}: {reason}")

    def _one_file(self, given: list[Given]) -> bool:
        """Whether `out` names the drawn picture or film."""
        for kind, fits in (("picture", images.is_picture(self.out)), ("film", is_film(str(self.out)))):
            if fits and not self.out.is_dir():
                if len(given) != 1 or given[0].kind != kind:
                    raise CalcoError(f"--out {self.out} is one {kind}, and the source is not; name a folder")
                return True
        return False

    def _beside(self, given: Given) -> Places:
        if self.out.exists() and self.out.samefile(given.path):
            raise CalcoError(f"the result would replace {given.path}; choose another --out")
        places = Places.one(self.out, self.config.format)
        for path in (self.out, places.table(".jsonl")):
            if path.exists() and not self.config.overwrite:
                raise CalcoError(f"{path} is there already; choose another --out, or --overwrite")
        places.table(".jsonl").unlink(missing_ok=True)
        return places

    def _pictures(self, pictures: list[Given], places: Places) -> None:
        done = predict_pictures(
            self.look, pictures, places, scale=self.config.scale,
            progress=lambda count, of: self.progress("pictures", count, of),
        )  # fmt: skip
        self.done.pictures, self.done.written = done.tally, done.written
        self.done.kept += done.kept
        self.done.left_out |= done.left_out
        self.done.only = done.only if len(pictures) == 1 else None
        if len(pictures) == 1 and done.left_out:
            raise CalcoError(next(iter(done.left_out.values())))

    def _film(self, film: Given, target: Path, lines: Path) -> None:
        start, stop = self.config.times()
        wish = FilmWish(
            drawn=target if "drawn" in self.config.format else None, lines=lines, formats=self.config.format,
            start=start, stop=stop, codec=self.config.codec, quality=self.config.quality, scale=self.config.scale,
            made_by=self.record, overwrite=self.config.overwrite,
        )  # fmt: skip
        in_folder = target != self.out
        if in_folder and not self.config.overwrite and wish.results() and all(p.exists() for p in wish.results()):
            self.done.kept += 1
            return
        done = predict_film(self.look, film.path, wish, progress=lambda count, of: self.progress(film.name, count, of))
        self.done.films.append(done)
        self.done.frames.join(done.tally)

    def _claim(self) -> None:
        """Notes what writes into the folder, and refuses to mix two."""
        manifest = self.out / MANIFEST
        if self.config.overwrite:
            (self.out / LINES).unlink(missing_ok=True)
        elif manifest.exists():
            before = read_json(manifest)
            before.pop("left_out", None)
            if before != self.record:
                raise CalcoError(
                    f"{self.out} holds what another model or other options found; choose another --out, or --overwrite"
                )
        write_json(manifest, self.record)
