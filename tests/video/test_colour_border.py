"""The matrix that players take where a video does not name one: BT.601 below 720 lines, BT.709 from 720 on."""

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from calco.video.frame_image import BT601, BT709, image_of, usual

Y, U, V = 120, 90, 200


def plain_rgb(red: float, blue: float) -> list[int]:
    """Limited-range Y'CbCr to R'G'B' by the definition of ITU-R BT.601 and BT.709, given the luma shares."""
    luma = (Y - 16) / 219
    cb, cr = (U - 128) / 224, (V - 128) / 224
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return [round(255 * min(1.0, max(0.0, value))) for value in (r, g, b)]


@pytest.mark.parametrize(
    ("height", "matrix", "shares"),
    [(576, BT601, (0.299, 0.114)), (718, BT601, (0.299, 0.114)), (719, BT601, (0.299, 0.114)),
     (720, BT709, (0.2126, 0.0722)), (1080, BT709, (0.2126, 0.0722))],
)  # fmt: skip
def test_an_untagged_frame_is_read_by_the_matrix_of_its_height(
    height: int, matrix: int, shares: tuple[float, float]
) -> None:
    planes = np.stack([np.full((height, 64), value, np.uint8) for value in (Y, U, V)])
    frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
    assert usual(height).matrix == matrix
    image = image_of(frame, VideoReformatter(), "the video")
    assert np.abs(image[height // 2, 32].astype(int) - plain_rgb(*shares)).max() <= 1
