"""Everything that `calco detect slide` can be told."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import SourceConfig
from calco.errors import CalcoError
from calco.records import check_numbers
from calco.video.frames import is_video

Suppression = Literal["nms", "soft-linear", "soft-gaussian", "matrix"]
Features = Literal["auto", "imagenet", "hog"]


@dataclass(frozen=True, kw_only=True)
class SlideConfig:
    """Moves a window over an image, as a video; and has a classifier look through it."""

    image: Annotated[str, Positional, arg(metavar="IMAGE")] = ""
    """The image that is looked at."""

    out: str = ""
    """The video: a name that ends in .gif, .mp4 or as another video. The boxes go beside it, as JSON lines."""

    window: str = "128x128"
    """Width and height of the window, pixels of the image."""

    step: int = 32
    """Pixels from one window to the next, across and down."""

    scales: tuple[float, ...] = (1.0,)
    """Further rounds with larger or smaller windows: 1 1.5 2 adds windows one and a half times and twice as large, with
    steps that are as much larger. Which is the same as a pyramid of the image, made smaller each time."""

    rate: float = 20.0
    """Windows a second in the video."""

    video_windows: int = 400
    """Windows that the video shows at most; where there are more it shows every second or n-th. All are classified."""

    side: int = 640
    """The longer side of the image in the video, pixels."""

    hold: float = 4.0
    """Seconds for which the last image is shown, boxes before and after suppression."""

    classifier: str | None = None
    """What looks through the window: the folder of a classifier that --examples left, or imagenet:NUMBER for one of the
    thousand classes of ImageNet, from 0 (763 is a revolver, 764 a rifle)."""

    examples: str | None = None
    """Annotated images from which a classifier is learnt first, in seconds: their boxes (or the parts of their masks)
    against windows that hold none."""

    save: str = ""
    """The folder for a classifier that was learnt; by default beside the video."""

    features: Features = "auto"
    """What the classifier learns on: imagenet, the maps of a network that has seen ImageNet; hog, histograms of
    oriented gradients; auto takes imagenet where its weights are installed."""

    example_images: int = 300
    """Images that are learnt from, at most, and the same number again for its accuracy; 0 for all."""

    threshold: float = 0.9
    """The probability from which on a window is a hit."""

    suppression: Suppression = "nms"
    """How hits that overlap become boxes: the best alone (nms), lowered scores (soft-linear, soft-gaussian), all at
    once (matrix)."""

    iou: float = 0.3
    """The overlap with a better hit from which on a hit is dropped, or by soft-linear lowered."""

    batch: int = 32
    """Windows that the classifier sees at once."""

    seed: int = 0
    """From which the examples are drawn."""

    device: str = "auto"
    """cpu, cuda, or auto for the GPU where there is one."""

    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)

    def __post_init__(self) -> None:
        """Checks what would otherwise be found after the work."""
        check_numbers(self, batch=65_536)
        if not self.image or not self.out:
            raise CalcoError("name the image and the video: calco detect slide IMAGE --out window.gif")
        if not (self.is_gif or is_video(self.out)):
            raise CalcoError(f"--out {self.out} ends neither in .gif nor as a video does; try window.gif or window.mp4")
        if not re.fullmatch(r"\d{1,5}x\d{1,5}", self.window) or min(self.window_wh) < 8:
            raise CalcoError(f"window is {self.window!r}; give width and height of 8 pixels or more, such as 128x96")
        counts = {"step": self.step, "video_windows": self.video_windows, "batch": self.batch}
        for name, value in counts.items():
            if value < 1:
                raise CalcoError(f"{name} is {value}; it must be at least 1")
        self._check_ranges()
        if self.classifier and self.examples:
            raise CalcoError("--classifier brings a classifier and --examples learns one; give one of them")
        if self.save and not self.examples:
            raise CalcoError("--save keeps what is learnt from --examples; give both or neither")

    def _check_ranges(self) -> None:
        if not 64 <= self.side <= 4096:
            raise CalcoError(f"side is {self.side}; a video can be looked at with 64 to 4096 pixels")
        if not self.scales or not all(0.05 <= scale <= 50 for scale in self.scales):
            raise CalcoError(f"scales are {' '.join(f'{s:g}' for s in self.scales)}; give one or more from 0.05 to 50")
        if not 0.1 <= self.rate <= 50:
            raise CalcoError(f"rate is {self.rate:g}; a video shows from 0.1 to 50 windows a second")
        if not 0 <= self.hold <= 60 or self.example_images < 0:
            raise CalcoError(f"hold is {self.hold:g} and example images {self.example_images}; hold must be 0 to "
                             "60 seconds, images 0 (all) or more")  # fmt: skip
        if not 0 <= self.threshold <= 1 or not 0 <= self.iou <= 1:
            raise CalcoError(f"threshold is {self.threshold:g} and iou {self.iou:g}; both lie between 0 and 1")

    @property
    def window_wh(self) -> tuple[int, int]:
        """Width and height of the window, pixels."""
        width, _, height = self.window.partition("x")
        return int(width), int(height)

    @property
    def is_gif(self) -> bool:
        """Whether the video is a GIF."""
        return self.out.lower().endswith(".gif")

    @property
    def boxes_path(self) -> Path:
        """The file of the boxes."""
        return Path(self.out).with_suffix(".jsonl")

    @property
    def saved_path(self) -> Path:
        """The folder of the classifier that was learnt."""
        return (
            Path(self.save)
            if self.save
            else Path(self.out).with_suffix("").with_name(f"{Path(self.out).stem}-classifier")
        )
