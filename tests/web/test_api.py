"""REST as other programs use it: images in, images out, refusals in one line, and no inner path in any answer."""

import base64
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import calco
from calco import imaging
from calco.errors import CalcoError
from web.studios import Site, image, opened

API = "/api/v1"


def png(given: Any) -> bytes:
    return imaging.encode(given, ".png")


def form(model: str = "faces", data: bytes | None = None, **fields: str) -> dict[str, Any]:
    """The options of a request that sends an image as a form."""
    return {
        "data": {"model": model, **fields},
        "files": {"image": ("../../etc/x.php", png(image()) if data is None else data)},
    }


def test_health_and_models(site: Site) -> None:
    assert site.get(f"{API}/health").json()["status"] == "ok"
    models = {each["name"]: each for each in site.get(f"{API}/models").json()}
    assert [(each["kind"], each["job"]) for each in models.values()] == [
        ("translator", "translate"), ("translator", "repair"), ("detector", "detect")
    ]  # fmt: skip
    one = site.get(f"{API}/models/people").json()
    assert {**one, "state": ""} == {**models["people"], "state": ""}
    assert one["state"] in ("loading", "ready")
    assert [each["name"] for each in models["people"]["classes"]] == ["person", "car"]
    assert site.get(f"{API}/models/other").status_code == 404


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_form_gets_the_image_of_calco_load(site: Site, runs: Path, dtype: Any, channels: int) -> None:
    given = image(channels=channels, dtype=dtype)
    data = imaging.encode(given, ".tif" if dtype == np.float32 else ".png")
    answer = site.post(f"{API}/translate", **form(data=data))
    assert answer.headers["content-type"] == ("image/tiff" if dtype == np.float32 else "image/png")
    made = imaging.decode(answer.content, "it", background="channel")
    np.testing.assert_array_equal(made, calco.load(runs / "faces", device="cpu")(given))


def test_json_gets_json(site: Site, runs: Path) -> None:
    body = {"model": "scratches", "image": base64.b64encode(png(image())).decode(), "format": "webp"}
    mask = np.zeros((40, 50, 1), np.uint8)
    mask[5:20, 5:20] = 255
    answer = site.post(
        f"{API}/translate",
        json={**body, "mask": base64.b64encode(png(mask)).decode(), "format": None, "noise_seed": None},
    )
    told = answer.json()
    assert (told["width"], told["height"], told["media_type"]) == (50, 40, "image/png")
    made = imaging.decode(base64.b64decode(told["image"]), "it")
    np.testing.assert_array_equal(made, calco.load(runs / "scratches", device="cpu")(image(), mask=mask > 0))
    whole = site.post(f"{API}/translate", json={**body, "model": "faces", "format": "png", "noise_seed": 7.0}).json()
    varied = calco.load(runs / "faces", device="cpu")(image(), noise_seed=7)
    np.testing.assert_array_equal(imaging.decode(base64.b64decode(whole["image"]), "it"), varied)
    as_webp = site.post(f"{API}/translate", json={**body, "model": "faces"}).json()
    assert as_webp["media_type"] == "image/webp" and base64.b64decode(as_webp["image"])[8:12] == b"WEBP"


def test_objects_are_detected(site: Site) -> None:
    told = site.post(f"{API}/detect", **form("people")).json()
    assert (told["width"], told["height"]) == (50, 40)
    assert site.post(f"{API}/detect", **form("people", threshold="1")).json()["detections"] == []


