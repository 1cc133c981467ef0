"""Frames of videos as a source: every n-th, one every so many seconds, or the first of each scene."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calco.console import bar
from calco.data.config import SourceConfig
from calco.data.sample import Sample
from calco.data.source import Item, Source
from calco.data.sources.folders import nothing_in
from calco.data.sources.names import entries_of, keys_of
from calco.data.splits import settled
from calco.errors import CalcoError, printable
from calco.files import digest, list_files
from calco.imaging import Image
from calco.video.frame_image import deinterlaced_alone, has_alpha, image_of
from calco.video.frames import Index, decoding, first_frame, index_of, read_frame
from calco.video.motion import PREVIEW_WH, scene_starts
from calco.video.names import holds_videos, is_video

if TYPE_CHECKING:
    import av

MANY_VIDEOS: Final = 10
"""From so many videos on each is one group by itself."""
_LEAST_DIVIDED: Final = 5.0  # seconds; a shorter video is one group
_BLOCKS: Final = 10  # of a video of up to ten minutes, at most; then each is a minute or more
_LEAST_BLOCK: Final = 1.0  # seconds
_MOST_BLOCK: Final = 60.0
_MOST_GAP: Final = 5.0  # seconds

_SHOWN: Final = 5  # remarks on single videos


def matches(path: str) -> bool:
    """Return True for a video by its ending, or a folder that holds videos and no image."""
    return is_video(path) if os.path.isfile(path) else holds_videos(path)


def open(path: str, config: SourceConfig) -> Source:
    """List the frames that `config.frames` asks for, of one video or of all videos in a folder and below it."""
    folder = Path(path)
    if not folder.exists():
        raise CalcoError(f"there is no {path}; name a video, or a folder of videos")
    videos, left_out = [str(folder)], []
    passed: tuple[str, ...] = ()
    start = len(os.path.join(folder.parent, ""))
    if folder.is_dir():
        listing = list_files(folder, is_video)
        videos, left_out, start = listing.paths, listing.left_out, len(listing.root)
        passed = listing.remarks("videos", "groups.csv", "dropped.csv")
        if not videos:
            raise CalcoError(nothing_in(folder, left_out, "video"))
    items: dict[str, list[Item]] = {}
    remarks: list[str] = []
    with bar("looking at the videos", len(videos)) as advance:
        for done, (name, video) in enumerate(keys_of(videos, videos[0][:start]).items()):
            try:
                items[name] = _frames(video, name, entries_of([video], video[:start])[0].folder.split, config.frames)
                remarks += _remarks_on(video)
            except CalcoError as error:
                if not folder.is_dir():
                    raise
                left_out.append((printable(video[start:]), str(error)))
            advance(done + 1)
    if not items:
        raise CalcoError(f"none of the {len(videos)} videos in {path} can be read; the first: {left_out[-1][1]}")
    kept, unsplit = settled((replace(f[0], key=name) for name, f in items.items()), "in no folder of a split")
    items = {item.key: [replace(frame, split=item.split) for frame in items[item.key]] for item in kept}
    left_out += unsplit
    by_block = config.video_groups == "block" or (config.video_groups == "auto" and len(items) < MANY_VIDEOS)
    if not by_block:
        items = {name: [replace(item, group=name, when=()) for item in frames] for name, frames in items.items()}
    wanted = config.frames
    which = f"one every {wanted[:-1]} seconds" if wanted.endswith("s") else f"one in {wanted}"
    which = "the first of each scene" if wanted == "scene" else which
    videos_in_words = "one video" if len(items) == 1 else f"{len(items)} videos"
    blocks = any(frame.when for frames in items.values() for frame in frames)
    notes = (*(("blocks of their time are groups (--video-groups)",) if blocks else ()), *passed, *remarks[:_SHOWN])
    notes += (f"{len(remarks) - _SHOWN} more remarks on videos",) if len(remarks) > _SHOWN else ()
    return Source(
        "video", path, tuple(item for name in sorted(items) for item in items[name]), load_frame, tuple(left_out),
        digester=_digest, story=f"frames of {videos_in_words}, {which} (--frames)", notes=notes,
    )  # fmt: skip


def _remarks_on(video: str) -> list[str]:
    """Return remarks on how training sees a video, by its first frame."""
    frame, remarks = first_frame(video)
    if frame is not None and frame.interlaced_frame:
        remarks.append(f"{video} is interlaced: each frame is deinterlaced by itself")
    if frame is not None and has_alpha(frame.format.name):
        remarks.append(f"{video} is transparent in places: shown on white")
    return remarks


def _frames(video: str, name: str, split: str | None, wanted: str) -> list[Item]:
    """List the frames of one video that are asked for; their keys are the video's and their numbers."""
    index = index_of(video)
    digits = max(6, len(str(len(index.places))))
    blocks, gap = _blocks(index)
    return [
        Item(
            f"{name}/{number:0{digits}d}", f"{name}#{blocks[number]}" if blocks else name, (video,), split,
            index.places[number], (float(index.seconds[number]), gap) if blocks else (),
        )
        for number in _chosen(video, index, wanted)
    ]  # fmt: skip


