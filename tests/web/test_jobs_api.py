"""Jobs by REST, over a real port: accepted, watched, cancelled, delivered in whole and in parts, refused."""

import io
import json
import re
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as Pillow

from calco import imaging
from calco.video.reading import Video
from calco.web import job_processes
from calco.web import jobs as jobs_module
from video.videos import make_image, make_video
from web.archives import REFUSED, image_bytes, written, zip_bytes
from web.studios import Site, opened

JOBS = "/api/v1/jobs"


@pytest.fixture(scope="module")
def site(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(
            tmp_path_factory.mktemp("state"), runs / "faces", runs / "scratches", runs / "people", per_client=4
        ) as found,
    ):
        patch.setattr(job_processes, "_NICE", 0)
        yield found


def submit(site: Site, *files: tuple[str, bytes], model: str = "faces", **fields: Any) -> httpx.Response:
    data = {"model": model, **{name: str(value).lower() for name, value in fields.items()}}
    return site.post(JOBS, data=data, files=[("file", file) for file in files])


def awaited(site: Site, address: str) -> dict[str, Any]:
    limit = time.monotonic() + 120
    while (job := site.get(address).json())["state"] in ("queued", "running"):
        assert time.monotonic() < limit, job
        time.sleep(0.05)
    return job


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_video(tmp_path_factory.mktemp("videos") / "v.mp4", 8, sound="aac").read_bytes()


