"""What masks mean is decided once, from the values of all of them; whatever is not understood is refused."""

import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

import calco.cli
from calco import imaging
from calco.data.mask_encoding import MaskDecision, MaskSurvey, count_file, decode_mask, encoding_of, read_mask
from calco.data.mask_recognition import marks_of, recognise_masks
from calco.data.palettes import PALETTES, Palette, named_palette
from calco.data.recipe_config import EraseConfig
from calco.data.recipes import RecipeConfig, SegmentConfig, build_recipe
from calco.data.recipes.cutouts import Cutout, read_cutout
from calco.data.recipes.erase import given_region, stroke_masks
from calco.data.sample import generator
from calco.data.source import settled
from calco.data.sources import open_source
from calco.errors import CalcoError
from calco.imaging.reading import decode_labels

SIDE = 64
COLOURS = np.array([(0, 0, 0), (255, 0, 0), (0, 200, 0), (40, 60, 255)], np.uint8)


def numbers(seed: int, classes: int = 3) -> np.ndarray:
    """Class numbers HW: some shapes of each class."""
    rng = np.random.default_rng(seed)
    whole = np.zeros((SIDE, SIDE), np.uint8)
    for k in range(1, classes + 1):
        x, y = (int(v) for v in rng.integers(8, 48, 2))
        cv2.circle(whole, (x, y), 9, k, -1) if k % 2 else cv2.rectangle(whole, (x, y), (x + 12, y + 14), k, -1)
    return whole


MASKS = [numbers(n) for n in range(6)]
TWO = [(mask > 0).astype(np.uint8) for mask in MASKS]


def file(pixels: np.ndarray, ending: str = "PNG", palette: np.ndarray | None = None, **options: object) -> bytes:
    data = io.BytesIO()
    image = Pillow.fromarray(pixels) if palette is None else Pillow.fromarray(pixels, "P")
    if palette is not None:
        image.putpalette(palette.ravel().tolist())
    image.save(data, ending, **options)
    return data.getvalue()


def grey3(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., None], 3, axis=2)


