"""Models as one file: the same images as the model's, in every kind of file; and every file that cannot be used."""

import functools
import http.server
import io
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import calco
from calco import CalcoError
from calco.cli import main
from calco.data.config import JitterConfig
from calco.data.recipe_config import ColorizeConfig
from calco.data.recipes import EraseConfig, RecipeConfig
from calco.export import ExportConfig
from calco.export.export import export_model
from calco.export.parts import image_channels, torch_parts
from calco.inference.folder import ModelInfo, save_model
from calco.inference.graphs import portable
from calco.inference.translator import describe, load, load_info
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig
from calco.networks.efficientnet_lite import SameConv
from calco.networks.efficientnet_unet import Spade
from support import ROOT, requires, small_disk


def requires_libraries(found: object, what: str) -> None:
    requires(found, what, "pip install -e '.[dev]'")


def info_of(recipe: RecipeConfig, channels: int = 3, **generator: object) -> ModelInfo:
    settings = {"depth": 3, "filters": 8, "composition": "plain", **generator}
    return ModelInfo(
        generator=GeneratorConfig(**settings),
        recipe=recipe,
        jitter=JitterConfig(size=32, resize=36, fit="cover"),
        in_channels=channels,
        out_channels=3,
        scores={"psnr": 20.5},
    )


ALIGNED = RecipeConfig(recipe="aligned")
LAB = RecipeConfig(recipe="colorize", colorize=ColorizeConfig(space="lab"))
HOLES = info_of(RecipeConfig(recipe="erase"), composition="filled", up="resize", depth=2)
KINDS = {
    "plain": info_of(ALIGNED),
    "tensorflow": info_of(ALIGNED, convention="tensorflow"),
    "instance": info_of(ALIGNED, norm="instance", up="resize"),
    "resnet": info_of(ALIGNED, architecture="resnet", blocks=2),
    "drunet": info_of(ALIGNED, architecture="drunet", blocks=1, depth=2, mirrored=True),
    "residual": info_of(ALIGNED, 1, composition="residual"),
    "luminance": info_of(RecipeConfig(recipe="colorize"), 1, composition="luminance"),
    "lab": info_of(LAB, 1, composition="lab"),
    "filled": HOLES,
    "transparent": info_of(
        RecipeConfig(recipe="erase", erase=EraseConfig(mask_channel=True)), 4, composition="filled", hole_channel=True
    ),
    "both": info_of(RecipeConfig(recipe="colorize+erase"), composition="luminance", hole=(255, 0, 255)),
    "classes": info_of(RecipeConfig(recipe="segment")),
}


def saved(info: ModelInfo, folder: Path) -> Path:
    torch.manual_seed(0)
    network = build_generator(info.generator, info.in_channels, info.out_channels)
    for parameter in network.parameters():
        parameter.data.mul_(3)  # far from grey, so that differences show
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.05)
    save_model(folder, info, network.state_dict(), np.full((32, 32, 3), 90, np.uint8))
    return folder


def photographs(folder: Path) -> Path:
    """Pieces of real photographs; grey ones too."""
    data = pytest.importorskip("skimage.data")
    folder.mkdir()
    for number, photo in enumerate((data.astronaut(), data.coffee(), data.cat())):
        Pillow.fromarray(photo).resize((75 + 8 * number, 50)).save(folder / f"{number}.png")
    return folder


