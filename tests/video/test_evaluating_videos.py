"""`calco evaluate RUN video`: flicker beside the truth's own, with steadying, in scores, terminal and report."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from calco.data.config import JitterConfig, SourceConfig
from calco.data.recipes import RecipeConfig
from calco.data.sources import open_source
from calco.errors import CalcoError
from calco.evaluation import EvaluateConfig
from calco.evaluation.evaluate import evaluate
from calco.evaluation.scorecard import Scorecard
from calco.evaluation.scores import terminal_table
from calco.evaluation.steadiness import INPUT, PIECE, STEADIED, TRUTH, stretches
from calco.imaging import Image
from calco.inference.folder import ModelInfo, save_model
from calco.networks.build import build_generator
from calco.networks.config import GeneratorConfig

SIZE_WH = (64, 48)


def frame(number: int) -> Image:
    """A soft pattern that moves, in another colour from frame 12 on: the cut."""
    y, x = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]].astype(float)
    wave = 0.5 + 0.25 * np.sin((x + number) / 5) + 0.2 * np.sin((y + x) / 7)
    colour = np.array([250, 150, 90]) if number < 12 else np.array([60, 90, 120])
    return np.clip(wave[..., None] * colour, 0, 255).astype(np.uint8)


def write_video(path: Path, count: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = *SIZE_WH, "yuv420p"
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(number), format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A colour model that was never trained."""
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=4, composition="luminance"),
        recipe=RecipeConfig(recipe="colorize"),
        jitter=JitterConfig(size=32, resize=36),
        in_channels=1,
        out_channels=3,
    )
    torch.manual_seed(0)
    made = build_generator(info.generator, 1, 3)
    for weights in made.parameters():
        weights.data.mul_(3)
    folder = tmp_path_factory.mktemp("run")
    save_model(folder / "model", info, made.state_dict(), None)
    return folder


def test_flicker_beside_the_truth_and_the_input_and_steadied(run: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "sea.mp4", 24)
    card = evaluate(EvaluateConfig(model=run, images=video, out=tmp_path / "report", steady=True))
    assert card.video is not None
    systems = card.video.systems
    assert list(systems) == [TRUTH, INPUT, "model", STEADIED]
    assert systems[TRUTH]["times"].mean == 1
    assert "psnr" not in systems[TRUTH]
    assert systems["model"]["flicker"].mean / systems[TRUTH]["flicker"].mean == pytest.approx(
        systems["model"]["times"].mean
    )
    assert systems[STEADIED]["colour"].mean < systems["model"]["colour"].mean
    assert systems[STEADIED]["psnr"].mean > systems["model"]["psnr"].mean - 0.1
    assert [row.number for row in card.video.frames] == list(range(24))
    without = [row.number for row in card.video.frames if np.isnan(row.values[TRUTH]["flicker"])]
    assert without == [0, 12]
    assert "1 cut found" in " ".join(card.video.notes)
    again = Scorecard.load(tmp_path / "report")
    assert again.video is not None
    assert again.video.systems == systems
    assert len(again.video.frames) == 24
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    for words in ("<h2>Steadiness</h2>", "sea: PSNR, dB", "sea: Flicker", "from frame 1 to 23", "model, steadied"):
        assert words in page
    assert [str(column.header) for column in terminal_table(systems, card.video.measures).columns] == ["", *systems]


def test_without_steady_it_is_left_out_and_images_have_none(run: Path, tmp_path: Path, real_data: Path) -> None:
    card = evaluate(EvaluateConfig(model=run, images=write_video(tmp_path / "sea.mp4", 4), out=tmp_path / "report"))
    assert card.video is not None
    assert STEADIED not in card.video.systems
    with pytest.raises(CalcoError, match="--steady goes with videos"):
        evaluate(EvaluateConfig(model=run, images=real_data / "nature", out=tmp_path / "report", steady=True))


def test_one_frame_alone_cannot_be_measured(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CalcoError, match="two frames of a scene"):
        evaluate(EvaluateConfig(model=run, images=write_video(tmp_path / "one.mkv", 1), out=tmp_path / "report"))


def test_long_videos_are_measured_in_stretches_and_splits_within_their_blocks(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "sea.mp4", 240), SourceConfig(frames="1"))
    assert [len(run) for run in stretches(source.items, None, 0)] == [240]
    some = stretches(source.items, None, 2 * PIECE)
    assert [len(run) for run in some] == [PIECE, 40]
    assert [run[0].key[-6:] for run in some] == ["000000", "000200"]
    block = [item for item in source.items if item.group == "sea#2"]
    part = stretches(source.items, block[3:-3:5], 0)
    assert len(part) == 1
    assert part[0][0] == block[3]
    assert {item.group for item in part[0]} == {"sea#2"}
