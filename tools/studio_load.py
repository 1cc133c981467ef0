"""Load the studio from a second process: images a second, overload, many browsers at once.

python tools/studio_load.py                     what `small` at 256x256 gives, and 30 minutes at twice the capacity
python tools/studio_load.py --minutes 1         the same with a short overload
python tools/studio_load.py --model runs/faces  another translator
python tools/studio_load.py --write             also put the table into docs/serve.md

Every request has an image of its own, whose answer is compared with what the model gave for it alone.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from arguments import Arguments

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "serve.md"
API: Final = "/api/v1"
IMAGES: Final = 48  # different ones
SIDE: Final = 256
_PATIENCE: Final = 120.0  # seconds for one answer
_BOUNDARY: Final = "calco-load"


# ---- A studio in a process of its own ----


@dataclass
class Studio:
    """A running studio."""

    port: int
    folder: Path  # of its jobs; the folder for temporary files is beside it
    process: "subprocess.Popen[bytes]"

    @property
    def temporary(self) -> Path:
        """Folder for its temporary files."""
        return self.folder.parent / "temporary"

    def megabytes(self) -> float:
        """Return the memory of the studio and the processes that it started, without what they share with files."""
        pages = 0
        for process in (self.process.pid, *descendants(self.process.pid)):
            with contextlib.suppress(OSError):
                _, resident, shared, *_ = map(int, Path(f"/proc/{process}/statm").read_text().split())
                pages += resident - shared
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def descendants(parent: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            above = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(above, []).append(int(path.parent.name))
    found, waiting = [], [parent]
    while waiting:
        some = children.get(waiting.pop(), [])
        found += some
        waiting += some
    return found


@contextlib.contextmanager
def studio(*models: Path, options: Sequence[str] = ()) -> Iterator[Studio]:
    """Start a studio of some models, wait until they are ready, and end it."""
    with tempfile.TemporaryDirectory(prefix="calco-load-") as room, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        there = Studio(port, Path(room) / "studio", None)  # type: ignore[arg-type]
        there.temporary.mkdir()
        command = [sys.executable, "-m", "calco", "serve", *map(str, models), "--port", str(port), "--folder",
                   str(there.folder), *options]  # fmt: skip
        environment = {**os.environ, "TMPDIR": str(there.temporary)}
        with (Path(room) / "log").open("wb") as log:
            there.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            asyncio.run(_ready(there, Path(room) / "log"))
            yield there
        finally:
            there.process.terminate()
            try:
                there.process.wait(20)
            except subprocess.TimeoutExpired:
                there.process.kill()
                there.process.wait()


async def _ready(there: Studio, log: Path) -> None:
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit:
        if there.process.poll() is not None:
            raise SystemExit(f"the studio has ended: {log.read_text()[-2000:]}")
        with contextlib.suppress(OSError, EOFError):
            answer = await ask(there.port, "GET", f"{API}/health")
            states = json.loads(answer.body)["models"].values() if answer.status == 200 else ["loading"]
            if "failed" in states:
                raise SystemExit(f"a model cannot be loaded: {log.read_text()[-2000:]}")
            if "loading" not in states:
                return
        await asyncio.sleep(0.1)
    raise SystemExit(f"the studio is not ready after {_PATIENCE:.0f} s: {log.read_text()[-2000:]}")


# ---- A client of few lines, which leaves the processor to the studio ----


@dataclass(frozen=True)
class Answer:
    """Answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


