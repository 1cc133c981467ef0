"""Training of a bridge: first its regression, then the network that refines it; and its model in use."""

import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import calco
from calco import imaging
from calco.errors import CalcoError
from calco.export import ExportConfig
from calco.export.export import export_model
from calco.imaging.strips import Whole
from calco.inference import TranslateConfig, network
from calco.inference.folder import read_weights, save_model
from calco.inference.large import draw
from calco.inference.translate import translate
from calco.inference.translator import load
from calco.training.checkpoint import start_from
from calco.training.config import ComputeConfig, LimitConfig, ObjectiveConfig, TrainConfig, preset
from calco.training.step import Networks
from calco.training.translation import train
from support import requires
from training.tiny import cut_short, same, tiny, weights


def bridged(images: Path, out: Path, **generator) -> TrainConfig:
    """The smallest run of a bridge: 6 steps for the regression, 6 for the network that refines it."""
    config = tiny(images, out)
    return replace(config, generator=replace(config.generator, bridge_steps=2, **generator))


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose last model is a bridge."""
    config = bridged(images, tmp_path_factory.mktemp("bridge") / "run")
    return train(replace(config, split=replace(config.split, validation=0.0)), progress=False)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)


def parts(tensors: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in tensors.items() if key.startswith(f"generator.backbone.{part}.")}


def test_the_regression_learns_first_and_is_fixed_then(images: Path, tmp_path: Path, monkeypatch) -> None:
    config = bridged(images, tmp_path / "run")
    cut_short(config, 5, monkeypatch)  # which stops after the next step
    half = weights(tmp_path / "run")
    cut_short(replace(config, out=str(tmp_path / "other")), 6, monkeypatch)
    later = weights(tmp_path / "other")
    last = weights(train(config, resume=True, progress=False))
    assert same(parts(half, "refiner"), parts(weights_at_start(config), "refiner"))
    assert not same(parts(last, "refiner"), parts(half, "refiner"))
    fixed = parts(last, "regression")
    assert same(parts(later, "regression"), fixed)
    assert all(torch.equal(fixed[key], last[key.replace("generator", "averaged", 1)]) for key in fixed)


def weights_at_start(config: TrainConfig) -> dict[str, torch.Tensor]:
    networks = Networks(
        replace(config, generator=replace(config.generator, composition="plain")), 3, 3, torch.device("cpu")
    )
    return networks.state()


@pytest.mark.parametrize("step", [4, 5, 8])
def test_a_run_that_was_cut_short_ends_with_the_same_bits(
    step: int, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(bridged(images, tmp_path / "whole"), progress=False)
    config = bridged(images, tmp_path / "cut")
    cut_short(config, step, monkeypatch)
    assert same(weights(train(config, resume=True, progress=False)), weights(whole))


def test_a_higher_limit_returns_to_the_regression(images: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    config = bridged(images, tmp_path / "run")
    before = weights(train(config, progress=False))
    more = weights(train(replace(config, limit=LimitConfig(epochs=0, steps=48)), resume=True, progress=False))
    said = [record.message for record in caplog.records]
    assert "step 12: within the new limit the regression learns" in said
    assert any(each.startswith("step 24: the regression is fixed") for each in said)
    assert not same(parts(more, "regression"), parts(before, "regression"))


def test_the_log_names_both_parts_and_the_better_one(images: Path, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    train(bridged(images, tmp_path / "run"), progress=False)
    said = [record.message for record in caplog.records]
    assert "step 6: the regression is fixed; the network that refines it in 2 steps learns now" in said
    assert any(re.search(r"The bridge's best validation L1 is [\d.]+, that of its regression", each) for each in said)


def test_a_model_that_is_kept_before_the_bridge_learns_is_its_regression(images: Path, tmp_path: Path, photo) -> None:
    config = bridged(images, tmp_path / "run")
    run = train(replace(config, objective=ObjectiveConfig(bridge_from=0.99)), progress=False)
    record = json.loads((run / "model" / "model.json").read_text())
    if record["step"] < 12:  # the last step alone belongs to the bridge
        assert record["generator"]["bridge_steps"] == 0
        assert not any("refiner" in key for key in read_weights(run / "model"))
        with pytest.raises(CalcoError, match="--steps 3 is for models of the preset bridge"):
            load(run).refine_in(3)
    assert load(run)(photo).shape == photo.shape


def test_steps_and_seed_are_chosen_at_inference(run: Path, photo: np.ndarray) -> None:
    translator = strong(run)
    first = translator(photo)
    assert np.array_equal(translator(photo), first)
    varied = translator(photo, noise_seed=3)
    assert np.array_equal(translator(photo, noise_seed=3), varied)
    assert not np.array_equal(varied, first)
    assert np.array_equal(translator(photo), first)
    assert translator.settings["steps"] == 2
    translator.refine_in(5)
    assert translator.settings["steps"] == 5
    assert not np.array_equal(translator(photo), first)
    translator.refine_in(None)
    assert np.array_equal(translator(photo), first)
    with pytest.raises(CalcoError, match="steps is 0; it must lie between 1 and 1000"):
        translator.refine_in(0)


def strong(run: Path, **options) -> calco.Translator:
    """The model with a refining network that has more to say than after six steps."""
    translator = load(run, device="cpu", **options)
    with torch.no_grad():
        for parameter in translator.generator.backbone.refiner.parameters():
            parameter.mul_(4)
    return translator


def strengthened(run: Path, folder: Path) -> Path:
    """The same as a model folder."""
    translator = strong(run)
    save_model(folder, translator.info, translator.generator.state_dict(), translator.mean_target)
    return folder


def test_calco_translate_refines_in_the_steps_asked_for(run: Path, tmp_path: Path, photo: np.ndarray) -> None:
    model = strengthened(run, tmp_path / "model")
    (tmp_path / "in").mkdir()
    imaging.write(tmp_path / "in" / "a.png", photo)

    def translated(**options) -> np.ndarray:
        translate(TranslateConfig(model=model, images=tmp_path / "in", out=tmp_path / "out", **options))
        return imaging.read(tmp_path / "out" / "a.png")

    first, more = translated(), translated(steps=7, overwrite=True)
    assert not np.array_equal(first, more)
    assert not np.array_equal(translated(steps=7, noise_seed=1, overwrite=True), more)
    with pytest.raises(CalcoError, match="what another model or other options made"):
        translated(steps=9)


def test_calco_evaluate_scores_the_steps_asked_for(run: Path, tmp_path: Path, images: Path) -> None:
    model = strengthened(run, tmp_path / "model")
    few, many = (
        calco.evaluate(
            calco.EvaluateConfig(model=model, images=images, out=tmp_path / f"{steps}", limit=2, steps=steps)
        )
        for steps in (1, 6)
    )
    assert few.cases[0].scores != many.cases[0].scores
    assert "a bridge of 6 steps" in (tmp_path / "6" / "report.html").read_text()


def test_tiles_of_a_large_image_show_no_seam(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = strong(run)
    rng = np.random.default_rng(1)
    wide = imaging.resize(rng.integers(0, 255, (20, 40, 3), np.uint8), (400, 200))
    whole = translator(wide, native=True)
    monkeypatch.setattr(network, "TILE", 128)
    monkeypatch.setattr(network, "OVERLAP", 64)
    tiled = translator(wide, native=True)
    apart = np.abs(whole.astype(int) - tiled)
    assert np.median(apart) <= 1
    assert apart.mean() < 2
    assert np.array_equal(draw(translator, Whole(wide), native=True).whole(), tiled)


def test_in_bfloat16_it_gives_nearly_the_same(run: Path, photo: np.ndarray) -> None:
    exact, rough = load(run, device="cpu")(photo), load(run, device="cpu", precision="bf16")(photo)
    assert np.abs(exact.astype(int) - rough).mean() < 3


def test_a_bridge_is_not_exported(run: Path, tmp_path: Path) -> None:
    requires(_installed("onnx"), "onnx", "pip install 'calco[export]'")
    with pytest.raises(CalcoError, match=r"is a bridge, whose steps and noise no exported file holds"):
        export_model(ExportConfig(model=run, out=tmp_path / "m.onnx"))
    assert not (tmp_path / "m.onnx").exists()


def _installed(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


def test_a_bridge_takes_its_regression_from_a_trained_model(images: Path, done: Path, tmp_path: Path) -> None:
    trained = tiny(images, tmp_path / "first", limit=LimitConfig(epochs=0, steps=2))
    first = train(replace(trained, generator=replace(trained.generator, composition="plain")), progress=False)
    config = bridged(images, tmp_path / "run")
    with pytest.raises(CalcoError, match="there is no regression to refine; name a trained model with --start"):
        replace(config, objective=ObjectiveConfig(bridge_from=0))
    config = replace(config, start=str(first), objective=ObjectiveConfig(bridge_from=0))
    run = train(config, progress=False)
    theirs, ours = read_weights(first / "model"), read_weights(run / "model")
    for name, tensor in theirs.items():
        if not tensor.is_floating_point():  # batch norm counts its batches anew
            continue
        assert torch.equal(ours[name.replace("backbone.", "backbone.regression.")], tensor), name
    networks = Networks(
        replace(config, generator=replace(config.generator, composition="plain")), 3, 3, torch.device("cpu")
    )
    assert "generator 100.0% of" in start_from(str(run), networks.modules)


def test_a_bridge_may_start_at_the_input(images: Path, tmp_path: Path) -> None:
    config = bridged(images, tmp_path / "run", bridge_start="input")
    run = train(replace(config, recipe=replace(config.recipe, recipe="erase")), progress=False)
    assert not any("regression" in key for key in read_weights(run / "model"))
    with pytest.raises(CalcoError, match="starts at the input only where that is an image like the target"):
        train(
            replace(config, recipe=replace(config.recipe, recipe="colorize"), out=str(tmp_path / "no")), progress=False
        )


@pytest.mark.slow
def test_several_processes_train_a_bridge(images: Path, tmp_path: Path) -> None:
    requires(_installed("accelerate"), "accelerate", "pip install 'calco[processes]'")
    config = bridged(images, tmp_path / "run")
    config = replace(config, compute=ComputeConfig(threads=1, processes=2, device="cpu"))
    run = train(replace(config, limit=LimitConfig(epochs=0, steps=4)), progress=False)
    assert load(run).info.step in (1, 2, 3, 4)
    state = weights(run)
    assert parts(state, "refiner")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values() if tensor.is_floating_point())


def test_what_a_bridge_cannot_learn_is_one_line() -> None:
    with pytest.raises(CalcoError, match="the pixel loss cross-entropy is for painted masks"):
        preset("bridge", "segment")
    config = preset("bridge")
    assert config.generator.bridge_steps == 8
    with pytest.raises(CalcoError, match="bridge from is 1, so that the bridge would never learn"):
        replace(config, objective=replace(config.objective, bridge_from=1))
