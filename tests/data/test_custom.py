"""Recipes of one's own: what they may return, what goes wrong in them, and that no model runs code by itself."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import calco.cli
from calco import CalcoError, imaging
from calco.data.config import JitterConfig
from calco.data.dataset import PairDataset
from calco.data.recipes import RecipeConfig, build_recipe, custom, recipe_here, recipe_title, resolve, steps_of
from calco.data.sample import Pair, Sample, generator
from calco.data.sources import open_source
from calco.inference import TranslateConfig
from calco.inference.folder import ModelInfo, save_model
from calco.inference.results import Translation
from calco.inference.translate import translate
from calco.inference.translator import load
from calco.networks.build import build_generator
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.training.config import KeepConfig, LimitConfig, TrainConfig
from calco.training.run_folder import write_config
from calco.training.translation import load_config, train

Make = Callable[..., Path]

FADE = """
import numpy as np


def fade(image, rng):
    strength = rng.uniform(0.3, 0.8)
    return (image.image * (1 - strength) + 255 * strength).astype(np.uint8)
"""


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nobody has named any code."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    custom._NAMED_HERE.clear()
    return tmp_path / "settings"


def another_machine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    custom._NAMED_HERE.clear()


@pytest.fixture
def fade(tmp_path: Path) -> Path:
    return code(tmp_path, FADE)


def code(folder: Path, text: str, name: str = "my.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def make_image() -> Sample:
    image = np.random.default_rng(0).integers(0, 200, (20, 30, 3), dtype=np.uint8)
    return Sample(image=image, key="k", group="g")


def cook(step: str, dish: Sample | None = None, kind: str = "photographs") -> Pair:
    config = resolve(RecipeConfig(recipe=step), kind)
    return build_recipe(config, kind)(dish or make_image(), generator(0, 0, "k"))


def test_what_the_function_makes_goes_in_and_the_image_comes_out(fade: Path) -> None:
    pair = cook(f"{fade}:fade")
    assert np.array_equal(pair.target, make_image().image)
    assert pair.input.mean() > pair.target.mean() + 20
    assert np.array_equal(pair.input, cook(f"{fade}:fade").input)
    partnered = replace(make_image(), partner=255 - make_image().image)
    assert np.array_equal(cook(f"{fade}:fade", partnered, "parallel").target, partnered.partner)


def test_it_chains_with_the_others(fade: Path) -> None:
    pair = cook(f"{fade}:fade+erase")
    assert (pair.input[pair.region] == (255, 0, 255)).all()
    assert np.array_equal(pair.target, make_image().image)
    assert cook(f"colorize+{fade}:fade").input.shape == (20, 30, 1)


def test_paths_with_plus_spaces_and_accents(tmp_path: Path) -> None:
    path = code(tmp_path / "a+b" / "años de luz", FADE, "mi receta+1.py")
    assert cook(f"{path}:fade + erase").region.any()
    assert steps_of(f"colorize+{path}:fade+erase") == ["colorize", f"{path}:fade", "erase"]
    assert recipe_title(f"colorize+{path}:fade@0123456789abcdef") == "colorize+fade"


def test_a_pair_may_be_returned_with_its_own_target(tmp_path: Path) -> None:
    path = code(
        tmp_path,
        "from calco import Pair\n"
        "def negative(image, rng):\n"
        "    return Pair(input=image.image, target=255 - image.image, key='other', group='other')\n",
    )
    pair = cook(f"{path}:negative")
    assert np.array_equal(pair.target, 255 - make_image().image)
    assert (pair.key, pair.group) == ("k", "g")


@pytest.mark.parametrize(
    ("body", "shape", "dtype"),
    [
        ("image.image.mean(axis=2) / 255", (20, 30, 1), np.float32),
        ("image.image[..., :1]", (20, 30, 1), np.uint8),
        ("image.image.astype('uint16') * 257", (20, 30, 3), np.uint16),
        ("image.image[:, ::-1]", (20, 30, 3), np.uint8),
    ],
)
def test_what_may_be_returned(tmp_path: Path, body: str, shape: tuple[int, ...], dtype: type) -> None:
    made = cook(f"{code(tmp_path, f'def f(image, rng):{chr(10)}    return {body}')}:f").input
    assert (made.shape, made.dtype) == (shape, dtype)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("1 / 0", r"^k: .*my\.py:2: ZeroDivisionError: division by zero; correct the recipe f$"),
        ("helper()", r"^k: .*my\.py:4: KeyError: 'a b'"),
        ("np.zeros(3) @ np.zeros(4)", r"^k: .*my\.py:2: NameError"),
        ("None", r"^k: recipe f returned NoneType"),
        ("image.image / 255 + 1", "outside 0 to 1"),
        ("image.image / 255 * float('nan')", "outside 0 to 1"),
        ("image.image.astype(int)", r"type int64"),
        ("image.image[None]", r"shape \(1, 20, 30, 3\)"),
        ("image.image[:0]", r"shape \(0, 30, 3\)"),
        ("image.image[:10]", r"^k: the input has 30x10 pixels and the target 30x20"),
    ],
)
def test_what_goes_wrong_is_told_with_file_and_line(tmp_path: Path, body: str, says: str) -> None:
    path = code(tmp_path, f"def f(image, rng):\n    return {body}\ndef helper():\n    return {{}}['a b']\n")
    with pytest.raises(CalcoError, match=says) as caught:
        cook(f"{path}:f")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "step", "says"),
    [
        ("def f(image rng): pass", "my.py:f", r"my\.py:1: SyntaxError"),
        ("import no_such_module\n", "my.py:f", r"my\.py:1: ModuleNotFoundError"),
        ("def f(p, r): ...\nx = 3", "my.py:g", "has no function g; it has f"),
        ("def f(p, r): ...\nx = 3", "my.py:x", "has no function x"),
        ("", "other.py:f", "No such file"),
        ("", "my.py", "a function in a file such as my.py:fade"),
        ("", "my.py:1f", "is unknown"),
        ("", "my.py:f+segment", "put it first"),
        ("\x00", "my.py:f", "my.py"),
    ],
)
def test_a_file_that_does_not_serve_is_told_before_any_image(tmp_path, monkeypatch, text, step, says) -> None:
    monkeypatch.chdir(code(tmp_path, text).parent)
    with pytest.raises(CalcoError, match=says) as caught:
        cook(step)
    assert "\n" not in str(caught.value)


def test_a_image_on_which_it_fails_is_noted_and_the_others_go_on(make: Make, tmp_path: Path) -> None:
    folder = make("p/a.png").parent
    make("p/b.png")
    path = code(tmp_path, "def f(image, rng):\n    assert image.key != 'a', 'not this one'\n    return image.image\n")
    source = open_source(folder)
    recipe = build_recipe(resolve(RecipeConfig(recipe=f"{path}:f"), source.kind), source.kind)
    data = PairDataset(source, source.items, recipe, JitterConfig(size=16, resize=16), 0, train=False)
    assert data.pair(0, 0).key == "b"
    assert data.damaged == {"a": f"a: {path}:2: AssertionError: not this one; correct the recipe f"}


def test_a_image_that_is_changed_in_place_stays_as_it_was(tmp_path: Path) -> None:
    path = code(tmp_path, "def f(image, rng):\n    image.image[:] = 0\n    return image.image\n")
    dish = make_image()
    pair = cook(f"{path}:f", dish)
    assert not pair.input.any()
    assert np.array_equal(pair.target, make_image().image)
    assert np.array_equal(dish.image, make_image().image)


MARK = "from pathlib import Path\nPath({!r}).write_text('ran')\ndef f(image, rng):\n    return image.image\n"


@pytest.fixture
def model(tmp_path: Path, fade: Path) -> Path:
    """The model of a recipe whose file leaves a mark when it is run; nobody here has named it yet."""
    path = code(tmp_path / "theirs", MARK.format(str(tmp_path / "mark")))
    info = ModelInfo(
        generator=GeneratorConfig(depth=3, filters=4, composition="plain"),
        recipe=RecipeConfig(recipe=f"{path}:f@{custom._digest(path.read_bytes())}"),
        jitter=JitterConfig(size=16, resize=16), in_channels=3, out_channels=3,
    )  # fmt: skip
    save_model(tmp_path / "model", info, build_generator(info.generator, 3, 3).state_dict(), None)
    return tmp_path / "model"


def test_loading_and_translating_run_no_code(model: Path, make: Make, tmp_path: Path) -> None:
    load(model)
    translate(TranslateConfig(model=model, images=make("p/a.png"), out=tmp_path / "out"))
    assert not (tmp_path / "mark").exists()


def refused(tmp_path: Path, *words: str) -> str:
    """What a verb answers; that the code did not run."""
    (tmp_path / "mark").unlink(missing_ok=True)
    with pytest.raises(CalcoError) as caught:
        calco.cli.VERBS[words[0]](list(words[1:]))
    assert not (tmp_path / "mark").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_models_code_runs_only_when_it_is_allowed_or_named(model: Path, make: Make, tmp_path: Path) -> None:
    folder = make("p/a.png").parent
    calls = [("evaluate", str(model), str(folder)), ("translate", str(model), str(folder), "--make-input", "--out")]
    calls = [calls[0], (*calls[1], str(tmp_path / "out"))]
    for call in calls:
        assert "nobody has run on this machine yet" in refused(tmp_path, *call)
    calco.cli.VERBS["translate"]([*calls[1][1:], "--allow-code"])
    assert (tmp_path / "mark").read_text() == "ran"
    for call in calls:  # allowed once is not allowed for ever
        assert "nobody has run" in refused(tmp_path, *call)
    theirs = f"{tmp_path}/theirs/my.py:f"
    calco.cli.VERBS["evaluate"]([*calls[0][1:], "--recipe", theirs, "--out", str(tmp_path / "report")])
    calco.cli.VERBS["translate"]([*calls[1][1:], "--overwrite"])  # it is known now


def test_a_file_that_is_gone_changed_or_another_is_refused(model: Path, make: Make, tmp_path: Path) -> None:
    call = ("evaluate", str(model), str(make("p/a.png").parent), "--allow-code")
    theirs = tmp_path / "theirs" / "my.py"
    moved = code(tmp_path / "moved", theirs.read_text())
    theirs.write_text(theirs.read_text() + "# more\n")
    assert "bring that file back" in refused(tmp_path, *call)
    theirs.unlink()
    assert "--recipe PLACE/my.py:f" in refused(tmp_path, *call)
    assert "not the recipe that the model was trained with" in refused(
        tmp_path, *call, "--recipe", f"{code(tmp_path / 'other', FADE + 'f = fade')}:f"
    )
    assert "can only say where" in refused(tmp_path, *call, "--recipe", "erase")
    calco.cli.VERBS["evaluate"]([*call[1:-1], "--recipe", f"{moved}:f", "--out", str(tmp_path / "report")])
    assert recipe_here(load(model).info.recipe, f"{moved}:f").recipe.startswith(f"{moved}:f@")


def test_training_notes_the_file_and_everything_after_it_knows_it(
    make: Make, fade: Path, tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = [make(f"p/{n}.png", 40, 40).parent for n in range(6)][-1]
    monkeypatch.chdir(fade.parent)
    config = TrainConfig(
        images=str(folder), out=str(tmp_path / "run"), recipe=RecipeConfig(recipe="my.py:fade"),
        jitter=JitterConfig(size=32, resize=36), discriminator=DiscriminatorConfig(patch=16, filters=4),
        generator=GeneratorConfig(depth=3, filters=4),
        limit=LimitConfig(epochs=0, steps=1), keep=KeepConfig(validate_steps=1, tensorboard=False),
    )  # fmt: skip
    run = train(config, progress=False)
    digest = custom._digest(fade.read_bytes())
    named = f"{fade}:fade@{digest}"
    assert load(run).info.recipe.recipe == load_config(run / "config.yaml").recipe.recipe == named
    trusted = json.loads((settings / "calco" / "trusted.json").read_text())
    assert trusted == {"format": 1, "recipes": {digest: str(fade)}}
    custom._NAMED_HERE.clear()  # another process on the same machine
    calco.cli.VERBS["evaluate"]([str(run)])
    assert "fade" in (run / "report" / "report.html").read_text()
    done = translate(TranslateConfig(model=run, images=folder, out=tmp_path / "out", make_input=True))
    assert isinstance(done, Translation)
    assert done.written == 6
    assert imaging.read(tmp_path / "out" / "0.png").shape == (40, 40, 3)
    another_machine(monkeypatch, tmp_path / "elsewhere")
    with pytest.raises(CalcoError, match="nobody has run"):
        train(replace(load_config(run / "config.yaml"), out=str(tmp_path / "again")), progress=False)


def test_a_configuration_from_a_file_cannot_name_code_without_its_digest(tmp_path: Path, fade: Path) -> None:
    config = TrainConfig(images=str(tmp_path), recipe=RecipeConfig(recipe=f"{fade}:fade+erase"))
    write_config(tmp_path / "config.yaml", config, "translator", "from a stranger")
    with pytest.raises(CalcoError, match=re.escape("without the digest of its file")):
        load_config(tmp_path / "config.yaml")
    with pytest.raises(CalcoError, match="has no digest"):
        build_recipe(config.recipe, "photographs")


def test_where_the_note_cannot_be_written_the_recipe_runs_and_a_warning_is_given(
    fade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    another_machine(monkeypatch, tmp_path / "file")
    assert cook(f"{fade}:fade").input.any()
    assert "must be named again" in caplog.text