def png_bomb(side: int) -> bytes:
    """A PNG that claims a side of so many pixels, in a kilobyte."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("translate", form(data=b""), 422, "the upload is empty"),
    ("translate", form(data=b"%PDF-1.7 no image"), 415, "the upload is not an image"),
    ("translate", form(data=b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 415, "the upload is not an image"),
    ("translate", form(data=png(image())[:900]), 422, "the image is damaged or cut short"),
    ("translate", form(data=png_bomb(60_000)), 413, "claims to have more than 16,000,000 pixels"),
    ("translate", form(data=png_bomb(6_000)), 413, "6000 x 6000 pixels, and at most 16,000,000"),
    ("translate", form("nobody"), 404, "there is no translator 'nobody'; those that are served: faces, scratches"),
    ("translate", form("people"), 404, "there is no translator 'people'"),
    ("detect", form("faces"), 404, "there is no detector 'faces'"),
    ("translate", form(noise_seed="-1"), 422, "noise_seed: "),
    ("translate", form(noise_seed="seven"), 422, "noise_seed: "),
    ("translate", form(format="exe"), 422, "format: "),
    ("translate", form(other="1"), 422, "other: "),
    ("detect", form("people", threshold="2"), 422, "threshold: "),
    ("detect", form("people", threshold="nan"), 422, "threshold: "),
    ("translate", form("scratches"), 422, "mask"),
    ("translate", {"data": {"model": "faces"}, "files": {"picture": png(image())}}, 422, "picture is a file"),
    ("translate", {"data": {"model": "faces"}}, 415, "multipart/form-data, application/json"),
    ("translate", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "the body: "),
    ("translate", {"json": {"model": "faces", "image": "***"}}, 422, "image: "),
    ("translate", {"json": {"model": "faces", "image": "abc"}}, 422, "image: String should match pattern"),
    ("translate", {"json": {"model": "faces", "image": "aGVsbG8="}}, 415, "the upload is not an image"),
    ("translate", {"json": {"model": "faces", "image": "aGVsbG8=", "noise_seed": "7"}}, 422, "noise_seed: "),
    ("translate", {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data"}}, 400, "oundary"),
]


@pytest.mark.parametrize(("what", "request_of", "status", "told"), REFUSED)
def test_a_refusal_is_one_line(
    site: Site, runs: Path, what: str, request_of: dict[str, Any], status: int, told: str
) -> None:
    answer = site.post(f"{API}/{what}", **request_of)
    detail = answer.json()["detail"]
    assert (answer.status_code, answer.json().keys()) == (status, {"detail"})
    assert told in detail and "\n" not in detail
    assert str(runs) not in answer.text and "Traceback" not in answer.text


def test_refusals_come_in_spanish_too(site: Site) -> None:
    spanish = {"Accept-Language": "es-PE,es;q=0.9,en;q=0.5"}
    assert "no es una imagen" in site.post(f"{API}/translate", **form(data=b"x"), headers=spanish).json()["detail"]
    assert "no hay ningún modelo" in site.post(f"{API}/translate", **form("otro"), headers=spanish).json()["detail"]


JSON: dict[str, str] = {"Content-Type": "application/json"}
COMPLAINTS: list[tuple[str, dict[str, Any], str]] = [
    ("translate", form(noise_seed="-1"), "noise_seed: debe ser 0 o más ('-1'); el OpenAPI del estudio dice qué se"),
    ("translate", form(noise_seed="seven"), "noise_seed: debe ser un número entero ('seven'); "),
    ("translate", form(noise_seed="9" * 5000), "noise_seed: "),
    ("translate", form(format="exe"), "format: debe ser uno de 'png', "),
    ("translate", form(other="1"), "other: este campo no se conoce; quítalo ('1')"),
    ("translate", form(""), "model: debe tener al menos 1 caracteres ('')"),
    ("translate", form("x" * 200), "model: debe tener 100 caracteres como máximo ('xxx"),
    ("translate", {"files": {"image": b"x"}}, "model: falta este campo; "),
    ("detect", form("people", threshold="2"), "threshold: debe ser 1.0 o menos ('2')"),
    ("detect", form("people", threshold="nan"), "threshold: debe ser "),
    ("detect", form("people", threshold="much"), "threshold: debe ser un número ('much')"),
    ("translate", {"content": b"{", "headers": JSON}, "el cuerpo: no es JSON válido; "),
    ("translate", {"content": b"[1]", "headers": JSON}, "el cuerpo: debe ser un objeto de JSON"),
    ("translate", {"json": {"model": 7, "image": "aGVsbG8="}}, "model: debe ser texto (7)"),
    ("translate", {"json": {"model": "faces", "image": "***"}}, "image: no tiene la forma pedida ("),
    ("translate", {"json": {"model": "faces", "image": "aGVsbG8=", "noise_seed": 7.5}}, "noise_seed: debe ser un"),
    ("translate", {"json": {"a": 1}}, "model: falta este campo, y 2 más; "),
    ("translate", form("scratches"), "el modelo no puede hacerlo: "),
    ("translate", {"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, "el formulario no se"),
    ("nothing", {}, "no existe esa dirección; "),
    ("jobs", {"data": {"model": "faces", "keep": "x"}, "files": {"file": b"x"}}, "keep: debe ser true o false ('x')"),
]


@pytest.mark.parametrize(("what", "request_of", "told"), COMPLAINTS)
def test_each_kind_of_wrong_field_is_told_in_spanish(
    site: Site, what: str, request_of: dict[str, Any], told: str
) -> None:
    headers = {"Accept-Language": "es-PE", **request_of.get("headers", {})}
    answer = site.post(f"{API}/{what}", **{**request_of, "headers": headers})
    detail = answer.json()["detail"]
    assert 400 <= answer.status_code < 500
    assert detail.startswith(told)
    assert len(detail) < 400 and "\n" not in detail


def test_a_polyglot_is_only_ever_pixels(site: Site) -> None:
    script = b"<script>alert(1)</script>"
    answer = site.post(f"{API}/translate", **form(data=png(image()) + script))
    assert answer.status_code in (200, 422)
    assert script not in answer.content
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_numbers_for_prometheus(site: Site) -> None:
    site.post(f"{API}/translate", **form())
    text = site.get(f"{API}/metrics").text
    assert re.search(
        r'^calco_requests_total\{method="POST",route="/api/v1/translate",status="200"\} [1-9]', text, re.MULTILINE
    )
    assert re.search(r'^calco_images_total\{model="faces"\} [1-9]', text, re.MULTILINE)
    assert re.search(r'^calco_request_seconds_bucket\{route="/api/v1/translate",le="\+Inf"\} [1-9]', text, re.MULTILINE)
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) calco_\w+ .+|calco_\w+(\{(\w+="[^"]*",?)+\})? [-+.e\d]+', line), line


def test_the_openapi_states_every_answer(site: Site) -> None:
    described = site.get(f"{API}/openapi.json").json()
    translate = described["paths"][f"{API}/translate"]["post"]
    assert {"200", "401", "403", "404", "408", "413", "415", "422", "503"} <= translate["responses"].keys()
    assert translate["requestBody"]["content"].keys() == {"multipart/form-data", "application/json"}
    assert {*described["paths"]} == {
        f"{API}/{each}"
        for each in (
            "health",
            "models",
            "models/{name}",
            "metrics",
            "translate",
            "detect",
            "jobs",
            "jobs/{id}",
            "jobs/{id}/result",
            "jobs/{id}/boxes",
            "jobs/{id}/preview",
        )
    }


def test_the_client_mirrors_calco_load(site: Site, runs: Path) -> None:
    with calco.Client(f"{site.url}/") as client:
        assert client.models().keys() == {"faces", "scratches", "people"}
        faces, alone = client.load("faces"), calco.load(runs / "faces", device="cpu")
        for dtype in (np.uint8, np.uint16, np.float32):
            given = image(dtype=dtype)
            np.testing.assert_array_equal(faces(given), alone(given))
        np.testing.assert_array_equal(faces(image(), noise_seed=7), alone(image(), noise_seed=7))
        mask = np.zeros((40, 50), np.bool_)
        mask[3:9, 3:30] = True
        repair = calco.load(runs / "scratches", device="cpu")
        np.testing.assert_array_equal(client.load("scratches")(image(), mask=mask), repair(image(), mask=mask))
        assert len(client.load("people").detect(image(), threshold=1.0)) == 0
        with pytest.raises(CalcoError, match="refuses: there is no model 'other'"):
            client.load("other")
    with pytest.raises(CalcoError, match="does not answer .*; start it with calco serve"):
        calco.Client("http://127.0.0.1:9").models()
    with pytest.raises(CalcoError, match="'faces' is not the address of a studio"):
        calco.Client("faces")


def test_a_busy_studio_is_asked_again_and_an_impatient_client_is_told(runs: Path, tmp_path: Path) -> None:
    with opened(tmp_path, runs / "faces", queue=1) as site:
        with site.studio.place():
            refused = site.post(f"{API}/translate", **form())
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            with (
                calco.Client(site.url, patience=0) as hasty,
                pytest.raises(CalcoError, match="the queue is full with 1 waiting"),
            ):
                hasty.load("faces")(image())
        with calco.Client(site.url) as client:
            assert client.load("faces")(image()).shape == (40, 50, 3)