def with_hole(image: np.ndarray, info: ModelInfo) -> np.ndarray:
    """As the model takes it: a hole in magenta, or transparent."""
    image = image.copy()
    height, width = image.shape[:2]
    area = (slice(height // 4, height // 2 + 1), slice(width // 3, width // 3 * 2 + 1))
    if image_channels(info) == 4:
        alpha = np.full((height, width, 1), 255, np.uint8)
        alpha[area] = 0
        return np.concatenate([image, alpha], 2)
    if "erase" in info.recipe.recipe:
        image[area] = (255, 0, 255)
    return image


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    photographs(folder / "photos")
    return folder


@pytest.fixture(scope="module")
def onnx(room: Path) -> Path:
    """A model of holes, whose graph has a loop, as ONNX."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    return export_model(
        ExportConfig(model=saved(HOLES, room / "holes"), to="onnx", out=room / "holes.onnx", images=room / "photos")
    ).path


@pytest.fixture(scope="module")
def colours(room: Path) -> Path:
    """A model that colours, as ONNX."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    model = saved(KINDS["lab"], room / "lab")
    return export_model(
        ExportConfig(model=model, to="onnx", out=room / "lab.onnx", images=room / "photos", licence="CC0")
    ).path


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_graph_draw_what_the_model_draws(kind: str, room: Path, tmp_path: Path) -> None:
    info = KINDS[kind]
    model = load(saved(info, tmp_path / "model"))
    before, network, after, _ = torch_parts(model)

    def file(shown: np.ndarray) -> np.ndarray:
        """The three parts of the graph, one after the other, before anything writes them down."""
        with torch.inference_mode():
            prepared, seen = before(torch.from_numpy(np.ascontiguousarray(shown)))
            return np.asarray(after(prepared, network(seen)))

    photo = np.asarray(Pillow.open(room / "photos" / "0.png"))
    for cut in (photo, photo[:9, :13], photo[:1, :7]):
        shown = with_hole(cut, info)
        if kind != "resnet" or min(cut.shape[:2]) > 4:  # its borders are mirrored: it wants more than a pixel
            whole = file(np.stack([shown, shown[::-1]]))
            assert np.abs(whole[0].astype(int) - model(shown, native=True)).max() <= 1
            assert np.abs(whole[1].astype(int) - model(shown[::-1], native=True)).max() <= 1


@pytest.mark.parametrize(
    "options",
    [{"up": "transpose"}, {"up": "resize"}, {"spade": True}, {"spade": True, "labels": "facades"}],
)
def test_an_encoder_that_looks_at_sizes_is_written_down_for_all_sizes(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(architecture="efficientnet-unet", filters=8, **options)
    backbone = build_generator(config, 3, 3).backbone.eval()
    for layer in backbone.modules():
        if isinstance(layer, Spade):
            torch.nn.init.normal_(layer.predict[2].weight, 0, 0.2)
    graph = portable(backbone)
    assert not any(isinstance(module, SameConv) for module in graph.modules())
    with torch.inference_mode():
        for size in ((32, 32), (64, 96), (160, 32)):
            x = torch.rand(2, 3, *size) * 2 - 1
            assert (graph(x) - backbone(x)).abs().max() < 1e-4


@pytest.fixture(scope="module")
def zipped(onnx: Path, room: Path) -> Path:
    requires_libraries(find_spec("openvino"), "openvino")
    from calco.inference.graphs import write_openvino
    from calco.inference.runtimes import described, read_onnx

    text = json.loads(described(onnx) or "")
    write_openvino(read_onnx(onnx), room / "holes.zip", json.dumps({**text, "kind": "openvino"}))
    return room / "holes.zip"


@pytest.mark.slow
def test_onnx_and_openvino_draw_what_the_model_draws(onnx: Path, zipped: Path, room: Path) -> None:
    files = [calco.load(onnx), calco.load(zipped)]
    model = load(room / "holes")
    photo = np.asarray(Pillow.open(room / "photos" / "1.png"))
    for file in files:
        for cut in (photo, photo[:9, :13], photo[:1, :1]):
            shown = with_hole(cut, HOLES)
            for _ in range(2):  # OpenVINO makes itself ready for a size at its second coming
                assert np.abs(file(shown).astype(int) - model(shown)).max() <= 1
            whole = file.runtime.images(np.stack([shown, shown[::-1]]))
            assert np.abs(whole[1].astype(int) - model(shown[::-1], native=True)).max() <= 1
        deep = (with_hole(photo, HOLES).astype(np.uint16)) * 257
        assert file(deep).dtype == np.uint16


@pytest.mark.slow
def test_a_file_tells_what_it_is(onnx: Path, colours: Path, room: Path) -> None:
    for path, info in ((onnx, HOLES), (colours, KINDS["lab"])):
        assert load_info(path) == info
        found = describe(path)
        assert found.calco == calco.__version__
        assert found.compared["fp32"]["largest"] <= 1
        mean = calco.load(path).mean_target
        assert mean is not None and (mean == 90).all()
    assert describe(colours).licence == "CC0"


@pytest.mark.slow
def test_the_onnx_file_serves_without_calco(onnx: Path, room: Path) -> None:
    """The snippet of docs/export.md, in a process that has no Calco."""
    snippet = (ROOT / "docs" / "export.md").read_text().split("```python\n")[1].split("```")[0]
    shutil.copy(onnx, room / "model.onnx")
    Pillow.open(room / "photos" / "0.png").save(room / "image.png")
    blocked = "import sys; sys.modules['calco'] = sys.modules['torch'] = None\n"
    subprocess.run([sys.executable, "-c", blocked + snippet], cwd=room, check=True, timeout=60)
    drawn = np.asarray(Pillow.open(room / "drawn.png"))
    shown = np.asarray(Pillow.open(room / "image.png").resize((54, 36), Pillow.Resampling.LANCZOS))
    assert np.abs(drawn.astype(int) - load(room / "holes")(shown, native=True)).max() <= 1


@pytest.mark.slow
def test_translate_and_evaluate_take_a_file(colours: Path, room: Path, tmp_path: Path) -> None:
    main(["translate", str(colours), str(room / "photos"), "--out", str(tmp_path / "drawn"), "--precision", "auto"])
    assert sorted(path.name for path in (tmp_path / "drawn").glob("*.png")) == ["0.png", "1.png", "2.png"]
    card = calco.evaluate(calco.EvaluateConfig(model=colours, images=room / "photos", out=tmp_path / "report"))
    assert (tmp_path / "report" / "report.html").is_file()
    assert len(card.images) == 3
    other = saved(HOLES, tmp_path / "other")
    with pytest.raises(CalcoError, match="another model"):
        calco.translate(calco.TranslateConfig(model=other, images=room / "photos", out=tmp_path / "drawn"))


@pytest.mark.slow
def test_fewer_bits_come_with_loss_and_gain(onnx: Path, colours: Path, room: Path, tmp_path: Path) -> None:
    done = export_model(
        ExportConfig(model=room / "lab", to="onnx", out=tmp_path / "lab.onnx", precision="bf16", images=room / "photos")
    )
    cost = done.description.compared["bf16"]
    assert 35 < cost["psnr_to_fp32"] < 100
    assert cost["gain"] > 0
    assert "times as fast" in done.said[1]
    assert calco.load(done.path).precision == torch.bfloat16
    # Bytes: of the network in the ONNX file, without writing it all anew.
    from calco.inference.graphs import halved, quantised
    from calco.inference.runtimes import SEEN, network_of, onnx_session, read_onnx

    network = network_of(read_onnx(onnx))
    seen = [np.random.default_rng(n).random((1, 4, 40, 40), np.float32) * 2 - 1 for n in range(3)]
    want = onnx_session(network, onnx).run(None, {SEEN: seen[0]})[0]
    for made, limit in ((halved(network), 0.02), (quantised(network, seen), 0.1)):
        got = onnx_session(made, onnx).run(None, {SEEN: seen[0]})[0]
        assert 0 < np.abs(got - want).mean() < limit
        assert made.ByteSize() < 0.8 * network.ByteSize()


@pytest.mark.slow
def test_an_export_that_differs_gets_no_file(room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from calco.export import export

    monkeypatch.setattr(export, "TOLERANCE", -1)
    with pytest.raises(CalcoError, match="differs from its model, so no file is written"):
        export_model(
            ExportConfig(
                model=saved(KINDS["lab"], tmp_path / "m"), to="onnx", out=tmp_path / "m.onnx", images=room / "photos"
            )
        )
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[: len(data) // 2], "cannot be used"),
        (lambda data: b"", "cannot be used|not written by calco export"),
        (lambda data: data.replace(b'"format": 1', b'"format": 9', 1), "newer format|cannot be used"),
        (lambda data: data.replace(b'"precision": "fp32"', b'"precision": "fp99"', 1), "fp99|cannot be used"),
    ],
)
def test_a_damaged_file_is_told_in_a_line(
    spoil: object, says: str, colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(spoil(colours.read_bytes()))
    with pytest.raises(CalcoError, match=says) as caught:
        calco.load(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(SystemExit) as left:
        main(["translate", str(path), str(tmp_path), "--out", str(tmp_path / "out")])
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
def test_foreign_files_are_refused(onnx: Path, tmp_path: Path) -> None:
    import onnx as library

    foreign = library.load(onnx)
    del foreign.metadata_props[:]
    library.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(CalcoError, match="not written by calco export"):
        calco.load(tmp_path / "foreign.onnx")
    (tmp_path / "no.zip").write_bytes(io.BytesIO(b"PK").getvalue())
    with pytest.raises(CalcoError, match="no OpenVINO model in a zip file|openvino is not installed"):
        calco.load(tmp_path / "no.zip")
    with pytest.raises(CalcoError, match="cannot read .*gone.onnx"):
        calco.load(tmp_path / "gone.onnx")


@pytest.mark.slow
def test_what_an_exported_model_cannot_do_is_said(colours: Path, onnx: Path, room: Path, tmp_path: Path) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(CalcoError, match="no dropout"):
        calco.load(colours)(image, noise_seed=1)
    with pytest.raises(CalcoError, match="computes in fp32, and bf16 was asked for"):
        calco.load(colours, precision="bf16")
    with pytest.raises(CalcoError, match="computed on the CPU"):
        calco.load(onnx, device="cuda")
    with pytest.raises(CalcoError, match="an exported model already"):
        export_model(ExportConfig(model=onnx, to="onnx", out=tmp_path / "again.onnx"))
    with pytest.raises(CalcoError, match=r"name it .*m\.onnx"):
        export_model(ExportConfig(model=room / "lab", to="onnx", out=tmp_path / "m.zip", images=room / "photos"))
    with pytest.raises(CalcoError, match="--images FOLDER"):
        export_model(ExportConfig(model=room / "lab", to="onnx", out=tmp_path / "m.onnx"))
    with pytest.raises(CalcoError, match="no export to torchscript; choose onnx or openvino"):
        export_model(ExportConfig(model=room / "lab", to="torchscript", out=tmp_path / "m.pt", images=room / "photos"))


@pytest.mark.slow
def test_a_missing_library_is_named_with_what_brings_it(onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else find(name))
    with pytest.raises(CalcoError, match=r"pip install 'calco\[export\]'"):
        calco.load(onnx)


@pytest.mark.slow
def test_a_full_disk_is_told(colours: Path, room: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 16) as small:
        with pytest.raises(CalcoError, match="No space left on device"):
            export_model(ExportConfig(model=room / "lab", to="onnx", out=small / "m.onnx", images=room / "photos"))
        assert list(small.iterdir()) == []


WEB = ROOT / ".venv" / "onnxruntime-web"


@pytest.fixture
def site(onnx: Path, room: Path, tmp_path: Path) -> Iterator[str]:
    """The page of docs beside ONNX Runtime for the web, on a server of this machine."""
    requires(
        (WEB / "ort.wasm.min.js").is_file(), "onnxruntime-web", "tools/setup.sh dev fetches it where npm is installed"
    )
    shutil.copytree(WEB, tmp_path / "site")
    shutil.copy(ROOT / "docs" / "examples" / "onnx.html", tmp_path / "site")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/onnx.html"
        server.shutdown()


SIGNALS = """
import faulthandler, gc, os, signal, sys, time
faulthandler.enable()  # gives this thread a stack for signals, as pytest does
from PIL import Image
import numpy as np
from calco.inference.translator import load
models = [load(sys.argv[1]) for _ in range(2)]
for model in models:
    model(np.zeros((40, 40, 3), np.uint8))
while models:  # the first that came goes first
    del model, models[0]
    model = None
    gc.collect()
heard = []
signal.signal(signal.SIGCHLD, lambda *_: heard.append(1))
if os.fork() == 0:
    os._exit(0)
while not heard:
    time.sleep(0.01)
"""


@pytest.mark.slow
def test_signals_reach_a_process_that_has_let_openvino_models_go(zipped: Path) -> None:
    words = [sys.executable, "-c", SIGNALS, str(zipped)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


class _Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map: ClassVar = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
    }

    def log_message(self, *words: object) -> None:
        pass


@pytest.mark.slow
def test_the_page_draws_in_a_browser(browser: object, site: str, onnx: Path, room: Path, tmp_path: Path) -> None:
    photo = np.asarray(Pillow.open(room / "photos" / "0.png"))
    shown = with_hole(photo, HOLES)
    Pillow.fromarray(shown).save(tmp_path / "shown.png")
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(site)
    page.fill("#side", "0")
    page.set_input_files("#model", onnx)
    page.set_input_files("#image", tmp_path / "shown.png")
    page.wait_for_function("/^(Drawn|That)/.test(document.getElementById('said').textContent)", timeout=60_000)
    said = page.text_content("#said")
    assert said and said.startswith("Drawn: 75 x 50"), said
    pixels = page.evaluate(
        "() => [...document.getElementById('drawn').getContext('2d').getImageData(0, 0, 75, 50).data]"
    )
    page.close()
    assert problems == []
    drawn = np.array(pixels, np.uint8).reshape(50, 75, 4)[..., :3]
    assert np.abs(drawn.astype(int) - load(room / "holes")(shown, native=True)).max() <= 1


@pytest.mark.slow
def test_a_damaged_graph_is_told_in_one_line(onnx: Path, room: Path, tmp_path: Path) -> None:
    import onnx as library

    model = library.load(onnx)
    next(node for node in model.graph.node if node.name.startswith("network/")).op_type = "Nonsense"
    (tmp_path / "damaged.onnx").write_bytes(model.SerializeToString())
    file = calco.load(tmp_path / "damaged.onnx")
    with pytest.raises(CalcoError, match="damaged.onnx cannot be used: .*Nonsense.*export the model again") as error:
        file(with_hole(np.asarray(Pillow.open(room / "photos" / "0.png")), HOLES))
    assert "\n" not in str(error.value)
