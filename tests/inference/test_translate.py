"""Translating: sizes, types, names and EXIF kept; deterministic; going on; and every bad input."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file, save_file

import calco
from calco import CalcoError, imaging
from calco.cli import main
from calco.data.config import JitterConfig
from calco.data.recipes import EraseConfig, RecipeConfig, build_recipe
from calco.data.recipes.colorize import lightness_grey
from calco.data.sample import Sample
from calco.data.sample import generator as calco_generator
from calco.errors import DiskError
from calco.files import digest
from calco.inference.folder import ModelInfo, save_model
from calco.inference.images import translate_images
from calco.inference.translator import Translator, load
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.training.pairs import choose_composition
from support import small_disk

INFO = ModelInfo(
    generator=GeneratorConfig(depth=3, filters=4, composition="plain", dropout_everywhere=True),
    recipe=RecipeConfig(recipe="aligned"),
    jitter=JitterConfig(size=32, resize=36, fit="cover"),
    in_channels=3,
    out_channels=3,
)


def network(info: ModelInfo = INFO):
    torch.manual_seed(0)
    made = build_generator(info.generator, info.in_channels, info.out_channels)
    for p in made.parameters():
        p.data.mul_(4)  # far from grey, so that differences show
    return made


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    save_model(folder, INFO, network().state_dict(), np.zeros((32, 32, 3), np.uint8))
    return folder


def make_image(height=40, width=50, channels=3, dtype=np.uint8, seed=0):
    values = np.random.default_rng(seed).random((height, width, channels))
    return values.astype(dtype) if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (32, 32), (37, 61)])
@pytest.mark.parametrize("native", [False, True])
def test_any_size_and_type_in_the_same_out(model, dtype, size, native):
    out = load(model)(make_image(*size, dtype=dtype), native=native)
    assert out.shape == (*size, 3)
    assert out.dtype == dtype


@pytest.mark.parametrize("size", [(1, 1), (40, 1), (1, 40), (5000, 1), (1, 5000), (2, 3)])
def test_narrow_images_are_translated_with_the_right_values(model, size):
    """What the network gives is brought to the image's size: compared with the same in float64."""
    translator, image = load(model, device="cpu"), make_image(*size)
    with torch.inference_mode():
        output = translator.maps(translator._prepared(image, None, False)[1]).double().contiguous()
        exact = torch.nn.functional.interpolate(output, size, mode="bicubic", antialias=True).clamp(-1, 1)[0]
    made = translator(image).astype(int)
    assert made.shape == (*size, 3)
    assert np.abs(made - imaging.to_image(exact).astype(int)).max() <= 1


def test_grey_images_are_taken_too(model):
    assert load(model)(make_image(channels=1)).shape == (40, 50, 3)
    assert load(model)(make_image(channels=1)[..., 0]).shape == (40, 50, 3)


def test_the_same_image_gives_the_same_result_and_a_seed_gives_variety(model):
    translator = load(model)
    one = translator(make_image())
    assert np.array_equal(one, translator(make_image()))
    assert np.array_equal(one, load(model)(make_image()))
    varied = translator(make_image(), noise_seed=1)
    assert not np.array_equal(one, varied)
    assert np.array_equal(varied, translator(make_image(), noise_seed=1))
    assert not np.array_equal(varied, translator(make_image(), noise_seed=2))
    assert np.array_equal(one, translator(make_image()))  # dropout is off again


