"""What chance draws: values from ranges, which are checked, and smooth fields."""

import numpy as np
import numpy.typing as npt


def cloud(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Smooth chance in [0, 1], HW, whose lumps are about `grain` pixels wide."""
    import cv2

    coarse = rng.random([max(2, round(extent / grain) + 1) for extent in shape], np.float32)
    return np.asarray(np.clip(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1), np.float32)
