"""Jobs by REST, over a real port: accepted, watched, cancelled, delivered in whole and in parts, refused."""

import io
import re
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from calco.video.reading import Video
from calco.web import jobs as jobs_module
from video.videos import make_image, make_video
from web.archives import REFUSED, image_bytes, written, zip_bytes
from web.studios import Site, opened

JOBS = "/api/v1/jobs"


@pytest.fixture(scope="module")
def site(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(tmp_path_factory.mktemp("state"), runs / "faces", runs / "people", per_client=4) as found,
    ):
        patch.setattr(jobs_module, "_NICE", 0)
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
        ({"model": "nobody"}, [("file", ("a.png", image_bytes()))], 404, "there is no model 'nobody'"),
        ({}, [("file", ("a.png", image_bytes()))], 422, "model: Field required"),
        ({"model": "faces", "speed": "3"}, [("file", ("a.png", image_bytes()))], 422, "speed: Extra inputs"),
        ({"model": "faces", "threshold": "0.5"}, [("file", ("a.png", image_bytes()))], 422, "threshold does not serve"),
        ({"model": "faces"}, [("image", ("a.png", image_bytes()))], 422, "image is a file; it must be the other"),
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


def test_a_wrong_method_is_answered_with_those_that_are_right(site: Site) -> None:
    for path, methods in ((JOBS, {"POST"}), (f"{JOBS}/{'0' * 32}", {"GET", "DELETE"})):
        answer = httpx.put(f"{site.url}{path}")
        assert answer.status_code == 405 and {*answer.headers["allow"].split(", ")} == methods
        assert "detail" in answer.json()


def test_a_client_with_too_many_jobs_is_asked_to_come_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.jobs, "most_per_client", 0)
    answer = submit(site, ("a.png", image_bytes()))
    assert answer.status_code == 503 and answer.headers["retry-after"] == "30"
    assert "of your jobs are waiting" in answer.json()["detail"]