def on_glass(colour: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return np.dstack([colour, seen.astype(np.uint8) * 255])


def surveyed(files: Sequence[bytes]) -> MaskSurvey:
    survey = MaskSurvey()
    for number, data in enumerate(files):
        survey.add(str(number), count_file(decode_labels(data, "mask")))
    return survey


def recognised(files: Sequence[bytes], palette: Palette | None = None, name: str = "") -> MaskDecision:
    return recognise_masks(surveyed(files), palette, name)


def adaptive(pixels: np.ndarray) -> bytes:
    """A palette file whose numbers a program gave out anew in each file."""
    rng = np.random.default_rng(int(pixels.sum()))
    order = rng.permutation(4)
    table = np.zeros((4, 3), np.uint8)
    table[order] = COLOURS
    return file(order[pixels].astype(np.uint8), palette=table)


VOC = np.zeros((256, 3), np.uint8)
VOC[:21] = [colour for _, colour in PALETTES["voc"]]
VOC[255] = (224, 224, 192)


@pytest.mark.parametrize(
    ("make", "classes"),
    [
        (lambda m: file(m), MASKS),
        (lambda m: file(grey3(m)), MASKS),
        (lambda m: file(m.astype(np.uint16)), MASKS),
        (lambda m: file(m.astype(np.uint16) * 1000), MASKS),
        (lambda m: file(m * 60), MASKS),
        (lambda m: file(m, palette=np.zeros((4, 3), np.uint8)), MASKS),
        (lambda m: file((m > 0).astype(np.uint8)), TWO),
        (lambda m: file(grey3((m > 0).astype(np.uint8))), TWO),
        (lambda m: file((m > 0) * np.uint8(255)), TWO),
        (lambda m: file((m > 0) * np.uint8(100)), TWO),
        (lambda m: file(grey3((m > 0) * np.uint8(100))), TWO),
        (lambda m: file(m > 0), TWO),
        (lambda m: file((m > 0) * np.uint8(15)), TWO),
        (lambda m: file((m > 0).astype(np.uint16) * 65535), TWO),
        (lambda m: file(COLOURS[(m > 0).astype(int)]), TWO),
        (lambda m: file(on_glass(np.full((SIDE, SIDE, 3), 255, np.uint8), m > 0)), TWO),
        (lambda m: file(on_glass(np.zeros((SIDE, SIDE, 3), np.uint8), m > 0)), TWO),
        (lambda m: file((m > 0).astype(np.uint8), palette=np.array([(255, 255, 255), (0, 0, 0)], np.uint8)),
         [1 - two for two in TWO]),
        (lambda m: file((m > 0) * np.uint8(255), "JPEG", quality=70), TWO),
    ],
)  # fmt: skip
def test_classes_are_recognised_from_all_masks(
    make: Callable[[np.ndarray], bytes], classes: Sequence[np.ndarray]
) -> None:
    files = [make(mask) for mask in MASKS]
    found = recognised(files)
    assert len(found.palette) == len(found.encoding.classes) == len(np.unique(classes))
    assert found.palette[0][0] == "background"
    for data, wanted in zip(files, classes, strict=True):
        indices, void = found.encoding.read(decode_mask(data, "mask"))
        assert void is None
        assert (indices == wanted).mean() > (0.97 if data[:2] == b"\xff\xd8" else 1 - 1e-9)
    assert encoding_of(str(found.encoding)) == found.encoding


@pytest.mark.parametrize(
    "make",
    [
        lambda m: file(COLOURS[m]),
        adaptive,
        lambda m: file(m, palette=COLOURS),
        lambda m: file(on_glass(COLOURS[m], m > 0)),
    ],
)
def test_colours_of_masks_stay_their_own(make: Callable[[np.ndarray], bytes]) -> None:
    files = [make(mask) for mask in MASKS]
    found = recognised(files)
    colours = np.array([colour for _, colour in found.palette], np.uint8)
    assert dict(found.palette)["background"] == (0, 0, 0) and dict(found.palette)["red"] == (255, 0, 0)
    for data, mask in zip(files, MASKS, strict=True):
        assert np.array_equal(colours[found.encoding.read(decode_mask(data, "mask"))[0]], COLOURS[mask])


def test_void_is_neither_a_class_nor_background() -> None:
    voc = [mask * 5 for mask in MASKS]
    for mask in voc:
        mask[:3] = 255
    for files, palette in [
        ([file(mask) for mask in voc], None),
        ([file(mask, palette=VOC) for mask in voc], None),
        ([file(VOC[mask]) for mask in voc], PALETTES["voc"]),
        ([file(mask) for mask in voc], PALETTES["voc"]),
        ([file(mask, palette=VOC) for mask in voc], PALETTES["voc"]),
    ]:
        found = recognised(files, palette, "voc")
        indices, void = found.encoding.read(decode_mask(files[0], "mask"))
        assert void is not None and np.array_equal(void, voc[0] == 255)
        names = [found.palette[index][0] for index in (indices[voc[0] == 15][0], indices[voc[0] == 0][0])]
        assert names[1] == "background" and names[0] in ("person", "class 15")
        assert len(found.palette) == (21 if palette else 4)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda m: np.random.default_rng(int(m.sum())).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8), "colours"),
        (lambda _m: np.tile(np.arange(SIDE, dtype=np.uint8) * 4, (SIDE, 1)), "grey levels"),
        (lambda m: cv2.GaussianBlur((m > 0) * np.uint8(255), (0, 0), 9), "grey levels"),
    ],
)
def test_what_is_no_mask_is_refused(make: Callable[[np.ndarray], np.ndarray], says: str) -> None:
    files = [file(make(mask)) for mask in MASKS]
    with pytest.raises(CalcoError, match=f"{says}, which are no classes.*--palette"):
        recognised(files)
    if says == "grey levels":
        found = recognised(files, PALETTES["binary"], "binary")
        first = decode_mask(files[0], "mask")
        assert np.array_equal(found.encoding.read(first)[0], first[..., 0] >= 128)


