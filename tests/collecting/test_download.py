"""Downloads from a real server that stalls, lies, refuses and goes in circles."""

import json
import socket
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from calco import imaging
from calco.collecting import CollectConfig, FetchConfig
from calco.collecting.collect import Fetched, download
from calco.errors import CalcoError
from collecting.web import (
    Visit,
    Web,
    claims,
    dripping,
    dripping_head,
    endless,
    first,
    hung_up,
    serving,
    silent,
    silent_in_the_middle,
    status,
    whole,
)
from support import small_disk


def encoded(kind: str = "JPEG", seed: int = 0, side: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(buffer := BytesIO(), format=kind)
    return buffer.getvalue()


JPEG = encoded()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


def fetch(folder: Path, *addresses: str, jobs: int = 8, **limits: float) -> Fetched:
    quick = {"timeout": 0.8, "patience": 1.6, "retries": 1, "pause": 0.01, "largest": 1.0}
    wanted = {f"{number:06d}": address for number, address in enumerate(addresses)}
    return download(wanted, folder, FetchConfig(**quick | limits), jobs=jobs)


BAD: dict[str, tuple[Callable[[Visit], None], int, str]] = {
    "silent": (silent, 2, "silent for 0.8 seconds, tried 2 times"),
    "silent in the middle": (silent_in_the_middle(JPEG), 2, "silent for 0.8 seconds"),
    "dripping": (dripping(JPEG), 2, "took more than 1.6 seconds"),
    "dripping head": (dripping_head, 2, "took more than 1.6 seconds"),
    "length too long": (claims(JPEG, len(JPEG) + 100), 2, "the connection broke"),
    "length too short": (claims(JPEG, len(JPEG) // 2), 1, "damaged or cut short"),
    "cut short": (whole(JPEG[:-200]), 1, "damaged or cut short"),
    "empty": (whole(b""), 1, "empty"),
    "a page": (whole(b"<html>Please log in</html>", "image/jpeg"), 1, "not an image"),
    "too large": (whole(bytes(1_000_001)), 1, "1.0 MB, more than 1"),
    "said to be too large": (claims(b"", 10**15), 1, "more than 1"),
    "endless": (endless, 1, "more than 1 MB"),
    "gone": (status(404), 1, "404 Not Found"),
    "forbidden": (status(403), 1, "403 Forbidden"),
    "broken": (status(500), 2, "500 Internal Server Error, tried 2 times"),
    "busy for long": (status(429, Retry_After=3600), 1, "asks to come back in 3600 seconds"),
    "in a circle": (status(302, Location="/in-a-circle"), 6, "redirected more than 5 times"),
    "to a file": (status(302, Location="file:///etc/passwd"), 1, "cannot be asked for"),
    "to no port": (status(302, Location="http://127.0.0.1:99999999/"), 1, "port must be 0-65535"),
    "hung up": (hung_up, 2, "the connection broke"),
}


@pytest.fixture(scope="module")
def afternoon(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fetched, Path, dict[str, int]]:
    """One call with every bad address, and a good one; what came of it, the folder, and the visits of each address."""
    folder = tmp_path_factory.mktemp("afternoon")
    with serving() as web:
        addresses = [web.put(f"/{name.replace(' ', '-')}", answer) for name, (answer, _, _) in BAD.items()]
        done = fetch(folder, *addresses, web.put("/fine", whole(JPEG)), jobs=32)
        return done, folder, {name: web.visits[f"/{name.replace(' ', '-')}"] for name in BAD}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_had_is_named_with_its_reason(
    afternoon: tuple[Fetched, Path, dict[str, int]], name: str
) -> None:
    done, _folder, visits = afternoon
    reason = done.failed[f"{list(BAD).index(name):06d}"]
    assert BAD[name][2] in reason
    assert reason.endswith(f"/{name.replace(' ', '-')})")
    assert visits[name] == BAD[name][1]


def test_what_can_be_had_is_there_and_nothing_else(afternoon: tuple[Fetched, Path, dict[str, int]]) -> None:
    done, folder, _visits = afternoon
    fine = folder / f"{len(BAD):06d}.jpg"
    assert list(done.files.values()) == [fine]
    assert fine.read_bytes() == JPEG
    assert {path.name for path in folder.iterdir()} == {fine.name, "collected.jsonl"}
    assert len(done.failed) == len(BAD)


@pytest.mark.parametrize(
    "before", [status(500), status(503, Retry_After=0), silent, hung_up, claims(JPEG, len(JPEG) + 9)]
)
def test_a_passing_trouble_is_overcome(web: Web, tmp_path: Path, before: Callable[[Visit], None]) -> None:
    done = fetch(tmp_path, web.put("/x", first(1, whole(JPEG), before)))
    assert done.failed == {}
    assert web.visits["/x"] == 2
    assert (tmp_path / "000000.jpg").read_bytes() == JPEG


def test_a_server_that_asks_for_patience_gets_it(web: Web, tmp_path: Path) -> None:
    import time

    moments = []

    def answer(visit: Visit) -> None:
        moments.append(time.monotonic())
        first(1, whole(JPEG), status(429, Retry_After=1))(visit)

    assert fetch(tmp_path, web.put("/x", answer), patience=5).failed == {}
    assert moments[1] - moments[0] >= 1


def test_the_ending_is_that_of_the_real_format(web: Web, tmp_path: Path) -> None:
    kinds = {"PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif", "JPEG": ".jpg"}
    done = fetch(tmp_path, *(web.put(f"/{kind}.jpg.jpeg", whole(encoded(kind))) for kind in kinds))
    assert [path.suffix for _name, path in sorted(done.files.items())] == list(kinds.values())


def test_several_are_fetched_at_once_and_no_more(web: Web, tmp_path: Path) -> None:
    now, most = set(), []

    def answer(visit: Visit) -> None:
        now.add(visit.path)
        most.append(len(now))
        visit.wait(0.02)
        now.discard(visit.path)
        whole(JPEG)(visit)

    done = fetch(tmp_path, *(web.put(f"/{number}", answer) for number in range(20)), jobs=4)
    assert len(done.files) == 20
    assert 2 <= max(most) <= 4


def test_a_second_call_fetches_only_what_is_missing(web: Web, tmp_path: Path) -> None:
    images = [encoded(seed=seed) for seed in range(4)]
    addresses = [web.put(f"/{number}", whole(data)) for number, data in enumerate(images)]
    web.put("/3", status(404))
    assert len(fetch(tmp_path, *addresses).files) == 3
    (tmp_path / "000000.jpg").unlink()  # lost
    (tmp_path / "000001.jpg").write_bytes(b"cut")  # spoiled
    (tmp_path / ".000003.part").write_bytes(b"left by a kill")
    with (tmp_path / "collected.jsonl").open("a") as journal:
        journal.write('{"name": "000003", "fil')  # cut off by a kill
    web.put("/3", whole(images[3]))
    done = fetch(tmp_path, *addresses)
    assert (done.kept, done.failed) == (1, {})
    assert [(tmp_path / f"{number:06d}.jpg").read_bytes() for number in range(4)] == images
    assert [web.visits[f"/{number}"] for number in range(4)] == [2, 2, 1, 2]
    assert fetch(tmp_path, *addresses).kept == 4
    other = fetch(tmp_path, web.put("/other", whole(encoded("PNG"))), *addresses[1:])
    assert (other.kept, other.files["000000"].name) == (3, "000000.png")
    assert not list(tmp_path.glob(".*"))


def test_a_surplus_of_bytes_spoils_no_other_image(web: Web, tmp_path: Path) -> None:
    def answer(visit: Visit) -> None:
        visit.head(Content_Length=len(JPEG))
        visit.wfile.write(JPEG + b"surplus" * 50)

    addresses = [web.put(f"/{number}", answer) for number in range(6)]
    assert fetch(tmp_path, *addresses, jobs=1, retries=2).failed == {}


def test_a_host_that_never_answers_is_left_alone(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: it refuses
        port = closed.getsockname()[1]
        done = fetch(tmp_path, *(f"http://127.0.0.1:{port}/{number}" for number in range(6)), jobs=1)
    assert len(done.failed) == 6
    assert "127.0.0.1 cannot be reached" in done.failed["000000"]
    assert "answered for none of the files before" in done.failed["000005"]


@pytest.mark.parametrize(
    "address", ["", "image.jpg", "/etc/passwd", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "http://[::1",
                "https://xn--/", "http://\x00/", "http://127.0.0.1:99999999/"],
)  # fmt: skip
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    done = fetch(tmp_path, address)
    assert done.files == {}
    assert "\n" not in done.failed["000000"]


def test_a_password_in_an_address_stays_between_us_and_the_server(web: Web, tmp_path: Path) -> None:
    seen = []

    def answer(visit: Visit) -> None:
        seen.append(visit.headers["Authorization"])
        whole(JPEG)(visit)

    secret = web.put("/x", answer).replace("http://", "http://reader:s3cret@")
    gone = web.put("/gone", status(404)).replace("http://", "http://reader:s3cret@")
    done = fetch(tmp_path, secret, gone)
    assert seen[0].startswith("Basic ")
    assert "s3cret" not in json.dumps(done.failed) + (tmp_path / "collected.jsonl").read_text()
    assert fetch(tmp_path, secret).kept == 1


def test_it_works_from_within_a_loop(web: Web, tmp_path: Path) -> None:
    import asyncio

    async def notebook() -> Fetched:
        return fetch(tmp_path, web.put("/x", whole(JPEG)))

    assert len(asyncio.run(notebook()).files) == 1


def test_a_full_disk_stops_it_in_one_sentence(web: Web, tmp_path: Path) -> None:
    addresses = [web.put(f"/{number}", whole(encoded("BMP", number, 200))) for number in range(9)]
    with small_disk(tmp_path / "disk", 256) as disk:
        with pytest.raises(CalcoError, match="No space left on device.*free some space"):
            fetch(disk, *addresses, jobs=1)
        held = list(disk.glob("*.bmp"))
        assert held and all(imaging.read(path).shape == (200, 200, 3) for path in held)
        assert not list(disk.glob(".*"))


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"timeout": 0}, {"retries": -1}, {"largest": float("nan")}])
def test_limits_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(CalcoError, match=next(iter(wrong))):
        CollectConfig(annotations="list.json", out="out", **wrong)