@pytest.mark.parametrize(
    ("jitter", "seen"),
    [
        (JitterConfig(size=32, resize=36, fit="cover"), (36, 72)),
        (JitterConfig(size=32, resize=36, fit="stretch"), (32, 32)),
        (JitterConfig(size=32, resize=0, fit="cover"), (100, 200)),
    ],
)
def test_a_image_is_shown_at_the_scale_of_training(jitter, seen):
    translator = Translator(replace(INFO, jitter=jitter), network())
    shapes = []
    translator.backbone.register_forward_pre_hook(lambda _m, inputs: shapes.append(inputs[0].shape[2:]))
    translator(make_image(100, 200))
    multiple = translator.generator.multiple
    assert tuple(shapes[0]) == tuple(-(-side // multiple) * multiple for side in seen)


def test_luminance_composition_keeps_the_detail_of_a_image_larger_than_the_training():
    info = replace(INFO, in_channels=1, generator=replace(INFO.generator, composition="luminance"))
    made = network(info)
    for p in made.parameters():
        p.data.mul_(0.1)  # little colour, so that nothing leaves the range
    source = (make_image(300, 200, 1) // 2 + 64).astype(np.uint8)
    out = Translator(info, made)(source)
    assert np.abs(imaging.luminance(out).astype(int) - source.astype(int)).max() <= 1


def test_filled_composition_redraws_holes_alone_whatever_the_size():
    generator = replace(INFO.generator, composition="filled", hole=(255, 0, 255))
    info = replace(INFO, generator=generator, recipe=RecipeConfig(recipe="erase"))
    source = imaging.resize(make_image(6, 8), (300, 200))
    source[80:90, 100:200] = (255, 0, 255)
    out = Translator(info, network(info))(source)
    hole = np.zeros((200, 300), bool)
    hole[80:90, 100:200] = True
    assert np.array_equal(out[~hole], source[~hole])
    # Nothing of the colour that marked the hole is left, not even at its border.
    assert (np.abs(out[hole].astype(int) - (255, 0, 255)).max(axis=-1) > 40).all()


@pytest.mark.parametrize("size", [(32, 32), (150, 90)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lab_composition_keeps_the_lightness_of_a_image_of_any_size(size, dtype):
    info = replace(INFO, in_channels=1, generator=replace(INFO.generator, composition="lab"))
    made = network(info)
    for p in made.parameters():
        p.data.mul_(4)  # wild colours, many of them outside sRGB
    source = imaging.resize(make_image(6, 8, 1, dtype), size)
    out = Translator(info, made)(source)
    assert imaging.as_dtype(out, np.uint8).std(axis=2).mean() > 20
    assert np.abs(lightness_grey(out).astype(int) - source.astype(int)).max() <= 1


ERASING = {
    "colour": EraseConfig(fill="magenta"),
    "channel": EraseConfig(fill="mean", mask_channel=True),
    "noise": EraseConfig(fill="noise", mask_channel=True),
}


def retoucher(erase, recipe="erase", channels=3):
    config = RecipeConfig(recipe=recipe, erase=erase)
    dish = Sample(image=make_image(32, 32, channels), key="k", group="g")
    pair = build_recipe(config, "photographs")(dish, calco_generator(0, 0, "k"))
    in_channels, out_channels = pair.input.shape[2], pair.target.shape[2]
    composed = choose_composition(replace(INFO.generator, composition="auto"), config, in_channels, out_channels)
    info = replace(INFO, recipe=config, generator=composed, in_channels=in_channels, out_channels=out_channels)
    return Translator(info, network(info)), pair


@pytest.mark.parametrize("erase", ERASING.values(), ids=ERASING)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_or_transparency_says_what_is_redrawn(erase, dtype):
    translator, _ = retoucher(erase)
    source = imaging.resize(make_image(6, 8, dtype=dtype), (70, 50))
    mask = np.zeros((50, 70), bool)
    mask[10:20, 30:55] = True
    out = translator(source, mask=mask)
    assert out.dtype == dtype
    assert np.array_equal(out[~mask], source[~mask])
    assert (out[mask] != source[mask]).any(axis=1).mean() > 0.9
    peak = np.iinfo(dtype).max
    transparent = np.concatenate([source, np.where(mask, 0, peak).astype(dtype)[..., None]], axis=2)
    assert np.array_equal(translator(transparent), out)
    assert np.array_equal(translator(source, mask=(mask * 255).astype(np.uint8)[..., None]), out)


@pytest.mark.parametrize("erase", ERASING.values(), ids=ERASING)
def test_what_the_recipe_erased_is_redrawn_without_being_told_again(erase):
    translator, pair = retoucher(erase)
    out = translator(pair.input)
    assert np.array_equal(out[~pair.region], pair.target[~pair.region])


@pytest.mark.parametrize("erase", ERASING.values(), ids=ERASING)
def test_colour_and_holes_together_keep_the_known_luminance(erase):
    translator, _ = retoucher(erase, "colorize+erase")
    for p in translator.generator.parameters():
        p.data.mul_(0.1)  # little colour, so that nothing leaves the range
    source = (imaging.resize(make_image(6, 8), (70, 50)) // 2 + 64).astype(np.uint8)
    mask = np.zeros((50, 70), bool)
    mask[10:20, 30:55] = True
    out = translator(source, mask=mask)
    assert out.shape == (50, 70, 3)
    off = np.abs(imaging.luminance(out).astype(int) - imaging.luminance(source))[..., 0]
    assert off[~mask].max() <= 1


def test_masks_that_do_not_serve_are_refused(model):
    translator, _ = retoucher(ERASING["channel"])
    with pytest.raises(CalcoError, match="--masks FOLDER"):
        translator(make_image())
    with pytest.raises(CalcoError, match=r"the mask has 5x4 pixels and the image 50x40"):
        translator(make_image(), mask=np.zeros((4, 5), bool))
    with pytest.raises(CalcoError, match="learned aligned, not erase"):
        load(model)(make_image(), mask=np.zeros((40, 50), bool))


def test_masks_of_the_same_names_beside_the_images(tmp_path):
    translator, _ = retoucher(ERASING["channel"])
    for number, name in enumerate(("a.png", "deep er/ñandú.png", "alone.png")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        imaging.write(tmp_path / "in" / name, make_image(seed=number))
        mask = np.zeros((40, 50, 1), np.uint8)
        mask[5:9, 10 * number : 10 * number + 8] = 255
        if name != "alone.png":
            imaging.write((tmp_path / "masks" / name).with_suffix(".bmp"), mask)
    done = translate_images(translator, tmp_path / "in", tmp_path / "out", masks=tmp_path / "masks")
    assert done.written == 2
    assert "there is no mask for alone.png" in done.left_out["alone.png"]
    kept = np.ones((40, 50), bool)
    kept[5:9, 10:18] = False
    out = imaging.read(tmp_path / "out" / "deep er" / "ñandú.png")
    assert np.array_equal(out[kept], make_image(seed=1)[kept])
    assert not np.array_equal(out[~kept], make_image(seed=1)[~kept])
    one = translate_images(translator, tmp_path / "in/a.png", tmp_path / "one", masks=tmp_path / "masks" / "a.bmp")
    assert one.written == 1
    with pytest.raises(CalcoError, match="is one mask"):
        translate_images(translator, tmp_path / "in", tmp_path / "no", masks=tmp_path / "masks" / "a.bmp")


def test_large_native_images_are_tiled_without_a_seam(monkeypatch, model):
    from calco.inference import network

    flat = np.full((300, 300, 3), 128, np.uint8)
    translator = load(model)
    whole = translator(flat, native=True)
    monkeypatch.setattr(network, "TILE", 128)
    monkeypatch.setattr(network, "OVERLAP", 64)
    pieces = translator(flat, native=True)
    steps = np.abs(np.diff(pieces[40:-40, 40:-40].astype(int), axis=1)).max()
    assert steps <= np.abs(np.diff(whole[40:-40, 40:-40].astype(int), axis=1)).max() + 2


def test_a_folder_keeps_names_formats_subfolders_and_exif(model, tmp_path):
    source = tmp_path / "in"
    (source / "deep er").mkdir(parents=True)
    imaging.write(source / "a.png", make_image())
    imaging.write(source / "deep er" / "ñandú.PNG", make_image(20, 30))
    exif = Pillow.Exif()
    exif[0x010F] = "Kamera"
    exif[0x0112] = 6  # stored lying on its side
    Pillow.fromarray(make_image(20, 30)).save(source / "b.jpg", exif=exif)
    done = translate_images(model, source, tmp_path / "out")
    assert done.written == 3
    out = tmp_path / "out"
    assert {p.relative_to(out).as_posix() for p in imaging.list_images(out)} == {"a.png", "b.jpg", "deep er/ñandú.PNG"}
    with Pillow.open(out / "b.jpg") as made:
        assert made.format == "JPEG"
        assert made.size == (20, 30)  # upright
        assert made.getexif()[0x010F] == "Kamera"
        assert made.getexif().get(0x0112, 1) == 1
    assert np.array_equal(imaging.read(out / "a.png"), load(model)(make_image()))


def test_sixteen_bits_stay_sixteen(model, tmp_path):
    imaging.write(tmp_path / "deep.tif", make_image(dtype=np.uint16))
    translate_images(model, tmp_path / "deep.tif", tmp_path / "out.tif")
    assert imaging.read(tmp_path / "out.tif").dtype == np.uint16


def test_it_goes_on_where_it_stopped(model, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(4):
        imaging.write(source / f"{number}.png", make_image(seed=number))
    assert translate_images(model, source, out).written == 4
    before = (out / "1.png").stat().st_mtime_ns
    (out / "2.png").unlink()
    done = translate_images(model, source, out)
    assert (done.written, done.kept) == (1, 3)
    assert (out / "1.png").stat().st_mtime_ns == before
    assert translate_images(model, source, out, overwrite=True).written == 4


def test_two_models_are_not_mixed_in_one_folder(model, tmp_path):
    imaging.write(tmp_path / "a.png", make_image())
    translate_images(model, tmp_path / "a.png", tmp_path / "out")
    with pytest.raises(CalcoError, match="other options made; choose another --out, or --overwrite"):
        translate_images(model, tmp_path / "a.png", tmp_path / "out", noise_seed=1)


def test_one_damaged_image_is_noted_and_the_others_are_translated(model, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    imaging.write(source / "good.png", make_image())
    (source / "bad.jpg").write_text("no image")
    done = translate_images(model, source, out)
    assert done.written == 1
    assert "bad.jpg" in done.left_out
    assert "bad.jpg" in json.loads((out / "translation.json").read_text())["left_out"]
    (source / "good.png").write_bytes(b"")
    with pytest.raises(CalcoError, match="none of the 2 images could be translated"):
        translate_images(model, source, tmp_path / "other")


def test_the_input_is_never_overwritten(model, tmp_path):
    imaging.write(tmp_path / "a.png", make_image())
    with pytest.raises(CalcoError, match="would replace"):
        translate_images(model, tmp_path / "a.png", tmp_path / "a.png")
    with pytest.raises(CalcoError, match="would replace"):
        translate_images(model, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "model.json").unlink(), "holds no model.json"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "is damaged"),
        (lambda folder: (folder / "model.json").write_text("{"), "is not valid JSON"),
        (lambda folder: edit(folder, format=99), "format 99, and this Calco reads 2; update Calco"),
        (lambda folder: edit(folder, colour="red"), "unknown field colour"),
        (lambda folder: edit(folder, in_channels=1), "does not fit its model.json"),
        (lambda folder: reweigh(folder, float("nan")), "is damaged .some weights are no finite numbers"),
        (lambda folder: reweigh(folder, float("inf")), "is damaged .some weights are no finite numbers"),
    ],
)
def test_spoiled_models_are_refused_in_one_line(model, spoil, message):
    spoil(model)
    with pytest.raises(CalcoError, match=message) as refused:
        load(model)
    assert "\n" not in str(refused.value)


def test_weights_whose_sum_is_no_finite_number_are_read(model):
    reweigh(model, 3e38, 3e38)
    load(model)


def reweigh(folder, *values):
    weights = load_file(folder / "model.safetensors")
    widest = max(weights, key=lambda name: weights[name].numel())
    weights[widest].view(-1)[: len(values)] = torch.tensor(values)
    save_file(weights, folder / "model.safetensors")
    edit(folder, weights_digest=digest(folder / "model.safetensors"))


def edit(folder, **changes):
    record = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(record | changes))


def test_what_is_no_model_or_image_is_said(model, tmp_path):
    with pytest.raises(CalcoError, match="there is no"):
        load(tmp_path / "nowhere")
    with pytest.raises(CalcoError, match="there is no"):
        translate_images(model, tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CalcoError, match="holds no image"):
        translate_images(model, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(CalcoError, match="7 channels cannot become one of 3"):
        load(model)(np.zeros((4, 4, 7), np.uint8))
    with pytest.raises(CalcoError, match="4 x 4 x 0; it must be height x width x channels, each at least 1"):
        load(model)(np.zeros((4, 4, 0), np.uint8))


def test_the_model_folder_travels_through_the_public_names(model):
    assert isinstance(calco.load(model), calco.Translator)


def test_the_command_answers_bad_input_with_one_line_and_exit_code_2(model, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["translate", str(model), str(tmp_path / "no"), "--out", str(tmp_path / "o")])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert str(tmp_path / "no") in line


@pytest.mark.parametrize("format", ["folder", "webdataset"])
def test_a_full_disk_ends_the_call_early_and_the_same_call_goes_on(model, tmp_path, monkeypatch, format):
    """The disk takes two results; nothing is translated in vain after the third, but for what is under work."""
    source = tmp_path / "in"
    source.mkdir()
    for number in range(20):
        imaging.write(source / f"{number:02d}.png", make_image(seed=number))
    given, old = list[str](), Translator.__call__
    monkeypatch.setattr(Translator, "__call__", lambda self, *a, **k: (given.append(""), old(self, *a, **k))[1])
    with small_disk(tmp_path / "disk", 64) as disk:
        with pytest.raises(DiskError, match=r"cannot write \S+: No space left on device; .* of 20 images are"):
            translate_images(model, source, disk / "out", shard_images=5, format=format)
        there = len(list((disk / "out").glob("*.png")))
        assert len(given) < 20
        assert not list((disk / "out").rglob(".*.tmp.*"))
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        done = translate_images(model, source, disk / "out", shard_images=5, format=format)
        assert done.written + done.kept == 20
        assert done.kept >= there


def test_one_image_that_needs_too_much_memory_is_left_out(model, tmp_path, monkeypatch):
    """With the error of torch's own allocator."""
    source = tmp_path / "in"
    source.mkdir()
    imaging.write(source / "a.png", make_image())
    imaging.write(source / "b.png", make_image(60, 60))
    old = Translator.maps

    def maps(self, seen):
        return torch.empty(1 << 50) if seen.shape[2] == seen.shape[3] else old(self, seen)

    monkeypatch.setattr(Translator, "maps", maps)
    done = translate_images(load(model, device="cpu"), source, tmp_path / "out", native=True)
    assert done.written == 1
    assert done.left_out["b.png"].startswith("there is not enough memory for another 4,503")
    assert "60x60 pixels" in done.left_out["b.png"]


LONG = {
    "chinese": "漢" * 83,
    "emoji": "😀" * 62,
    "latin": "a" * 251,
    "decomposed": "e\u0301" * 83,
    "mixed": "ñ漢a" * 41,
}


@pytest.mark.parametrize("stem", LONG)
def test_names_of_255_bytes_in_any_script_are_kept(model, tmp_path, stem):
    """Two names that differ in their last character alone are cut alike for the time of writing, and do not meet."""
    source = tmp_path / "in"
    source.mkdir()
    names = sorted({f"{LONG[stem]}.png", f"{LONG[stem][:-1]}b.png"})
    for number, name in enumerate(names):
        imaging.write(source / name, make_image(seed=number))
    done = translate_images(model, source, tmp_path / "out")
    assert done.written == 2
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == names
    translator = load(model)
    for number, name in enumerate(names):
        assert np.array_equal(imaging.read(tmp_path / "out" / name), translator(make_image(seed=number)))


@pytest.mark.slow
def test_the_command_does_not_import_what_only_compilers_reports_and_videos_need(model, tmp_path):
    """torch._dynamo alone takes as long to import as torch: random numbers on the device "meta" would bring it."""
    imaging.write(tmp_path / "a.png", make_image())
    code = (
        "import sys\nfrom calco.cli import main\nmain(['translate', *sys.argv[1:]])\n"
        "heavy = ('torch._dynamo', 'torch._inductor', 'sympy', 'torchmetrics', 'transformers', 'pandas', 'scipy',\n"
        "    'av', 'jinja2', 'numpy.ma', 'PIL.PdfImagePlugin', 'calco.annotations.reading', 'calco.data.sources',\n"
        "    'calco.report', 'calco.video.reading', 'calco.video.pipeline')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    words = [sys.executable, "-c", code, str(model), str(tmp_path / "a.png"), "--out", str(tmp_path / "b.png")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
