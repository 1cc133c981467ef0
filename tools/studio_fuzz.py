"""Send the studio mutated uploads, and what its OpenAPI allows: nothing may break it, and no file may stay.

python tools/studio_fuzz.py                     10,000 uploads, then schemathesis
python tools/studio_fuzz.py --uploads 500       fewer
python tools/studio_fuzz.py --seed 7            others
python tools/studio_fuzz.py --write             also put the table into docs/serve.md

Uploads are cut off, changed in places, of another type than they say, bombs, and files of two types at once, in forms
and in JSON, whole and broken, to each address that takes files. They derive from the seed and their number alone.
"""

import asyncio
import base64
import contextlib
import io
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from arguments import Arguments
from studio_load import API, Studio, ask, form, machine, photographs, studio, untrained, write_section

_AT_ONCE: Final = 8  # uploads
_SETTLE: Final = 20.0  # seconds that cancelled jobs are given to end
Data = bytes


# ---- Files ----


def files() -> dict[str, Data]:
    """Return small files of the types that the studio takes, and of others, by their names."""
    import av
    from PIL import Image as Pillow

    (photo,) = photographs(1, 64)
    made: dict[str, Data] = {"a.jpg": photo}
    image = Pillow.open(io.BytesIO(photo))
    for name, how in {"a.png": {}, "a.webp": {}, "a.bmp": {}, "a.tif": {}, "a.gif": {}, "a.avif": {}}.items():
        file = io.BytesIO()
        image.save(file, {"tif": "TIFF"}.get(name[2:], name[2:].upper()), **how)
        made[name] = file.getvalue()
    file = io.BytesIO()
    image.save(file, "GIF", save_all=True, append_images=[image.rotate(90)], duration=100)
    made["moving.gif"] = file.getvalue()
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
        for _ in range(5):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    made["a.mp4"] = file.getvalue()
    made["a.zip"] = archive({"1.png": made["a.png"], "x/2.jpg": photo})
    made["a.svg"] = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    made["a.html"] = b"<!doctype html><script>fetch('/api/v1/jobs')</script>"
    made["a.txt"] = b"no image at all\n" * 20
    made["a.pdf"] = b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    made["a.exe"] = b"MZ" + bytes(58) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0"
    made["a.pt"] = archive({"archive/data.pkl": b"\x80\x02cos\nsystem\n."})
    made["empty"] = b""
    return made


def archive(entries: Mapping[str, Data]) -> Data:
    """Return a ZIP."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
    return file.getvalue()


def png_bomb(width: int, height: int) -> Data:
    """Return a PNG of a few kilobytes whose header claims so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    head = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bombs() -> dict[str, Data]:
    """Return small files that unpack to large ones."""
    flat = bytes(64 << 20)
    return {
        "wide.png": png_bomb(60_000, 60_000), "max.png": png_bomb(2**31 - 1, 2**31 - 1), "thin.png": png_bomb(2**30, 1),
        "flat.zip": archive({"flat.bmp": flat}),
        "nested.zip": archive({"in.zip": archive({"flat.bmp": flat})}),
        "many.zip": archive({f"{number}.png": b"" for number in range(3000)}),
        "up.zip": archive({"../../../../tmp/calco-was-here.png": photographs(1, 64)[0]}),
        "wide.gif": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\x80\0\0\0\0\0\xff\xff\xff,"
                    + struct.pack("<HHHH", 0, 0, 65_535, 65_535) + b"\0\x02\x02D\x01\0;",
        "deep.tif": b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHLL", 256, 4, 1, 2**32 - 1) + struct.pack("<L", 8),
    }  # fmt: skip


@dataclass(frozen=True)
class Upload:
    """One mutated upload."""

    kind: str  # how it was mutated, for the table
    name: str
    media: str
    data: Data