def test_class_numbers_in_a_lossy_file_are_refused() -> None:
    with pytest.raises(CalcoError, match=r"compressed as JPEG.*export them as PNG"):
        recognised([file(mask, "JPEG", quality=70) for mask in MASKS])


@pytest.mark.parametrize("make", [lambda m: m, lambda m: COLOURS[m], lambda m: m * np.uint8(50)])
def test_values_outside_a_named_palette_are_refused(make: Callable[[np.ndarray], np.ndarray]) -> None:
    with pytest.raises(CalcoError, match=r"do not fit the palette binary.*stand for no class"):
        recognised([file(make(mask)) for mask in MASKS], PALETTES["binary"], "binary")


def test_one_mask_outside_the_palette_costs_itself_alone() -> None:
    files = [file(two * np.uint8(255)) for two in TWO] + [file(MASKS[0])]
    found = recognised(files, PALETTES["binary"], "binary")
    assert np.array_equal(found.encoding.read(decode_mask(files[0], "mask"))[0], TWO[0])
    with pytest.raises(CalcoError, match=r"values that stand for no class \([123]"):
        found.encoding.read(decode_mask(files[-1], "mask"))


def test_numbers_under_a_palette_with_black_elsewhere_stay_numbers() -> None:
    found = recognised([file(mask) for mask in MASKS], PALETTES["cityscapes"], "cityscapes")
    assert np.array_equal(found.encoding.read(MASKS[0][..., None])[0], MASKS[0])


def test_smoothed_edges_make_no_class() -> None:
    files = [file(cv2.GaussianBlur(two * np.uint8(255), (3, 3), 0.6)) for two in TWO]
    found = recognised(files)
    assert len(found.palette) == 2
    mask = decode_mask(files[0], "mask")
    assert np.array_equal(found.encoding.read(mask)[0], mask[..., 0] >= 128)


def test_zero_and_one_beside_zero_and_255() -> None:
    files = [file(two * np.uint8(255 if n % 2 else 1)) for n, two in enumerate(TWO)]
    found = recognised(files)
    assert len(found.palette) == 2
    assert all(
        np.array_equal(found.encoding.read(decode_mask(f, ""))[0], two) for f, two in zip(files, TWO, strict=True)
    )


def test_everything_but_the_background_marks() -> None:
    found = marks_of(surveyed([file(COLOURS[mask]) for mask in MASKS]))
    assert np.array_equal(found.encoding.read(COLOURS[MASKS[0]])[0], TWO[0])


