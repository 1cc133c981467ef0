"""A thumbnail is true to the file that it is decoded from at a reduced size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from calco import imaging
from calco.checking.survey import SIDE, read_thumbnail
from calco.errors import CalcoError
from checking.conftest import photo


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_large_jpeg_is_decoded_small_and_upright(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "large.jpg"
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    Pillow.fromarray(photo(1, 900, 600)).save(path, exif=exif, quality=95)
    seen, whole = read_thumbnail(str(path)), imaging.read(path)
    assert seen.size_wh == (whole.shape[1], whole.shape[0])
    assert max(seen.image.shape) == SIDE
    small = imaging.resize(whole, (seen.image.shape[1], seen.image.shape[0]))
    assert np.abs(small.astype(int) - seen.image).mean() < 3


def test_channels_and_bits_are_those_of_the_file(tmp_path: Path) -> None:
    told = {}
    for name, image in {
        "grey": Pillow.fromarray(photo(1)[..., 0]),
        "palette": Pillow.fromarray(photo(1)).quantize(16),
        "alpha": Pillow.fromarray(np.dstack([photo(1), photo(2)[..., 0]])),
    }.items():
        image.save(tmp_path / f"{name}.png")
        told[name] = read_thumbnail(str(tmp_path / f"{name}.png")).mode
    imaging.write(tmp_path / "deep.png", photo(1).astype(np.uint16) * 257)
    told["deep"] = read_thumbnail(str(tmp_path / "deep.png")).mode
    assert told == {
        "grey": "grey, 8 bits",
        "palette": "palette, 8 bits",
        "alpha": "RGB and alpha, 8 bits",
        "deep": "RGB, 16 bits",
    }


def test_a_torn_jpeg_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "torn.jpg"
    imaging.write(path, photo(1, 900, 600))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CalcoError, match="damaged or cut short"):
        read_thumbnail(str(path))