class Uploads:
    """Mutated uploads by their numbers.

    Args:
        seed: Seed of all of them.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.files, self.bombs = seed, files(), bombs()
        self.kinds: dict[str, Callable[[np.random.Generator], Upload]] = {
            "cut off": self._cut, "changed bytes": self._changed, "zeroed": self._zeroed, "spliced": self._spliced,
            "another type": self._another, "two types at once": self._polyglot, "bomb": self._bomb,
            "longer": self._longer, "whole": self._whole,
        }  # fmt: skip

    def get(self, number: int) -> Upload:
        """Return the upload of a number."""
        rng = np.random.default_rng([self.seed, number])
        return list(self.kinds.values())[number % len(self.kinds)](rng)

    def _file(self, rng: np.random.Generator) -> tuple[str, Data]:
        name = str(rng.choice([*self.files]))
        return name, self.files[name]

    def _as(self, kind: str, rng: np.random.Generator, name: str, data: Data) -> Upload:
        """Return an upload, whose name or media type is now and then not its own."""
        names = [name, name, name, "../../etc/passwd", "a.png\0.exe", "ñandú 🦤.jpg", "x" * 3000, "", "a.png\r\nX: y",
                 "CON", "|id", "a.mp4"]  # fmt: skip
        medias = ["image/png", "image/jpeg", "video/mp4", "application/zip", "text/html", "application/octet-stream",
                  "x" * 300, ""]  # fmt: skip
        return Upload(kind, str(rng.choice(names)), str(rng.choice(medias)), data)

    def _cut(self, rng: np.random.Generator) -> Upload:
        name, data = self._file(rng)
        return self._as("cut off", rng, name, data[: int(rng.integers(0, max(1, len(data))))])

    def _changed(self, rng: np.random.Generator) -> Upload:
        name, data = self._file(rng)
        changed = bytearray(data)
        for place in rng.integers(0, max(1, len(data)), int(rng.integers(1, 30))) if data else ():
            changed[place] = int(rng.integers(0, 256))
        return self._as("changed bytes", rng, name, bytes(changed))

    def _zeroed(self, rng: np.random.Generator) -> Upload:
        name, data = self._file(rng)
        begin = int(rng.integers(0, max(1, len(data))))
        length = int(rng.integers(1, 200))
        fill = b"\0" if rng.random() < 0.5 else b"\xff"
        return self._as("zeroed", rng, name, data[:begin] + fill * length + data[begin + length :])

    def _spliced(self, rng: np.random.Generator) -> Upload:
        name, data = self._file(rng)
        _, other = self._file(rng)
        cut, from_ = int(rng.integers(0, max(1, len(data)))), int(rng.integers(0, max(1, len(other))))
        return self._as("spliced", rng, name, data[:cut] + other[from_:])

    def _another(self, rng: np.random.Generator) -> Upload:
        name, _ = self._file(rng)
        _, data = self._file(rng)
        return self._as("another type", rng, name, data)

    def _polyglot(self, rng: np.random.Generator) -> Upload:
        name, data = self._file(rng)
        _, other = self._file(rng)
        return self._as("two types at once", rng, name, data + other)

    def _bomb(self, rng: np.random.Generator) -> Upload:
        name = str(rng.choice([*self.bombs]))
        return self._as("bomb", rng, name, self.bombs[name])

    def _longer(self, rng: np.random.Generator) -> Upload:
        name, data = self._file(rng)
        return self._as("longer", rng, name, data + rng.bytes(int(rng.integers(1, 5000))))

    def _whole(self, rng: np.random.Generator) -> Upload:
        return self._as("whole", rng, *self._file(rng))


# ---- Requests ----


@dataclass
class Counts:
    """What came of the uploads."""

    statuses: dict[str, Counter[str]] = field(default_factory=dict)  # by kind of upload
    wrong: list[str] = field(default_factory=list)
    jobs: int = 0  # accepted, and then cancelled

    def add(self, kind: str, status: str) -> None:
        """Count an answer."""
        self.statuses.setdefault(kind, Counter())[status] += 1


def request(upload: Upload, models: Mapping[str, str], rng: np.random.Generator) -> tuple[str, Data, str, int | None]:
    """Return path, body, media type and, where it is wrong, the claimed length of a request with an upload."""
    path = f"{API}/" + str(rng.choice(["translate", "translate", "detect", "jobs", "jobs"]))
    kind = "detector" if path.endswith("detect") else "translator"
    model = models.get(kind, "none") if rng.random() < 0.95 else "../" * 5
    names = ["file"] if path.endswith("jobs") else ["image"] if rng.random() < 0.7 else ["image", "mask"]
    way = rng.random()
    if way < 0.2 and not path.endswith("jobs"):
        encoded = base64.b64encode(upload.data).decode()
        text = json.dumps({"model": model, **dict.fromkeys(names, encoded)})
        return path, (text if way < 0.18 else text[: len(text) // 2]).encode(), "application/json", None
    body, media = form({"model": model}, [(name, upload.name, upload.media, upload.data) for name in names])
    if way < 0.8:
        return path, body, media, None
    broken: list[tuple[Data, str, int | None]] = [
        (body[: int(rng.integers(0, len(body)))], media, None), (body, "multipart/form-data", None),
        (body, media.replace("calco", "other"), None), (body, "application/json", None), (body, "", None),
        (upload.data, media, None), (body * 2, media, None), (body[: len(body) // 2], media, len(body)),
        (body.replace(b'name="', b'name="x'), media, None),
    ]  # fmt: skip
    return path, *broken[int(rng.integers(0, len(broken)))]


async def send(there: Studio, uploads: Uploads, number: int, models: Mapping[str, str], counts: Counts) -> None:
    """Send the upload of a number; cancel the job that it has become."""
    upload = uploads.get(number)
    path, body, media, length = request(upload, models, np.random.default_rng([uploads.seed, number, 1]))
    try:
        answer = await asyncio.wait_for(ask(there.port, "POST", path, body, media, length=length), 90)
    except (OSError, EOFError, TimeoutError) as error:
        cut = length is not None and not isinstance(error, TimeoutError)
        counts.add(upload.kind, "cut off by us" if cut else "no answer")
        if not cut:
            counts.wrong.append(f"upload {number} ({upload.kind}, {path}): {type(error).__name__} {error}")
        return
    counts.add(upload.kind, str(answer.status))
    if answer.status >= 500 and answer.status != 503:
        counts.wrong.append(f"upload {number} ({upload.kind}, {path}): {answer.status} {answer.body[:200]!r}")
    text = answer.body[:5000].decode("utf-8", "replace")
    if answer.status >= 400 and (str(there.folder) in text or "Traceback" in text or "site-packages" in text):
        counts.wrong.append(f"upload {number} ({upload.kind}, {path}): an inner path in {text[:300]}")
    if answer.status == 202:
        counts.jobs += 1
        job = json.loads(answer.body)["id"]
        ended = await ask(there.port, "DELETE", f"{API}/jobs/{job}")
        if ended.status != 204:
            counts.wrong.append(f"upload {number}: DELETE of its job gave {ended.status}")


async def fuzz(there: Studio, uploads: Uploads, most: int, models: Mapping[str, str]) -> Counts:
    """Send uploads, some at once, and look at what they leave behind."""
    counts, numbers = Counts(), iter(range(most))

    async def sender() -> None:
        for number in numbers:
            await send(there, uploads, number, models, counts)

    await asyncio.gather(*(sender() for _ in range(_AT_ONCE)))
    if there.process.poll() is not None:
        counts.wrong.append(f"the studio has ended with status {there.process.returncode}")
        return counts
    health = await ask(there.port, "GET", f"{API}/health")
    if health.status != 200:
        counts.wrong.append(f"the studio is not well: {health.status}")
    left: list[str] = []
    for _ in range(round(_SETTLE / 0.2)):
        if not (left := files_left(there)):
            break
        await asyncio.sleep(0.2)
    counts.wrong += [f"left behind: {name}" for name in left[:10]]
    return counts


def files_left(there: Studio) -> list[str]:
    """Return the files of uploads that are still there, and what was written where a ZIP wanted it."""
    jobs = [path for path in (there.folder / "jobs").rglob("*") if path.is_file() and "jobs.sqlite" not in path.name]
    others = [path for path in there.temporary.rglob("*") if path.is_file()]
    outside = [Path("/tmp/calco-was-here.png")]
    found = [path for path in (*jobs, *others, *outside) if path.exists() and not path.name.endswith(".calco.lock")]
    return [str(path) for path in found]


def schemathesis(there: Studio, examples: int) -> tuple[str, bool]:
    """Let schemathesis ask all that the OpenAPI allows; return what it says at the end, and whether all was well."""
    address = f"http://127.0.0.1:{there.port}{API}/openapi.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", address, "--max-examples", str(examples), "--seed", "1",
               "--checks", "all", "--no-color"]  # fmt: skip
    with tempfile.TemporaryDirectory() as room:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=room)
    return done.stdout + done.stderr, done.returncode == 0


# ---- The table ----


def table(counts: Counts, uploads: int) -> str:
    """Return what came of the uploads as a table."""
    seen = sorted({status for each in counts.statuses.values() for status in each})
    lines = [f"| {uploads:,} uploads | {' | '.join(seen)} |", f"|---{'|---' * len(seen)}|"]
    for kind, each in counts.statuses.items():
        lines.append(f"| {kind} | {' | '.join(f'{each[status]:,}' if each[status] else '' for status in seen)} |")
    return "\n".join(lines)


def models_in(room: Path) -> list[Path]:
    """Write a small translator and, if the extra for detectors is there, a small detector."""
    made = [untrained(room / "small")]
    with contextlib.suppress(ImportError):
        import torch

        from calco.detection.lite import LiteDetector
        from calco.detection.model import DetectorInfo, save_detector

        torch.manual_seed(0)
        info = DetectorInfo(architecture="lite", settings={"width": 16, "depth": 1}, classes=("dog",), size=64)
        save_detector(room / "dogs", info, LiteDetector(1, width=16, depth=1))
        made.append(room / "dogs")
    return made


def served(there: Studio) -> dict[str, str]:
    """Return the name of a model of each kind."""
    found: list[dict[str, Any]] = json.loads(asyncio.run(ask(there.port, "GET", f"{API}/models")).body)
    return {each["kind"]: each["name"] for each in found}


def main() -> None:
    """Send the uploads, print the table, and leave with status 1 if something was not as it should be."""
    parser = Arguments(__doc__)
    parser.add_argument("--uploads", type=int, default=10_000, help="mutated uploads")
    parser.add_argument("--examples", type=int, default=100, help="requests of schemathesis an operation; 0: none")
    parser.add_argument("--seed", type=int, default=0, help="seed of the uploads")
    parser.add_argument("--write", action="store_true", help="put the table into docs/serve.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as room:
        models = models_in(Path(room))
        with studio(*models, options=("--per-client", "64")) as there:
            counts = asyncio.run(fuzz(there, Uploads(arguments.seed), arguments.uploads, served(there)))
            text = f"{machine()}:\n\n{table(counts, arguments.uploads)}"
            wrong = counts.wrong
            if arguments.examples:
                said, is_fine = schemathesis(there, arguments.examples)
                print(said)
                wrong += [] if is_fine else ["schemathesis has found something, see above"]
                result = "no failure" if is_fine else "failures"
                text += f"\n\nschemathesis, {arguments.examples} examples for each operation: {result}."
    print(text)
    if arguments.write:
        write_section("the mutated uploads, by tools/studio_fuzz.py", text)
    for each in wrong[:40]:
        print(f"wrong: {each}", file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