@pytest.mark.parametrize("text", ["number 1", "numbers 0 1", "level 0 #zz", "number 0 1; void", "colour 0 999999"])
def test_an_encoding_that_is_none(text: str) -> None:
    with pytest.raises(CalcoError, match=r"mask encoding .* is unknown; give auto"):
        RecipeConfig(mask_encoding=text)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Callable[[np.ndarray], bytes]], Path]:
    """Writes images and masks under a folder of their own, and names it."""

    def make(encode: Callable[[np.ndarray], bytes]) -> Path:
        for number, mask in enumerate(MASKS):
            for name in ("images", "masks"):
                (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            photo = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
            imaging.write(tmp_path / f"set/images/{number}.png", photo)
            (tmp_path / f"set/masks/{number}.png").write_bytes(encode(mask))
        return tmp_path / "set"

    return make


Folder = Callable[[Callable[[np.ndarray], bytes]], Path]


def test_the_decision_is_part_of_the_recipe(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "calco")
    source, config = settled(open_source(folder(file)), RecipeConfig())
    assert "masks: 4 classes by number, 0 to 3" in caplog.text
    assert config.mask_encoding == "number 0 1 2 3"
    assert [name for name, _ in named_palette(config.segment.palette)] == [
        "background",
        "class 1",
        "class 2",
        "class 3",
    ]
    pair = build_recipe(config, source.kind)(source.load(source.items[1]), generator(0, 0, "k"))
    colours = np.array([colour for _, colour in named_palette(config.segment.palette)], np.uint8)
    assert np.array_equal(pair.target, colours[MASKS[1]])
    # A model's recipe goes on to mean the same, though these masks alone would show fewer classes.
    imaging.write(Path(source.root) / "masks/0.png", np.minimum(MASKS[0], 1)[..., None])
    again, kept = settled(open_source(source.root), config, source.items[:1], resolved=True)
    assert kept == config and again.masks is not None and again.masks.survey.files.keys() == {"0"}


def test_a_model_of_two_classes_reads_masks_of_other_values(folder: Folder) -> None:
    source, config = settled(open_source(folder(lambda m: file((m > 0).astype(np.uint8)))), RecipeConfig())
    assert config.mask_encoding == "number 0 1"
    for number, two in enumerate(TWO):
        imaging.write(Path(source.root) / f"masks/{number}.png", two[..., None] * np.uint8(255))
    again, other = settled(open_source(source.root), config, resolved=True)
    assert other.mask_encoding == "colour #000000 #ffffff"
    pair = build_recipe(other, again.kind)(again.load(again.items[2]), generator(0, 0, "k"))
    assert np.array_equal(pair.target[..., 0], TWO[2] * 255)


def test_void_pixels_have_no_weight(folder: Folder) -> None:
    def voided(mask: np.ndarray) -> bytes:
        return file(np.where(np.arange(SIDE)[:, None] < 4, 255, mask).astype(np.uint8))

    source, config = settled(open_source(folder(voided)), RecipeConfig())
    pair = build_recipe(config, source.kind)(source.load(source.items[0]), generator(0, 0, "k"))
    assert pair.weight is not None
    assert not pair.weight[:4].any() and (pair.weight[4:] == 1).all()


def test_photographs_on_their_side_turn_their_masks(tmp_path: Path) -> None:
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[5:20, 30:50] = (200, 180, 160)
    for orientation, turned in ((6, np.rot90(upright)), (8, np.rot90(upright, -1))):
        exif = Pillow.Exif()
        exif[0x0112] = orientation
        for name in ("images", "masks"):
            (tmp_path / str(orientation) / name).mkdir(parents=True)
        for number in range(3):
            noisy = np.clip(turned + np.random.default_rng(number).normal(0, 20, turned.shape), 0, 255)
            Pillow.fromarray(noisy.astype(np.uint8)).save(
                tmp_path / f"{orientation}/images/{number}.jpg", exif=exif, quality=100
            )
            imaging.write(tmp_path / f"{orientation}/masks/{number}.png", (turned[..., :1] > 100) * np.uint8(255))
        source = open_source(tmp_path / str(orientation))
        assert source.kind == "masks"
        image = source.load(source.items[0])
        assert image.mask is not None
        assert np.array_equal(image.mask[..., 0] > 0, upright[..., 0] > 100)


def test_transparent_entries_of_a_palette_file(tmp_path: Path) -> None:
    image = Pillow.fromarray(TWO[0], "P")
    image.putpalette([255, 255, 255, 255, 255, 254])
    image.save(tmp_path / "mask.png", transparency=0)
    assert read_mask(tmp_path / "mask.png").shape == (SIDE, SIDE, 4)
    found = recognised([(tmp_path / "mask.png").read_bytes()])
    assert np.array_equal(found.encoding.read(read_mask(tmp_path / "mask.png"))[0], TWO[0])


def test_masks_are_not_colour_managed(tmp_path: Path) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Pillow.fromarray(COLOURS[MASKS[0]]).save(tmp_path / "mask.png", icc_profile=icc)
    assert np.array_equal(read_mask(tmp_path / "mask.png"), COLOURS[MASKS[0]])


def test_training_refuses_masks_that_it_does_not_understand(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    where = folder(
        lambda m: file(np.random.default_rng(int(m.sum())).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8))
    )
    with pytest.raises(SystemExit) as end:
        calco.cli.main(["train", str(where), "--source", "masks", "--dry-run"])
    assert end.value.code == 2
    assert "name the classes with --palette FILE" in capsys.readouterr().err


def test_the_values_can_be_named(folder: Folder) -> None:
    config = RecipeConfig(recipe="segment", mask_encoding="number 0 1+2 3")
    source, config = settled(open_source(folder(file)), config)
    pair = build_recipe(config, source.kind)(source.load(source.items[0]), generator(0, 0, "k"))
    assert len(np.unique(pair.target.reshape(-1, 3), axis=0)) == 3
    two = SegmentConfig(palette="binary")
    with pytest.raises(CalcoError, match=r"3 classes and the palette binary 2"):
        settled(open_source(source.root), RecipeConfig(recipe="segment", segment=two, mask_encoding="number 0 1 2"))


def test_a_set_of_noise_takes_little_memory() -> None:
    survey = MaskSurvey()
    for number in range(20):
        noise = np.random.default_rng(number).integers(0, 255, (80, 80, 3)).astype(np.uint8)
        survey.add(str(number), count_file(decode_labels(file(noise), "noise")))
    assert len(survey.total) <= 20 * 512
    assert all(values is None for values in survey.files.values())


STROKE = np.zeros((40, 40), np.bool_)
STROKE[10:14, 5:35] = True


@pytest.mark.parametrize(
    "drawn",
    [
        np.where(STROKE, 0, 255).astype(np.uint8),
        np.where(STROKE, 0, 1).astype(np.uint8),
        np.where(STROKE, 40, 90).astype(np.uint8),
        grey3(np.where(STROKE, 0, 255).astype(np.uint8)),
        on_glass(np.zeros((40, 40, 3), np.uint8), STROKE),
        on_glass(np.full((40, 40, 3), 255, np.uint8), STROKE),
        on_glass(np.full((40, 40, 3), (255, 200, 0), np.uint8), STROKE),
        np.where(STROKE[..., None], (200, 0, 0), (255, 255, 255)).astype(np.uint8),
    ],
)
def test_strokes_of_all_kinds_erase_the_same(tmp_path: Path, drawn: np.ndarray) -> None:
    for n in range(2):
        (tmp_path / f"{n}.png").write_bytes(file(drawn))
    for stroke in stroke_masks(str(tmp_path)):
        assert stroke.shape == (4, 30) and stroke.all()


def test_strokes_that_erase_nothing_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.png").write_bytes(file(np.where(STROKE, 0, 255).astype(np.uint8)))
    (tmp_path / "b.png").write_bytes(file(np.full((40, 40), 255, np.uint8)))
    assert len(stroke_masks(str(tmp_path))) == 1
    assert "1 of 2 strokes" in caplog.text and "b.png: nothing is marked" in caplog.text
    (tmp_path / "white").mkdir()
    (tmp_path / "white/a.png").write_bytes(file(np.where(STROKE, 255, 0).astype(np.uint8)))
    stroke_masks(str(tmp_path / "white"))
    assert "erase 92% of their pixels: black erases" in caplog.text


@pytest.mark.parametrize(
    "drawn",
    [
        np.where(STROKE, 255, 0).astype(np.uint8),
        np.where(STROKE, 1, 0).astype(np.uint8),
        on_glass(np.full((40, 40, 3), 255, np.uint8), STROKE),
        on_glass(np.zeros((40, 40, 3), np.uint8), STROKE),
        np.where(STROKE[..., None], (255, 0, 0), (0, 0, 0)).astype(np.uint8),
    ],
)
def test_masks_of_cut_outs(tmp_path: Path, drawn: np.ndarray) -> None:
    (tmp_path / "mask.png").write_bytes(file(drawn))
    imaging.write(tmp_path / "dog.png", np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8))
    _, alpha = read_cutout(Cutout("dog", "dog", str(tmp_path / "dog.png"), str(tmp_path / "mask.png"), (id(drawn),)))
    assert alpha.shape == (4, 30) and (alpha == 255).all()


@pytest.mark.parametrize("erases", ["white", "black"])
def test_what_is_opaque_is_erased_whatever_white_or_black_means(erases: str) -> None:
    config = EraseConfig(holes="given", mask_erases=erases)
    assert np.array_equal(given_region(on_glass(np.zeros((40, 40, 3), np.uint8), STROKE), config), STROKE)
    level = np.where((erases == "white") == STROKE, 100, 0).astype(np.uint8)
    assert np.array_equal(given_region(level[..., None], config), STROKE)