def test_a_video_is_accepted_watched_and_delivered_in_whole_and_in_parts(
    site: Site, video: bytes, tmp_path: Path
) -> None:
    answer = submit(site, ("../../holiday.mp4", video))
    assert answer.status_code == 202
    address = answer.headers["location"]
    assert answer.json()["kind"] == "video" and re.fullmatch(JOBS + "/[0-9a-f]{32}", address)
    job = awaited(site, address)
    assert job["state"] == "done" and (job["count"], job["total"], job["progress"]) == (8, 8, 1)
    assert site.get(job["preview"]).headers["content-type"] == "image/jpeg"
    whole = site.get(job["result"])
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert whole.headers["accept-ranges"] == "bytes"
    part = site.get(job["result"], headers={"Range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == whole.content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert len([*Video(written(tmp_path / "result.mp4", whole.content)).frames()]) == 8
    site.jobs.cancel(job["id"])


def test_several_images_become_a_zip(site: Site) -> None:
    answer = submit(site, ("b.png", image_bytes(1)), ("a.jpg", image_bytes(2, form="JPEG")), noise_seed=3)
    job = awaited(site, answer.headers["location"])
    data = site.get(job["result"]).content
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["b.png", "a.jpg"] and archive.testzip() is None


def white_left(form: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    """A mask that is white in its left half."""
    mask = Pillow.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    file = io.BytesIO()
    mask.save(file, form)
    return file.getvalue()


def masked(site: Site, upload: tuple[str, bytes], mask: bytes, model: str = "scratches") -> httpx.Response:
    return site.post(JOBS, data={"model": model}, files=[("file", upload), ("mask", ("mask", mask))])


@pytest.mark.slow
def test_one_mask_serves_all_images_and_all_frames(site: Site, video: bytes, tmp_path: Path) -> None:
    given = {name: image_bytes(number, (64, 48)) for number, name in enumerate(("a.png", "in/b.png"))}
    job = awaited(site, masked(site, ("a.zip", zip_bytes(given)), white_left()).headers["location"])
    assert job["state"] == "done", job
    with zipfile.ZipFile(io.BytesIO(site.get(job["result"]).content)) as archive:
        assert sorted(archive.namelist()) == sorted(given)
        for name, data in given.items():
            before, after = imaging.decode(data, name), imaging.decode(archive.read(name), name)
            assert np.array_equal(before[:, 40:], after[:, 40:]) and not np.array_equal(before[:, :24], after[:, :24])
    job = awaited(site, masked(site, ("v.mp4", video), white_left()).headers["location"])
    assert job["state"] == "done", job
    assert len([*Video(written(tmp_path / "r.mp4", site.get(job["result"]).content)).frames()]) == 8


@pytest.mark.slow
def test_masks_in_a_zip_belong_to_the_images_of_their_names(site: Site) -> None:
    given = {name: image_bytes(number, (64, 48)) for number, name in enumerate(("a.png", "in/b.jpg"))}
    masks = zip_bytes({"in/b.png": white_left(), "other.png": white_left()})
    job = awaited(site, masked(site, ("a.zip", zip_bytes(given)), masks).headers["location"])
    with zipfile.ZipFile(io.BytesIO(site.get(job["result"]).content)) as archive:
        assert [name for name in archive.namelist() if name.startswith("in/")] and "a.png" not in archive.namelist()
        assert archive.read("left_out.txt").decode().startswith("a.png: ")
    job = awaited(site, masked(site, ("a.png", image_bytes()), zip_bytes({"b.png": white_left()})).headers["location"])
    assert job["state"] == "failed" and job["message"].startswith("no mask in the ZIP has the name of an image"), job


@pytest.mark.parametrize(
    ("model", "upload", "mask", "status", "line"),
    [
        ("faces", "image", white_left(), 422, "faces takes no mask: only models that fill holes do"),
        ("people", "image", white_left(), 422, "people takes no mask"),
        ("scratches", "image", b"no mask", 415, "the mask is not an image"),
        ("scratches", "image", b"", 422, "the upload is empty"),
        ("scratches", "video", zip_bytes({"a.png": image_bytes()}), 422, "the mask of a video is one image"),
        ("scratches", "image", zip_bytes({"../a.png": image_bytes()}), 422, "outside itself"),
    ],
)
def test_masks_that_do_not_serve_are_refused(
    site: Site, video: bytes, model: str, upload: str, mask: bytes, status: int, line: str
) -> None:
    file = ("a.png", image_bytes()) if upload == "image" else ("v.mp4", video)
    answer = masked(site, file, mask, model)
    assert answer.status_code == status and line in answer.json()["detail"], answer.text
    twice = [("file", file), ("mask", ("m", white_left())), ("mask", ("n", white_left()))]
    assert "mask is there 2 times" in site.post(JOBS, data={"model": model}, files=twice).json()["detail"]


@pytest.mark.slow
def test_the_boxes_of_a_video_are_delivered_as_tables(site: Site, video: bytes) -> None:
    job = awaited(site, submit(site, ("v.mp4", video), model="people", threshold=0.01).headers["location"])
    table = site.get(job["boxes"])
    assert table.headers["content-type"].startswith("text/csv")
    assert table.text.splitlines()[0] == "frame,time,class,score,left,top,right,bottom"
    lines = site.get(job["boxes"], params={"format": "jsonl"}).text.splitlines()
    assert [json.loads(line)["frame"] for line in lines] == [*range(8)]
    images = awaited(site, submit(site, ("a.png", image_bytes())).headers["location"])
    assert images["boxes"] is None
    refused = site.get(f"{JOBS}/{images['id']}/boxes")
    assert refused.status_code == 404 and "only videos of a detector" in refused.json()["detail"]


def test_a_result_is_deleted_after_its_delivery_and_not_before(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "_LINGER", -1.0)
    many = {f"{number}.bmp": image_bytes(number, (400, 400), "BMP") for number in range(12)}
    job = awaited(site, submit(site, ("a.zip", zip_bytes(many))).headers["location"])
    site.jobs.clean()
    assert site.get(job["result"], headers={"Range": "bytes=0-9"}).status_code == 206
    # A client that leaves in the middle has not got it.
    with socket.create_connection(("127.0.0.1", site.port)) as left:
        left.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        left.sendall(f"GET {job['result']} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        left.recv(100)
    time.sleep(0.3)
    site.jobs.clean()
    assert site.get(job["result"]).status_code == 200
    for _ in range(50):
        site.jobs.clean()
        if (gone := site.get(job["result"])).status_code == 410:
            break
        time.sleep(0.05)
    assert gone.json() == {"detail": "the result was delivered and deleted"}
    assert not (site.jobs.folder / job["id"]).exists()
    spanish = site.get(f"{JOBS}/{job['id']}", headers={"Accept-Language": "es"}).json()
    assert spanish["message"] == "el resultado se entregó y se borró" and spanish["result"] is None


def test_a_job_is_cancelled(site: Site, tmp_path: Path) -> None:
    frames = [make_image(number, (640, 480)) for number in range(20)] * 20
    slow = make_video(tmp_path / "slow.mp4", frames).read_bytes()
    address = submit(site, ("slow.mp4", slow)).headers["location"]
    assert site.get(f"{address}/result").status_code == 404
    assert httpx.delete(f"{site.url}{address}").status_code == 204
    assert site.get(address).json()["state"] == "cancelled"
    assert site.get(f"{address}/result").status_code == 410
    assert 'calco_jobs{state="cancelled"} 1' in site.get("/api/v1/metrics").text


@pytest.mark.parametrize("kind", ["parent", "encrypted", "bomb", "link"])
def test_an_archive_that_may_do_harm_is_refused_in_the_clients_language(site: Site, kind: str) -> None:
    make, line = REFUSED[kind]
    answer = submit(site, ("a.zip", make()))
    assert answer.status_code in (413, 422) and line in answer.json()["detail"]
    spanish = site.post(
        JOBS, data={"model": "faces"}, files=[("file", ("a.zip", make()))], headers={"Accept-Language": "es-PE"}
    )
    assert spanish.json()["detail"].startswith("el ZIP")


@pytest.mark.parametrize(
    ("data", "files", "status", "line"),
    [
        ({"model": "faces"}, [("file", ("a.png", b"not an image"))], 415, "neither an image, nor a video"),
        ({"model": "faces"}, [("file", ("a.png", b""))], 422, "the upload is empty; choose a file"),
        ({"model": "nobody"}, [("file", ("a.png", image_bytes()))], 404, "there is no model 'nobody'"),
        ({}, [("file", ("a.png", image_bytes()))], 422, "model: Field required"),
        ({"model": "faces", "speed": "3"}, [("file", ("a.png", image_bytes()))], 422, "speed: Extra inputs"),
        ({"model": "faces", "threshold": "0.5"}, [("file", ("a.png", image_bytes()))], 422, "threshold does not serve"),
        ({"model": "faces"}, [("image", ("a.png", image_bytes()))], 422, "image is a file; it must be text"),
        ({"model": "faces", "file": "text"}, [("file", ("a.png", image_bytes()))], 422, "file is text"),
        ({"model": "faces"}, None, 415, "multipart/form-data"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_one_line(
    site: Site, data: dict[str, str], files: Any, status: int, line: str
) -> None:
    answer = site.post(JOBS, data=data, files=files)
    assert answer.status_code == status, answer.text
    assert line in answer.json()["detail"] and "\n" not in answer.json()["detail"]
    assert [path for path in site.jobs.folder.rglob("upload*") if path.is_file()] == []


def test_unknown_jobs_are_not_found(site: Site) -> None:
    for path in ("0" * 32, "0" * 32 + "/result", "0" * 32 + "/preview", "..%2f..%2fetc", "x"):
        answer = site.get(f"{JOBS}/{path}")
        assert answer.status_code == 404 and "detail" in answer.json()
    assert httpx.delete(f"{site.url}{JOBS}/{'0' * 32}").status_code == 404


def test_what_a_page_asks_for_again_and_again_may_go_without_an_error(site: Site, video: bytes) -> None:
    """A page hears of the end of a job after it has asked for the next preview: a 404 would be an error to browsers."""
    job = awaited(site, submit(site, ("v.mp4", video)).headers["location"])
    assert site.get(job["preview"]).status_code == 200
    site.jobs.cancel(job["id"])
    answer = site.get(job["preview"])
    assert (answer.status_code, answer.content) == (204, b"")
    shown = site.get(f"/studio/jobs/{'0' * 32}", headers={"Accept-Language": "es"})
    assert shown.status_code == 200 and "Este trabajo ya no existe. Empieza otro." in shown.text


def test_a_wrong_method_is_answered_with_those_that_are_right(site: Site) -> None:
    for path, methods in ((JOBS, {"POST"}), (f"{JOBS}/{'0' * 32}", {"GET", "DELETE"})):
        answer = httpx.put(f"{site.url}{path}")
        assert answer.status_code == 405 and {*answer.headers["allow"].split(", ")} == methods
        assert "detail" in answer.json()


def test_a_client_with_too_many_jobs_is_asked_to_come_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.jobs, "most_per_client", 0)
    answer = submit(site, ("a.png", image_bytes()))
    assert answer.status_code == 503 and answer.headers["retry-after"] == "30"
    assert "your share of the queue of jobs is full" in answer.json()["detail"]
