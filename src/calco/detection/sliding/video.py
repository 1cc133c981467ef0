"""Writes the frames as a GIF or as a video."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path

from PIL import Image as Pillow

from calco.files import make_folder, replacing
from calco.imaging import Image
from calco.video.writing import VideoWriter


def write_gif(
    path: Path,
    frames: Iterator[Image],
    *,
    rate: float,
    hold: float,
    count: int,
    sample: Image,
    colours: Sequence[tuple[int, int, int]] = (),
) -> None:
    """Writes an animated GIF that repeats for ever.

    All frames share one palette, so that what stands still is stored once.

    Args:
        path: The file.
        frames: HW3 `uint8`, all of one size.
        rate: Frames a second; a GIF counts in hundredths of a second.
        hold: Seconds of the last frame.
        count: How many frames there are.
        sample: An image with the colours of all frames.
        colours: Those that must be there exactly.

    Raises:
        CalcoError: When it cannot be written.
    """
    make_folder(path.parent)
    palette = _palette(sample, colours)
    made = (Pillow.fromarray(frame).quantize(palette=palette, dither=Pillow.Dither.NONE) for frame in frames)
    step = max(20, round(100 / rate) * 10)
    spans = [step] * (count - 1) + [max(step, round(hold * 100) * 10)]
    first = next(made)
    with replacing(path) as temporary:
        first.save(temporary, "GIF", save_all=True, append_images=made, duration=spans, loop=0, optimize=True)


def _palette(sample: Image, colours: Sequence[tuple[int, int, int]]) -> Pillow.Image:
    """An image with 255 colours: one is left for what does not change."""
    exact = [value for colour in colours for value in colour]
    count = 255 - len(colours)
    common = Pillow.fromarray(sample).quantize(count, Pillow.Quantize.MEDIANCUT).getpalette() or []
    palette = Pillow.new("P", (1, 1))
    palette.putpalette((exact + common)[: 3 * 255])
    return palette


def write_video(path: Path, frames: Iterator[Image], *, rate: float, hold: float) -> None:
    """Writes a video of any kind; the last frame is repeated for as long as it is held.

    Args:
        path: The file, whose ending tells the kind.
        frames: HW3 `uint8`, all of one size of even numbers.
        rate: Frames a second.
        hold: Seconds of the last frame.

    Raises:
        CalcoError: When it cannot be encoded or written.
    """
    exact = Fraction(rate).limit_denominator(1000)
    first = next(frames)
    with VideoWriter(path, (first.shape[1], first.shape[0]), rate=exact) as writer:
        for number, frame in enumerate(_held(chain([first], frames), max(1, round(hold * rate)))):
            writer.write(frame, number / exact)


def _held(frames: Iterable[Image], times: int) -> Iterator[Image]:
    """The frames, the last of them so many times."""
    last = None
    for frame in frames:
        last = frame
        yield frame
    if last is not None:
        yield from repeat(last, times - 1)
