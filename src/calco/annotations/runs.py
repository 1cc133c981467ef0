"""Masks as run lengths, in the two ways in which COCO writes them.

The pixels are counted column by column; the first run is background. The string packs each count, less the one
before the last, into characters of five bits (`rleToString` of the COCO API).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calco import imaging
from calco.annotations.geometry import Mask
from calco.errors import CalcoError

_MOST_CHARACTERS = 12  # of one count: more than any image needs, and less than overflows


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """A mask that is not yet unpacked.

    Attributes:
        counts: Lengths of the runs, `int64`, in turns background and thing; they add up to all pixels.
        height: Of the image, pixels.
        width: Of the image, pixels.
    """

    counts: npt.NDArray[np.int64]
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0 or (self.counts < 0).any():
            raise CalcoError("its run lengths are negative; export it again")
        if self.height * self.width > imaging.MAX_PIXELS:
            raise CalcoError(
                f"its mask of {self.width}x{self.height} is larger than any image that is read; export it again"
            )
        total = int(self.counts.sum(dtype=np.float64))
        if total != self.height * self.width:
            raise CalcoError(f"its run lengths cover {total} pixels of {self.width}x{self.height}; export it again")

    @classmethod
    def of_mask(cls, mask: Mask) -> "Runs":
        """HW => run lengths."""
        flat = mask.ravel(order="F")
        ends = np.concatenate([np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
        counts = np.diff(ends, prepend=0).astype(np.int64)
        return cls(np.concatenate([[0], counts]) if flat.size and flat[0] else counts, *mask.shape)

    @classmethod
    def of_string(cls, text: str, height: int, width: int) -> "Runs":
        """The packed string => run lengths.

        Raises:
            CalcoError: When it is none, or does not cover the image.
        """
        codes = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.int64) - 48
        ends = np.flatnonzero((codes & 32) == 0)
        starts = np.concatenate([[0], ends + 1])[: len(ends)]
        lengths = ends - starts + 1
        if not len(ends) or ends[-1] != len(codes) - 1 or ((codes < 0) | (codes > 63)).any():
            raise CalcoError("its run lengths are a damaged string; export it again")
        if lengths.max() > _MOST_CHARACTERS:
            raise CalcoError("its run lengths are too large; export it again")
        place = np.arange(len(codes)) - np.repeat(starts, lengths)
        counts = np.add.reduceat((codes & 31) << (5 * place), starts)
        counts -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
        # From the fourth on, each is the difference to the one before the last.
        counts[1::2], counts[2::2] = np.cumsum(counts[1::2]), np.cumsum(counts[2::2])
        return cls(counts, height, width)

    def string(self) -> str:
        """The packed string."""
        differences = self.counts.copy()
        differences[3:] -= self.counts[1:-2]
        text = []
        for number in differences.tolist():
            more = True
            while more:
                bits, number = number & 31, number >> 5
                more = number != (-1 if bits & 16 else 0)
                text.append(chr(48 + bits + 32 * more))
        return "".join(text)

    def mask(self) -> Mask:
        """HW `bool`."""
        thing = np.arange(len(self.counts)) % 2 == 1
        return np.ascontiguousarray(np.repeat(thing, self.counts).reshape(self.width, self.height).T)

    def extent(self) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom of the thing, found without unpacking; None when no pixel belongs to it."""
        ends = np.cumsum(self.counts)
        drawn = (np.arange(len(ends)) % 2 == 1) & (self.counts > 0)
        if not drawn.any():
            return None
        first, last = (ends - self.counts)[drawn], ends[drawn] - 1
        # A run that goes on in the next column touches top and bottom.
        beyond = first // self.height != last // self.height
        top = int(np.where(beyond, 0, first % self.height).min())
        bottom = int(np.where(beyond, self.height - 1, last % self.height).max())
        return int(first[0] // self.height), top, int(last[-1] // self.height) + 1, bottom + 1
