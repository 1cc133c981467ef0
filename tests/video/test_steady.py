"""Flow, flicker and steadying, on a photograph that a camera moves over, with something moving before it."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from skimage import data

from calco import imaging
from calco.errors import CalcoError
from calco.imaging import Image
from calco.inference.steady import Steady
from calco.video.motion import CutFinder, Follower, chroma_of, luma, warping_error

FRAMES = 14
WIDTH, HEIGHT = 160, 112


def moving_video() -> list[Image]:
    """A window that slides over a photograph by two pixels a frame, and a plain patch that crosses it the other way."""
    photograph = imaging.resize(np.ascontiguousarray(data.chelsea()), (300, 200), "bicubic")
    texture = np.random.default_rng(3).integers(40, 90, (24, 24, 1)).astype(np.uint8)
    frames = []
    for number in range(FRAMES):
        frame = photograph[40 : 40 + HEIGHT, 40 + 2 * number : 40 + 2 * number + WIDTH].copy()
        frame[44:68, 120 - 5 * number : 144 - 5 * number] = texture + np.array([60, 0, 90], np.uint8)
        frames.append(frame)
    return frames


def drawn(frames: list[Image], level: float) -> list[Image]:
    """What a model that flickers would make: the right brightness, and colours that are off by chance."""
    rng = np.random.default_rng(0)
    made = []
    for frame in frames:
        off = cv2.resize(rng.normal(0, level, (7, 10, 2)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        red, blue = off[..., 0], off[..., 1]
        shift = np.stack([red, -(0.299 * red + 0.114 * blue) / 0.587, blue], axis=2)
        made.append(np.clip(frame + shift, 0, 255).astype(np.uint8))
    return made


def grey(frame: Image) -> Image:
    return luma(frame)[..., None]


def flicker(video: list[Image], guide: list[Image]) -> float:
    follow = Follower()
    pairs = pairwise(zip(video, guide, strict=True))
    return float(np.mean([warping_error(a, b, follow(luma(c), luma(d))) for (a, c), (b, d) in pairs]))


def psnr(video: list[Image], truth: list[Image], region: slice | None = None) -> float:
    rows = region or slice(None)
    errors = [np.square(a[rows].astype(float) - b[rows]).mean() for a, b in zip(video[1:], truth[1:], strict=True)]
    return float(10 * np.log10(255**2 / np.mean(errors)))


def test_the_flow_is_found_and_what_was_hidden_is_told() -> None:
    frames = moving_video()
    motion = Follower()(luma(frames[6]), luma(frames[7]))
    # The camera moves by two to the right, so what is seen now stood two further right before.
    assert np.median(motion.field[8:36, 8:-8], axis=(0, 1)) == pytest.approx([2, 0], abs=0.2)
    assert np.median(motion.speed[8:36, 8:-8]) == pytest.approx(2, abs=0.2)
    assert motion.visible[8:36, 8:-8].mean() > 0.8
    trail = motion.visible[48:64, 144 - 35 : 144 - 31]  # what the patch has just uncovered
    assert trail.mean() < 0.5
    assert not motion.visible[:, -1].any()  # has just come in
    moved = motion.warp(frames[6])
    assert moved.shape == frames[7].shape
    assert np.abs(moved.astype(int) - frames[7])[motion.visible].mean() < 2


def test_flicker_is_what_motion_does_not_explain() -> None:
    frames = moving_video()
    own, restless = flicker(frames, frames), flicker(drawn(frames, 10), frames)
    assert own < 5e-4
    assert restless > 3 * own
    # By hand: still images whose values jump by a tenth.
    still = np.full((32, 48, 3), 0.5, np.float32)
    assert flicker([still, still + 0.1, still], [frames[0][:32, :48]] * 3) == pytest.approx(0.01, rel=1e-4)
    small = [frame[:8, :8] for frame in frames[:2]]
    # Too small to search in: the mean square of what changes, without motion.
    assert flicker(small, small) == pytest.approx(np.square(np.subtract(*small, dtype=float) / 255).mean(), rel=1e-5)


def test_a_cut_is_found() -> None:
    frames = moving_video()
    other = [255 - frame for frame in frames]
    find = CutFinder()
    assert [find(luma(frame)) for frame in frames + other].index(True) == FRAMES


@pytest.mark.parametrize("what", ["chroma", "image"])
def test_steadying_lowers_flicker_and_leaves_no_trail(what: str) -> None:
    frames = moving_video()
    shown, made = [grey(frame) for frame in frames], drawn(frames, 10)
    steady = Steady(0.8, what)
    video = [steady(seen, image) for seen, image in zip(shown, made, strict=True)]
    assert all(a.shape == b.shape and a.dtype == b.dtype for a, b in zip(video, made, strict=True))
    colours = [flicker_of_colour(each, frames) / flicker_of_colour(made, frames) for each in (video, made)]
    assert colours[0] < 0.5
    assert psnr(video, frames) > psnr(made, frames) + 1
    # Where the patch passes, on its way and after it, nothing is worse than it was drawn.
    assert psnr(video, frames, slice(44, 68)) > psnr(made, frames, slice(44, 68))
    if what == "chroma":
        assert max(np.abs(luma(a).astype(int) - luma(b)).mean() for a, b in zip(video, made, strict=True)) < 1


def flicker_of_colour(video: list[Image], guide: list[Image]) -> float:
    follow = Follower()
    pairs = list(pairwise(zip(video, guide, strict=True)))
    errors = [warping_error(chroma_of(a), chroma_of(b), follow(luma(c), luma(d))) for (a, c), (b, d) in pairs]
    return float(np.mean(errors))


def test_a_cut_a_reset_and_another_size_begin_anew() -> None:
    frames = moving_video()
    red, blue = (np.full_like(frames[0], 90) + np.array(add, np.uint8) for add in ([100, 0, 0], [0, 0, 100]))
    steady = Steady(0.9, "chroma")
    steady(grey(frames[0]), red)
    assert not np.array_equal(steady(grey(frames[1]), blue), blue)
    assert np.array_equal(steady(255 - grey(frames[2]), blue), blue)
    steady(255 - grey(frames[3]), red)
    steady.reset()
    assert np.array_equal(steady(255 - grey(frames[4]), blue), blue)
    assert np.array_equal(steady(grey(frames[5])[:64], red[:64]), red[:64])


def test_what_is_drawn_as_it_was_shown_stays_to_the_bit_and_depth_is_kept() -> None:
    frames = moving_video()
    rng = np.random.default_rng(1)
    noisy = [np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
    repaired = [frame.copy() for frame in noisy]
    for number, frame in enumerate(repaired):
        frame[80:100, 20:60] = 100 + 40 * (number % 2)
    steady = Steady(0.8)
    for seen, image in zip(noisy, repaired, strict=True):
        video = steady(seen, image)
        assert np.array_equal(video[:78], image[:78])
    assert abs(int(video[90, 40, 0]) - 120) < 20  # between what was drawn in turns
    for dtype in (np.uint16, np.float32):
        deep = [imaging.as_dtype(frame, dtype) for frame in frames[:3]]
        again = Steady(0.8, "chroma")
        assert all(again(seen, seen).dtype == dtype for seen in deep)
    unchanged = Steady(0)
    assert unchanged(noisy[0], repaired[0]) is repaired[0]
    for wrong in (1.0, -0.1):
        with pytest.raises(CalcoError, match="strength"):
            Steady(wrong)
