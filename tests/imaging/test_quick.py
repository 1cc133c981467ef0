"""The quick way to JPEG pixels: the same image as by Pillow, and Pillow's word on everything unusual."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from calco import imaging
from calco.errors import CalcoError
from calco.imaging import reading
from calco.imaging.reading import jpeg_pixels
from imaging.samples import cmyk_profile, gamma_curve, photo, rgb_profile

KINDS: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "fine": {"subsampling": 0, "quality": 95},
    "coarse": {"subsampling": 2, "quality": 20},
    "profiled": {"icc_profile": rgb_profile(gamma_curve(2.2))},
    "restarts": {"restart_marker_blocks": 2},
}


def jpeg(channels: int = 3, mode: str | None = None, **options: object) -> bytes:
    array = photo(channels=channels)
    image, file = Pillow.fromarray(array[..., 0] if channels == 1 else array), io.BytesIO()
    (image.convert(mode) if mode else image).save(file, "JPEG", **options)
    return file.getvalue()


def quick(data: bytes) -> imaging.Image | None:
    file = io.BytesIO(data)
    with Pillow.open(file) as image:
        return jpeg_pixels(file, image)


def by_pillow(data: bytes, monkeypatch: pytest.MonkeyPatch) -> imaging.Image | str:
    with monkeypatch.context() as patch:
        patch.setattr(reading, "jpeg_pixels", lambda *_: None)
        return answer(data)


def answer(data: bytes) -> imaging.Image | str:
    try:
        return imaging.decode(data, "a.jpg")
    except CalcoError as error:
        return str(error)


def alike(one: imaging.Image | str, other: imaging.Image | str) -> bool:
    """The same words, or the same image but for a decoder's rounding."""
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str) and one == other
    return one.shape == other.shape and int(np.abs(one.astype(int) - other).max()) <= 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_plain_jpegs_are_those_of_pillow(kind: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg(channels, **KINDS[kind])
    pixels = quick(data)
    assert pixels is not None
    assert (pixels.shape, pixels.dtype, pixels.flags.writeable) == ((40, 60, channels), np.uint8, True)
    assert alike(imaging.decode(data, "a.jpg"), by_pillow(data, monkeypatch))


def test_rotation_and_profile_are_seen_to(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    data = jpeg(exif=exif, icc_profile=rgb_profile(gamma_curve(1.0)))
    assert imaging.decode(data, "a.jpg").shape == (60, 40, 3)
    assert alike(imaging.decode(data, "a.jpg"), by_pillow(data, monkeypatch))


def test_what_is_no_plain_jpeg_is_left_to_pillow() -> None:
    files = [jpeg(mode="CMYK"), jpeg(mode="CMYK", icc_profile=cmyk_profile((128, 40, 60)))]
    for kind in ("PNG", "WEBP", "BMP"):
        file = io.BytesIO()
        Pillow.fromarray(photo()).save(file, kind)
        files.append(file.getvalue())
    assert all(quick(data) is None for data in files)


def test_every_damage_is_answered_as_before(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    chance, refused = random.Random(0), 0
    for kind in ("baseline", "progressive", "restarts"):
        whole = jpeg(**KINDS[kind])
        damaged = [whole[:length] for length in range(len(whole) - 3, 2, -37)]
        for _ in range(60):
            bent = bytearray(whole)
            bent[chance.randrange(2, len(bent))] ^= 1 << chance.randrange(8)
            damaged.append(bytes(bent))
        for data in [*damaged, whole + b"\0" * 99]:
            here = answer(data)
            assert alike(here, by_pillow(data, monkeypatch))
            refused += isinstance(here, str)
    assert refused > 50
    assert capfd.readouterr().err == ""


def test_the_files_of_this_machine(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in sorted((real_data / "facades").glob("*.jpg"))[:3] + sorted((real_data / "nature").glob("*.jpg"))[:3]:
        assert alike(imaging.read(path), by_pillow(path.read_bytes(), monkeypatch))
