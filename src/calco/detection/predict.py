"""`calco detect predict`: a detector on pictures, films and what cameras see."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from calco import images
from calco.annotations.detections import Detections
from calco.detection.contract import FindsThings
from calco.detection.looking import Look, Tally
from calco.detection.predict_config import PredictConfig
from calco.detection.predict_film import VERB, FilmDone, FilmWish, predict_film, predicted_film
from calco.detection.predict_live import is_live, predict_live
from calco.detection.predict_pictures import LINES, Places, predict_pictures
from calco.detection.slicing import Slices
from calco.detection.sources import Given, listed
from calco.errors import CalcoError, DiskError
from calco.files import read_json, write_json
from calco.film.codecs import written_as
from calco.inference.results import same_inputs, stamps_of
from calco.locks import locked_file
from calco.outputs import Outputs, new_file, settings_digest, writing_folder
from calco.pairs.frames import is_film, result_folder

MANIFEST: Final = "prediction.json"
FORMAT: Final = 2


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
    record = {"format": FORMAT, "model": made_by or "python", **look.record(), "precision": config.precision,
              "scale": config.scale}  # fmt: skip
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
                wish = self._wish(self.out, self.out.with_suffix(".jsonl"))
                self._film(films[0], wish)
            else:
                self._picture(given[0])
            return
        folder = result_folder(self.out)
        with writing_folder(folder, VERB, overwrite=self.config.overwrite, growing=(LINES,)) as outputs:
            self._in_folder(outputs, pictures, films)
        if not (self.done.written or self.done.kept or self.done.films):
            name, reason = next(iter(self.done.left_out.items()))
            raise CalcoError(f"nothing of {len(given)} could be looked at; the first, {name}: {reason}")

    def _in_folder(self, outputs: Outputs, pictures: list[Given], films: list[Given]) -> None:
        places = Places.in_folder(self.out, self.config.format)
        wishes = {
            film.name: self._wish(self.out / written_as(film.name, self.config.codec), self.out / f"{film.name}.jsonl")
            for film in films
        }
        for each in (*pictures, *films):
            if os.path.realpath(each.path) in {os.path.realpath(path) for path in self._results(each, places, wishes)}:
                raise CalcoError(f"the result would replace {each.path}; choose another --out")
        # Nothing is written before it is clear that all of it may be.
        outputs.check([self.out / MANIFEST, *(places.tables() if pictures else ())])
        outputs.check(path for each in (*pictures, *films) for path in self._results(each, places, wishes))
        self._claim(outputs)
        if pictures:
            self._pictures(pictures, places, outputs)
        for film in films:
            try:
                self._one_film(film, wishes[film.name], outputs)
            except DiskError:  # nor can those that follow be written
                raise
            except CalcoError as error:
                self.done.left_out[film.name] = str(error)
        write_json(self.out / MANIFEST, {**self.record, "left_out": self.done.left_out})

    def _results(self, given: Given, places: Places, wishes: dict[str, FilmWish]) -> list[Path]:
        """The files of one picture or film, beside the tables of all pictures."""
        if given.kind == "film":
            return wishes[given.name].results()
        return [] if places.drawn is None else [places.drawn(given.name)]

    def _one_file(self, given: list[Given]) -> bool:
        """Whether `out` names the drawn picture or film."""
        for kind, fits in (("picture", images.is_picture(self.out)), ("film", is_film(str(self.out)))):
            if fits and not self.out.is_dir():
                if len(given) != 1 or given[0].kind != kind:
                    raise CalcoError(f"--out {self.out} is one {kind}, and the source is not; name a folder")
                return True
        return False

    def _picture(self, given: Given) -> None:
        """The one picture whose result is named by its file."""
        if self.out.exists() and self.out.samefile(given.path):
            raise CalcoError(f"the result would replace {given.path}; choose another --out")
        places = Places.one(self.out, self.config.format)
        with new_file(self.out, VERB, beside=places.tables(), overwrite=self.config.overwrite):
            places.lines.unlink(missing_ok=True)
            try:
                self._pictures([given], places, None)
            finally:
                if "jsonl" not in self.config.format:
                    places.lines.unlink(missing_ok=True)

    def _pictures(self, pictures: list[Given], places: Places, outputs: Outputs | None) -> None:
        done = predict_pictures(
            self.look, pictures, places, scale=self.config.scale, outputs=outputs,
            settings=settings_digest(self.record),
            progress=lambda count, of: self.progress("pictures", count, of),
        )  # fmt: skip
        self.done.pictures, self.done.written = done.tally, done.written
        self.done.kept += done.kept
        self.done.left_out |= done.left_out
        self.done.only = done.only if len(pictures) == 1 else None
        if len(pictures) == 1 and done.left_out:
            raise CalcoError(next(iter(done.left_out.values())))

    def _wish(self, target: Path, lines: Path) -> FilmWish:
        start, stop = self.config.times()
        return FilmWish(
            drawn=target if "drawn" in self.config.format else None, lines=lines, formats=self.config.format,
            start=start, stop=stop, codec=self.config.codec, quality=self.config.quality, scale=self.config.scale,
            made_by=self.record, overwrite=self.config.overwrite,
        )  # fmt: skip

    def _one_film(self, film: Given, wish: FilmWish, outputs: Outputs) -> None:
        """One of the films, unless its results are there."""
        settings = settings_digest([self.record, str(wish.start), str(wish.stop), wish.codec, wish.quality])
        before, results = outputs.stamps(film.name, settings), wish.results()
        kept = before is not None and same_inputs([film.path], before) and all(map(outputs.owns, results))
        if kept and results and not wish.overwrite:
            self.done.kept += 1
            return
        with locked_file(wish.lines, VERB):
            stamps = stamps_of([film.path])
            self._film(film, wish, replaces=True)
            outputs.note_done(film.name, settings, stamps)

    def _film(self, film: Given, wish: FilmWish, *, replaces: bool = False) -> None:
        predicted = partial(predicted_film if replaces else predict_film, self.look, film.path, wish)
        done = predicted(progress=lambda count, of: self.progress(film.name, count, of))
        self.done.films.append(done)
        self.done.frames.join(done.tally)

    def _claim(self, outputs: Outputs) -> None:
        """Notes what writes into the folder, and refuses to mix two."""
        manifest = self.out / MANIFEST
        if self.config.overwrite:
            outputs.remove(self.out / LINES)
        elif manifest.exists():
            before = read_json(manifest)
            before.pop("left_out", None)
            if before != self.record:
                raise CalcoError(
                    f"{self.out} holds what another model or other options found; choose another --out, or --overwrite"
                )
        write_json(manifest, self.record)
