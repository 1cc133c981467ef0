"""The studio's models: the images of `calco.load` for many at once, within its limits."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import calco
from calco.errors import CalcoError
from calco.files import write_json
from calco.inference.translator import load
from calco.web.refusals import RefusedError
from calco.web.serve import packaged_model
from calco.web.service import Studio, describe
from web.studios import image, make_detector, make_translator


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_translator(tmp_path_factory.mktemp("runs") / "Faces 2")


def test_a_model_is_described_by_its_recipe(tmp_path: Path, faces: Path) -> None:
    assert describe(faces).name == "faces-2"
    assert describe(faces / "model", ["faces-2"]).name == "faces-2-2"
    jobs = {"aligned": "translate", "sketch": "sketch", "colorize": "colour", "erase": "repair",
            "colorize+erase": "colour-repair", "degrade": "translate"}  # fmt: skip
    for number, (recipe, job) in enumerate(jobs.items()):
        assert describe(make_translator(tmp_path / str(number), recipe)).job == job
    drawn = make_translator(tmp_path / "drawn")
    record = json.loads((drawn / "model" / "model.json").read_text())
    write_json(drawn / "model" / "model.json", record | {"provenance": {"source": "openmoji"}})  # as of calco demo
    assert describe(drawn).job == "sketch"
    people = describe(make_detector(tmp_path / "people"))
    assert (people.kind, people.job, [name for name, _ in people.classes]) == ("detector", "detect", ["person", "car"])
    assert describe(faces).uses_noise and not describe(make_translator(tmp_path / "sure", dropout=0.0)).uses_noise


@pytest.mark.parametrize("generator", [{}, {"architecture": "resnet", "blocks": 2}, {"norm": "instance"}])
def test_images_together_have_the_bits_of_each_alone(tmp_path: Path, generator: dict[str, object]) -> None:
    translator = load(make_translator(tmp_path / "faces", **generator), device="cpu")
    shapes = [(40, 50), (40, 50), (32, 32), (40, 50), (40, 50), (32, 32), (7, 90), (40, 50)]
    for attempt in range(3):
        images = [image(*shape, seed=10 * attempt + number) for number, shape in enumerate(shapes)]
        for made, given in zip(translator.many(images), images, strict=True):
            np.testing.assert_array_equal(made, translator(given))


def test_together_is_left_where_it_would_change_a_bit(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator, calls = load(faces, device="cpu"), []
    maps = translator.maps

    def odd(seen):  # several images at once come out otherwise
        calls.append(len(seen))
        return maps(seen) + (len(seen) > 1)

    monkeypatch.setattr(translator, "maps", odd)
    images = [image(seed=number) for number in range(4)]
    first, calls[:] = translator.many(images), []
    again = translator.many(images)
    assert 4 not in calls
    for made, other, given in zip(first, again, images, strict=True):
        np.testing.assert_array_equal(made, load(faces, device="cpu")(given))
        np.testing.assert_array_equal(made, other)


def test_many_people_get_the_images_of_calco_load(faces: Path, tmp_path: Path) -> None:
    scratches = make_translator(tmp_path / "scratches", "erase")
    studio = Studio([faces, scratches, make_detector(tmp_path / "people")], device="cpu")
    alone, repair = calco.load(faces, device="cpu"), calco.load(scratches, device="cpu")
    images, mask = [image(seed=number) for number in range(12)], np.zeros((40, 50), np.bool_)
    mask[10:20, 10:30] = True
    with ThreadPoolExecutor(12) as pool:
        plain = list(pool.map(lambda each: studio.translate("faces-2", each), images))
        varied = list(pool.map(lambda seed: studio.translate("faces-2", images[0], seed=seed), range(3)))
        filled = list(pool.map(lambda each: studio.translate("scratches", each, mask=mask), images))
        found = list(pool.map(lambda each: studio.detect("people", each), images))
    for given, made, whole, objects in zip(images, plain, filled, found, strict=True):
        np.testing.assert_array_equal(made, alone(given))
        np.testing.assert_array_equal(whole, repair(given, mask=mask))
        assert objects.boxes.shape == (len(objects), 4)
    for seed, made in enumerate(varied):
        np.testing.assert_array_equal(made, alone(images[0], noise_seed=seed))
    assert studio.states() == {"faces-2": "ready", "scratches": "ready", "people": "ready"}
    assert studio.counts.images["faces-2"] == 15
    studio.close()


def test_what_waits_for_one_model_goes_through_it_together_to_the_same_bits(faces: Path) -> None:
    studio, alone, images = Studio([faces], device="cpu"), load(faces, device="cpu"), [image(seed=n) for n in range(7)]
    studio.translate("faces-2", images[0])  # the network has loaded
    network, held = studio._networks["faces-2"], Held()
    studio._networks["faces-2"] = held  # type: ignore[assignment]
    with ThreadPoolExecutor(7) as pool:
        first = pool.submit(studio.translate, "faces-2", images[0])
        while studio._asks or not studio.waiting():
            time.sleep(0.01)
        rounds = studio.counts.rounds
        others = [pool.submit(studio.translate, "faces-2", each) for each in images[1:]]
        while len(studio._asks) < 6:
            time.sleep(0.01)
        studio._networks["faces-2"] = network
        held.go.set()
        made = [each.result() for each in others]
    assert first.done() and studio.counts.rounds == rounds + 2  # the first by itself, the six together
    for given, done in zip(images[1:], made, strict=True):
        np.testing.assert_array_equal(done, alone(given))
    studio.close()


def test_one_bad_request_spoils_no_other(tmp_path: Path) -> None:
    studio = Studio([make_translator(tmp_path / "scratches", "erase")], device="cpu")
    mask = np.ones((40, 50), np.bool_)
    with ThreadPoolExecutor(4) as pool:
        wrong = pool.submit(studio.translate, "scratches", image(), mask=mask[:5])
        without = pool.submit(studio.translate, "scratches", image())
        right = pool.submit(studio.translate, "scratches", image(), mask=mask)
    assert right.result().shape == (40, 50, 3)
    with pytest.raises(CalcoError, match="both need the same size"):
        wrong.result()
    with pytest.raises(CalcoError, match="mask"):
        without.result()
    studio.close()


class Held:
    """A network that waits until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, given, **_options):
        self.go.wait(30)
        return given