async def ask(
    port: int, method: str, path: str, body: bytes = b"", kind: str = "", *, length: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:  # fmt: skip
    """Send a request on a connection of its own, and return the answer.

    Args:
        port: Port of this machine.
        method: Method of HTTP.
        path: Path with its query.
        body: The body.
        kind: Its media type.
        length: What the head says of its bytes, if that is to be wrong.
        headers: Further headers.

    Raises:
        OSError: If there is no connection, or it ends before the answer.
        EOFError: If the answer is cut off.
    """
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method in ("POST", "PUT"):
            lines += [f"Content-Length: {len(body) if length is None else length}"]
            lines += [f"Content-Type: {kind}"] if kind else []
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        with contextlib.suppress(OSError):  # it may have been refused by its head alone
            await writer.drain()
            if length is not None:
                writer.write_eof()
        status, found = await _head(reader)
        if found.get("transfer-encoding", "").lower() == "chunked":
            data = b""
            while size := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
                data += (await reader.readexactly(size + 2))[:-2]
        elif "content-length" in found:
            data = await reader.readexactly(int(found["content-length"])) if method != "HEAD" else b""
        else:
            data = await reader.read()
        return Answer(status, found, data, time.perf_counter() - began)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def form(fields: Mapping[str, str], files: Sequence[tuple[str, str, str, bytes]]) -> tuple[bytes, str]:
    """Return a multipart form and its media type; files are field, name, media type and bytes."""
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for field_name, name, kind, data in files:
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field_name}"; filename="{name}"\r\n'
        parts.append(f"{head}Content-Type: {kind}\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={_BOUNDARY}"


# ---- What is asked ----


@dataclass
class Requests:
    """Requests with an image each, and the digest of the right answer to each."""

    bodies: list[tuple[bytes, str]]
    digests: list[str] = field(default_factory=list)


@dataclass
class Counts:
    """What came of some requests."""

    answers: Counter[str] = field(default_factory=Counter)  # right, wrong, refused, refused without Retry-After, ...
    seconds: list[float] = field(default_factory=list)  # of the right ones

    def percentile(self, share: float) -> float:
        """Return the time within which a share of the right answers came, seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def photographs(count: int, side: int = SIDE) -> list[bytes]:
    """Return JPEG files of soft shapes, each different, side x side pixels."""
    import numpy as np

    from calco import imaging

    made = []
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        made.append(imaging.encode(imaging.resize(coarse, (side, side)), ".jpg"))
    return made


def untrained(folder: Path) -> Path:
    """Write the generator of the preset `small` for 256 pixels, with random weights: it is as fast as a trained one."""
    import torch

    from calco.data.config import JitterConfig
    from calco.data.recipes import RecipeConfig
    from calco.inference.folder import ModelInfo, save_model
    from calco.networks.build import build_generator
    from calco.training.config import preset

    torch.manual_seed(0)
    generator = dataclasses.replace(preset("small").generator, composition="plain")
    info = ModelInfo(
        generator=generator, recipe=RecipeConfig(recipe="aligned"), in_channels=3, out_channels=3,
        jitter=JitterConfig(size=SIDE, resize=SIDE, fit="stretch"),
    )  # fmt: skip
    save_model(folder, info, build_generator(generator, 3, 3).state_dict(), None)
    return folder


def bare_rate(model: Path, seconds: float) -> float:
    """Return the images a second that the model itself translates in this process, one after the other."""
    from calco import imaging
    from calco.inference.translator import load
    from calco.networks.machine import make_ready

    translator = load(model)
    make_ready(translator.device, exact=True)
    images = [imaging.decode(data, "a.jpg") for data in photographs(8)]
    for image in images:
        translator(image)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        translator(images[count % len(images)])
        count += 1
    return count / (time.perf_counter() - began)


async def learn(there: Studio, model: str) -> Requests:
    """Ask for each image once, with nobody else about, and note the digests of the answers."""
    files = photographs(IMAGES)
    asked = Requests([form({"model": model}, [("image", "a.jpg", "image/jpeg", data)]) for data in files])
    for body, kind in asked.bodies:
        answer = await ask(there.port, "POST", f"{API}/translate", body, kind)
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}: {answer.body[:300]!r}")
        asked.digests.append(hashlib.sha256(answer.body).hexdigest())
    if len(set(asked.digests)) != IMAGES:
        raise SystemExit("different images have the same answer")
    return asked


def check_exact(model: Path, there: Studio, name: str) -> None:
    """Compare an answer with the image of the model itself, bit by bit."""
    import numpy as np

    from calco import imaging
    from calco.inference.translator import load

    (data,) = photographs(1)
    body, kind = form({"model": name}, [("image", "a.jpg", "image/jpeg", data)])
    answer = asyncio.run(ask(there.port, "POST", f"{API}/translate", body, kind))
    right = load(model)(imaging.decode(data, "a.jpg"))
    if not np.array_equal(imaging.decode(answer.body, "a.png"), right):
        raise SystemExit("an answer differs from the image of calco.load")


async def one(there: Studio, asked: Requests, number: int, counts: Counts) -> None:
    """Ask for one image, and count what came of it."""
    body, kind = asked.bodies[number]
    try:
        answer = await asyncio.wait_for(ask(there.port, "POST", f"{API}/translate", body, kind), _PATIENCE)
    except (OSError, EOFError, TimeoutError) as error:
        counts.answers[f"lost ({type(error).__name__})"] += 1
        return
    if answer.status == 200:
        is_right = hashlib.sha256(answer.body).hexdigest() == asked.digests[number]
        counts.answers["right" if is_right else "wrong"] += 1
        counts.seconds.append(answer.seconds)
    elif answer.status == 503:
        counts.answers["refused" if answer.headers.get("retry-after") else "refused without Retry-After"] += 1
    else:
        counts.answers[f"status {answer.status}"] += 1


async def steady(there: Studio, asked: Requests, clients: int, seconds: float) -> tuple[Counts, float]:
    """Let clients ask one request after the other; return the counts and the right answers a second."""
    counts, began = Counts(), time.perf_counter()

    async def client(first: int) -> None:
        number = first
        while time.perf_counter() - began < seconds:
            await one(there, asked, number % IMAGES, counts)
            number += 7  # no two clients go the same way

    await asyncio.gather(*(client(5 * number) for number in range(clients)))
    return counts, counts.answers["right"] / (time.perf_counter() - began)


async def overload(there: Studio, asked: Requests, rate: float, seconds: float) -> tuple[Counts, list[float]]:
    """Send requests at a rate, whatever becomes of them; return the counts and the memory over time, megabytes."""
    counts, memory, began, number = Counts(), list[float](), time.perf_counter(), 0
    waiting: set[asyncio.Task[None]] = set()
    measured = began
    while (now := time.perf_counter()) - began < seconds:
        while number < (now - began) * rate:
            task = asyncio.create_task(one(there, asked, number % IMAGES, counts))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
            number += 1
        if now >= measured:
            memory.append(there.megabytes())
            measured = now + max(0.5, seconds / 400)
        await asyncio.sleep(0.005)
    await asyncio.gather(*waiting)
    counts.answers["sent"] = number
    return counts, memory


async def browsers(there: Studio, count: int) -> list[float]:
    """Let browsers fetch the page and what it names, at once; return the seconds until each had the page."""
    assets = (await _page(there))[:6]

    async def browser() -> float:
        began = time.perf_counter()
        await _page(there)
        seconds = time.perf_counter() - began
        for path in assets:
            answer = await ask(there.port, "GET", path)
            if answer.status not in (200, 304):
                raise SystemExit(f"{path}: status {answer.status}")
        return seconds

    return sorted(await asyncio.gather(*(browser() for _ in range(count))))


async def _page(there: Studio) -> list[str]:
    """Fetch the first page; return the addresses that it names on this machine."""
    path = "/"
    for _ in range(5):
        answer = await ask(there.port, "GET", path, headers={"Accept": "text/html", "Accept-Language": "es"})
        if answer.status not in (301, 302, 303, 307, 308):
            break
        path = "/" + answer.headers["location"].split("//")[-1].partition("/")[2]
    if answer.status != 200 or not answer.body:
        raise SystemExit(f"the page {path}: status {answer.status}")
    found = re.findall(r'(?:src|href)="([^"]+\.(?:js|css|svg|woff2?))"', answer.body.decode("utf-8", "replace"))
    base = path.rpartition("/")[0]
    return [each if each.startswith("/") else f"{base}/{each.removeprefix('./')}" for each in found if "//" not in each]


# ---- The table ----


def growth(memory: Sequence[float]) -> tuple[float, float]:
    """Return the memory after a fifth of the time, when all caches are full, and that at the end, as medians."""
    part = max(1, len(memory) // 10)
    return statistics.median(memory[2 * part : 3 * part] or memory), statistics.median(memory[-part:])


def machine() -> str:
    """Return the processor and the number of its cores that this process may use."""
    names = re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def write_section(mark: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between two marks of a page."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    whole = page.read_text(encoding="utf-8")
    if begin not in whole or end not in whole:
        raise SystemExit(f"{page} has no marks {begin} and {end}")
    before, after = whole.partition(begin)[0], whole.partition(end)[2]
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")


def measured(arguments: argparse.Namespace) -> tuple[str, list[str]]:
    """Measure; return the table in Markdown, and what was not as it should be."""
    wrong: list[str] = []
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as room:
        model = arguments.model or untrained(Path(room) / "small")
        bare = bare_rate(model, arguments.seconds)
        with studio(model, options=("--queue", "64", "--per-client", "64")) as there:
            name = next(iter(json.loads(asyncio.run(ask(there.port, "GET", f"{API}/health")).body)["models"]))
            check_exact(model, there, name)
            asked = asyncio.run(learn(there, name))
            counts, rate = asyncio.run(steady(there, asked, arguments.clients, arguments.seconds))
            rows += [
                ("the model alone, images/s", f"{bare:.1f}"),
                (f"{arguments.clients} clients, images/s", f"{rate:.1f} ({rate / bare:.2f} of the model alone)"),
                ("median and 99 % of the answers", f"{_ms(counts.percentile(0.5))} and {_ms(counts.percentile(0.99))}"),
            ]
            wrong += _faults(counts, may_refuse=False)
            times = asyncio.run(browsers(there, arguments.browsers))
            rows.append((f"{arguments.browsers} browsers at once, the page", f"the last after {times[-1]:.2f} s"))
            wrong += [f"the page came after {times[-1]:.2f} s"] if times[-1] > 2 else []
            if arguments.minutes:
                counts, memory = asyncio.run(overload(there, asked, 2 * rate, 60 * arguments.minutes))
                begin, end = growth(memory)
                right, refused = counts.answers["right"], counts.answers["refused"]
                rows += [
                    (f"{arguments.minutes:g} minutes at twice that rate",
                     f"{right:,} right, {refused:,} refused by 503, of {counts.answers['sent']:,}"),
                    ("median and 99 % of the answers",
                     f"{_ms(counts.percentile(0.5))} and {_ms(counts.percentile(0.99))}"),
                    ("memory after a fifth of it, and at its end", f"{begin:.0f} MB and {end:.0f} MB"),
                ]  # fmt: skip
                wrong += _faults(counts, may_refuse=True)
                wrong += [f"memory has grown from {begin:.0f} to {end:.0f} MB"] if end > 1.05 * begin + 20 else []
            if there.process.poll() is not None:
                wrong.append("the studio has ended")
    head = f"{machine()}; `small` at {SIDE}x{SIDE} in float32, JPEG in, PNG out:" if not arguments.model else machine()
    table = "\n".join(["| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])
    return f"{head}\n\n{table}", wrong


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def _faults(counts: Counts, *, may_refuse: bool) -> list[str]:
    """Return what must not be among the answers."""
    fine = {"right", "sent", *(["refused"] if may_refuse else [])}
    found = [f"{number} {what}" for what, number in counts.answers.items() if what not in fine]
    answered = sum(number for what, number in counts.answers.items() if what != "sent")
    if "sent" in counts.answers and answered != counts.answers["sent"]:
        found.append(f"{answered} answers to {counts.answers['sent']} requests")
    return found


def main() -> None:
    """Measure, print the table, and leave with status 1 if something was not as it should be."""
    parser = Arguments(__doc__)
    parser.add_argument("--model", type=Path, help="a translator; by default an untrained one of the preset small")
    parser.add_argument("--clients", type=int, default=16, help="clients that ask one request after the other")
    parser.add_argument("--seconds", type=float, default=20.0, help="time of the model alone, and of the clients")
    parser.add_argument("--browsers", type=int, default=200, help="browsers that open the page at once")
    parser.add_argument("--minutes", type=float, default=30.0, help="time at twice the capacity; 0 for none")
    parser.add_argument("--write", action="store_true", help="put the table into docs/serve.md")
    arguments = parser.parse_args()
    table, wrong = measured(arguments)
    print(table)
    if arguments.write:
        write_section("the load, by tools/studio_load.py", table)
    for each in wrong:
        print(f"wrong: {each}", file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
