"""What a detector is shown in training, on the page of the check: the same image in some epochs, with its boxes."""

from collections.abc import Sequence
from html import escape
from typing import Final

import cv2

from calco.annotations.detections import Detections
from calco.data.box_augmentation import augmented, letterbox
from calco.data.config import BoxAugmentConfig
from calco.data.sample import Sample, generator
from calco.data.source import Item, Source
from calco.errors import CalcoError
from calco.imaging import Image
from calco.report.html import img_tag

_IMAGES: Final = 6
_EPOCHS: Final = 5
_SIDE: Final = 320  # pixels of the squares that are drawn
_TRIED: Final = 200  # images that are looked at for some with objects in them
_COLOURS: Final = (
    (230, 75, 50), (0, 140, 220), (40, 170, 80), (240, 180, 0), (150, 90, 210), (0, 175, 175), (235, 110, 175),
    (140, 110, 60),
)  # fmt: skip


def play_section(source: Source, items: Sequence[Item], config: BoxAugmentConfig) -> str:
    """HTML: some images as they are and as some epochs of the training of a detector show them.

    Args:
        source: Of images with boxes; of any other kind nothing is shown.
        items: Those that can be read and are trained on.
        config: How much play.

    Returns:
        A section; empty where there are no boxes.
    """
    if source.kind != "annotations" or not items:
        return ""
    load = _Kept(source, items)
    order = generator(0, 0, "play").permutation(len(items))[:_TRIED]
    chosen = [int(place) for place in order if load.has_objects(int(place))][:_IMAGES]
    rows = "".join(filter(None, (_row(load, place, source.classes, config) for place in sorted(chosen))))
    if not rows:
        return ""
    lead = (
        f"The first of each row is the image as it is, the others are what {_EPOCHS} epochs of training make of it, "
        "with the seed 0. Options such as --augment.mosaic 0 are the same as in training and can be tried here."
    )
    return (
        f'<section id="play"><h2>As a detector in training sees them</h2><p class="lead">{escape(lead)}</p>'
        f'{_legend(source.classes)}<ul class="shown">{rows}</ul></section>'
    )


class _Kept:
    """Reads images by their place, each once; one that cannot be read gives way to the next."""

    def __init__(self, source: Source, items: Sequence[Item]) -> None:
        self.source, self.items = source, items
        self._kept: dict[int, Sample] = {}

    def __call__(self, place: int) -> Sample:
        if place not in self._kept:
            self._kept[place] = self.source.load(self.items[place])
        return self._kept[place]

    def has_objects(self, place: int) -> bool:
        """Whether an image can be read and has something in it; if not, it is not kept."""
        try:
            objects = self(place).detections
        except CalcoError:
            return False
        if objects is None or not len(objects):
            del self._kept[place]
            return False
        return True


def _row(load: _Kept, place: int, classes: Sequence[str], config: BoxAugmentConfig) -> str:
    """One image, and what some epochs make of it."""
    whole = load(place)
    square, scale, (left, top) = letterbox(whole.image, _SIDE)
    objects = whole.detections
    assert objects is not None
    shown = [("the image", square, objects.scaled(scale, scale).cropped(-left, -top, _SIDE, _SIDE))]
    for epoch in range(_EPOCHS):
        try:
            image, moved = augmented(load, place, len(load.items), _SIDE, config, seed=0, epoch=epoch, outlines=False)
        except CalcoError:
            continue  # an image of its mosaic cannot be read; the findings name it
        shown.append((f"epoch {epoch + 1}", image, moved))
    figures = "".join(
        f"<figure>{img_tag(_boxed(image, found, classes), f'{words}: {whole.key}')}"
        f"<figcaption>{escape(whole.key if words == 'the image' else words)}</figcaption></figure>"
        for words, image, found in shown
    )
    return f'<li><div class="row">{figures}</div></li>'


def _boxed(image: Image, objects: Detections, classes: Sequence[str]) -> Image:
    """The boxes drawn in the colours of their classes."""
    drawn = image.copy()
    for box, name in zip(objects.boxes, objects.classes, strict=True):
        left, top, right, bottom = (round(float(end)) for end in box)
        colour = _COLOURS[classes.index(name) % len(_COLOURS)] if name in classes else _COLOURS[0]
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), (255, 255, 255), 4)
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), colour, 2)
    return drawn


def _legend(classes: Sequence[str]) -> str:
    """The classes in their colours."""
    entries = "".join(
        f'<li><i style="background: rgb{_COLOURS[place % len(_COLOURS)]}"></i>{escape(name)}</li>'
        for place, name in enumerate(classes[:24])
    )
    more = f"<li>and {len(classes) - 24:,} more</li>" if len(classes) > 24 else ""
    return f'<ul class="classes">{entries}{more}</ul>'