def held_studio(faces: Path, **options: float) -> tuple[Studio, Held]:
    studio, held = Studio([faces], device="cpu", **options), Held()  # type: ignore[arg-type]
    studio.translate("faces-2", image())
    studio._networks["faces-2"] = held  # type: ignore[assignment]
    return studio, held


def test_a_full_queue_refuses_at_once_and_takes_again(faces: Path) -> None:
    studio, held = held_studio(faces, queue=3, per_client=2)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(studio.translate, "faces-2", image(), client=name) for name in ("ana", "ana", "eva")]
        while studio.waiting() < 3:
            time.sleep(0.01)
        with pytest.raises(RefusedError, match="the queue is full with 3 waiting; ask again"):
            studio.translate("faces-2", image())
        held.go.set()
        assert all(each.result().shape == (40, 50, 3) for each in waiting)
    assert studio.translate("faces-2", image()).shape == (40, 50, 3)
    assert studio.counts.refused == {"queue": 1}
    studio.close()


def test_a_client_and_large_images_do_not_fill_the_queue(faces: Path) -> None:
    studio, held = held_studio(faces, queue=9, per_client=2, megapixels=0.002)
    with ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(studio.translate, "faces-2", image(), client="ana") for _ in range(2)]
        while studio.waiting() < 2:
            time.sleep(0.01)
        with pytest.raises(RefusedError, match="your share of the queue is full with 2 waiting"):
            studio.translate("faces-2", image(), client="ana")
        waiting += [pool.submit(studio.translate, "faces-2", image(), client=f"{number}") for number in range(6)]
        while studio._pixels < 16_000:
            time.sleep(0.01)
        with pytest.raises(RefusedError, match="many large images are waiting"):
            studio.translate("faces-2", image(), client="eva")
        held.go.set()
        assert [each.result().shape for each in waiting] == [(40, 50, 3)] * 8
    with pytest.raises(RefusedError, match="50 x 41 pixels, and at most 2,000"):
        studio.translate("faces-2", image(41, 50))
    studio.close()


def test_a_request_is_given_up_after_its_time(faces: Path) -> None:
    studio, held = held_studio(faces, seconds=0.3)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(studio.translate, "faces-2", image())
        second = pool.submit(studio.translate, "faces-2", image())
        for each in (first, second):
            with pytest.raises(RefusedError, match="no answer within 0.3 seconds"):
                each.result()
    held.go.set()
    assert studio.translate("faces-2", image()).shape == (40, 50, 3)
    studio.close()


def test_a_model_with_damaged_weights_leaves_the_others_at_work(
    faces: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = make_translator(tmp_path / "damaged")
    (damaged / "model" / "model.safetensors").write_bytes(b"no weights")
    studio = Studio([damaged, faces], device="cpu")
    with pytest.raises(CalcoError, match="^the model damaged is not available") as told:
        studio.translate("damaged", image())
    assert str(tmp_path) not in str(told.value)
    assert studio.translate("faces-2", image()).shape == (40, 50, 3)
    assert studio.states() == {"damaged": "failed", "faces-2": "ready"}
    assert "model.safetensors is damaged" in caplog.text
    with pytest.raises(RefusedError, match="there is no translator 'other'; those that are served: damaged, faces-2"):
        studio.translate("other", image())
    with pytest.raises(RefusedError, match="there is no detector 'faces-2'"):
        studio.detect("faces-2", image())
    studio.close()
    with pytest.raises(RefusedError, match="stopping"):
        studio.translate("faces-2", image())


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b"x"), lambda path: path.mkdir(), lambda path: None])
def test_what_is_not_a_model_is_one_line(tmp_path: Path, make) -> None:
    make(tmp_path / "photo.jpg")
    with pytest.raises(CalcoError, match="name"):
        Studio([tmp_path / "photo.jpg"])


def test_the_model_that_comes_with_calco_colours_a_drawing() -> None:
    folder = packaged_model()
    assert folder is not None
    found = describe(folder)
    assert (found.name, found.job) == ("drawings", "sketch")
    assert "CC BY-SA 4.0" in found.licence
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 10e6
    sheet = np.full((256, 256, 3), 255, np.uint8)
    rows, columns = np.mgrid[:256, :256] - 128
    radius = np.hypot(rows, columns)
    sheet[np.abs(radius - 90) < 4] = 0
    coloured = calco.load(folder, device="cpu", precision="fp32")(sheet).astype(int)
    inside, outside = coloured[radius < 80], coloured[radius > 110]
    assert np.ptp(inside.mean(0)) > 60, "a circle gets a colour"
    assert outside.mean() > 240, "and the paper stays white"