def _blocks(index: Index) -> tuple[list[int], float]:
    """Return the block of each frame (none of a short video), and the seconds between blocks of different sides.

    A block begins with a key frame, where there is one in time: there encoders put cuts.
    """
    length = float(index.seconds[-1])
    if length < _LEAST_DIVIDED:
        return [], 0.0
    wished = min(max(length / _BLOCKS, _LEAST_BLOCK), _MOST_BLOCK)
    blocks, number, begun = [], 0, 0.0
    for place, at in zip(index.places, map(float, index.seconds), strict=True):
        is_key = len(place) > 1 and place[0] == place[1]
        # What would be left for a block at the end stays with the last one.
        if at - begun >= (wished if is_key else 3 * wished) and length - at >= wished / 2:
            number, begun = number + 1, at
        blocks.append(number)
    return blocks, round(min(wished, _MOST_GAP), 3)


def _chosen(video: str, index: Index, wanted: str) -> list[int]:
    if wanted == "scene":
        stamps: list[int | None] = []

        def small(frames: "Iterator[av.VideoFrame]") -> Iterator[Image]:
            width, height = PREVIEW_WH
            for frame in frames:
                stamps.append(frame.pts)
                yield frame.reformat(width=width, height=height, format="yuv444p", interpolation="AREA").to_ndarray()

        with decoding(video) as frames:
            starts = scene_starts(small(frames))
        # With wrong times in a file, frames come in another order than their stamps.
        numbers: dict[int | None, int] = {place[0]: number for number, place in enumerate(index.places)}
        return sorted({numbers.get(stamps[start], start) for start in starts})
    if not wanted.endswith("s"):
        return list(range(0, len(index.places), int(wanted)))
    step, following, chosen = Fraction(wanted[:-1]), Fraction(0), []
    for number, seconds in enumerate(index.seconds):
        if seconds >= following:
            chosen.append(number)
            following = (seconds // step + 1) * step
    return chosen


def load_frame(_source: Source, item: Item) -> Sample:
    """Read one frame, upright: HW3 `uint8`, or `uint16` where the video has more than eight bits and is no HDR."""
    from av.video.reformatter import VideoReformatter

    frame = deinterlaced_alone(read_frame(item.paths[0], item.place))
    image = image_of(frame, VideoReformatter(), item.paths[0], deep=True)
    return Sample(image=image, key=item.key, group=item.group)


def _digest(_source: Source, item: Item) -> str:
    """Return a digest of the video's contents and the frame's place in it."""
    status = os.stat(item.paths[0])
    whole = _video_digest(item.paths[0], status.st_size, status.st_mtime_ns)
    return hashlib.sha256(f"{whole} {item.place}".encode()).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _video_digest(video: str, _size: int, _changed: int) -> str:
    return digest(video)
