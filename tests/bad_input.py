"""Every bad input that Calco knows an answer to, made and given to the real command line.

    python tests/bad_input.py

writes the answers into the table of docs/bad-input.md; tests/test_bad_input.py compares the two.
"""

import contextlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import tifffile
from PIL import Image as Pillow

from calco.cli import main
from film.films import film, model, packet_places, picture, silent_film
from support import BEYOND, ROOT

PAGE = ROOT / "docs" / "bad-input.md"
MARKS = "<!-- the answers, by tests/bad_input.py -->", "<!-- end of the answers -->"

CHECK = "check set --out page --jobs 1"
FILM = "translate model {} --out out.mp4"
PREPARE = "prepare set --recipe erase --out pairs --jobs 1"
TRAIN = "train set --recipe colorize --preset small --steps 1 --out run"


class Impossible(Exception):
    """This machine cannot make the bad input."""


@dataclass(frozen=True)
class Bad:
    """A bad input.

    Attributes:
        what: What is wrong, for the table.
        make: Makes it in the present folder, beside six pictures in the folder `set`.
        command: What is called, without `calco`.
        code: The exit code.
        says: Words that the answer must hold.
        about: The key or file of which the answer is taken, where the command goes on; nothing takes the one line of
            an error.
        fine: What happens, in words, where there is nothing to be said: all seven pictures are used.
        before: What the command is called by.
    """

    what: str
    make: Callable[[Path], None]
    command: str = CHECK
    code: int = 1
    says: tuple[str, ...] = ()
    about: str = ""
    fine: str = ""
    before: tuple[str, ...] = ()


def photo(seed: int = 0, side: int = 96) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return np.kron(chance.integers(0, 256, (6, 6, 3), dtype=np.uint8), np.ones((side // 6, side // 6, 1), np.uint8))


def encoded(kind: str, seed: int = 9, side: int = 96) -> bytes:
    Pillow.fromarray(photo(seed, side)).save(buffer := io.BytesIO(), format=kind)
    return buffer.getvalue()


def as_it_is(_room: Path) -> None:
    """Nothing is wrong with the pictures."""


def file(name: str, data: bytes | str) -> Callable[[Path], None]:
    """Puts a file beside the six pictures."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)

    return make


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(3 * 60_000 + 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def floats(value: float) -> bytes:
    numbers = (photo(9) / 255).astype(np.float32)
    numbers[3, 3] = value
    tifffile.imwrite(buffer := io.BytesIO(), numbers, photometric="rgb")
    return buffer.getvalue()


def labels(text: str, name: str = "a.xml") -> Callable[[Path], None]:
    """Boxes for all six pictures, in good order but for those of the first."""

    def make(folder: Path) -> None:
        (folder / "set").rename(folder / "images")
        (folder / "set").mkdir()
        (folder / "images").rename(folder / "set" / "images")
        ending = Path(name).suffix
        for letter in "bcdef":
            file(f"set/labels/{letter}{ending}", GOOD[ending].replace("a.png", f"{letter}.png"))(folder)
        file(f"set/labels/{name}", text)(folder)

    return make


def voc(box: str, name: str = "cat") -> str:
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box.split(), strict=True)
    )
    return (
        "<annotation><filename>a.png</filename><size><width>96</width><height>96</height></size>\n"
        f"<object><name>{name}</name><bndbox>{sides}</bndbox></object></annotation>"
    )


def labelme(corner: str = "[2, 3]") -> str:
    return (
        '{"imagePath": "a.png", "imageWidth": 96, "imageHeight": 96,\n "shapes": '
        f'[{{"label": "cat", "shape_type": "rectangle", "points": [{corner}, [40, 50]]}}]}}'
    )


GOOD = {".xml": voc("5 6 40 50"), ".json": labelme(), ".txt": "0 0.5 0.5 0.2 0.2\n"}
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><annotation><filename>&c;</filename></annotation>'
)


def coco(folder: Path) -> None:
    content = {
        "images": [
            {"id": n, "file_name": f"{letter}.png", "width": 96, "height": 96} for n, letter in enumerate("abcdef")
        ],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1 + 6 * (n == 0), "bbox": [5, 6, 30, 40]} for n in range(6)
        ],
    }
    file("set/boxes.json", json.dumps(content))(folder)


def json_lines(folder: Path) -> None:
    entry = {"label": ["Face"], "points": [{"x": 0.1, "y": 0.1}, {"x": 0.9, "y": 0.9}]}
    lines = [
        json.dumps({"content": f"http://nowhere.example/{letter}.png", "annotation": [entry]}) for letter in "abcdef"
    ]
    file("set/list.jsonl", "\n".join([lines[0][:40], *lines[1:]]))(folder)


def tar(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[Path], None]:
    """Six pictures in a tar file, and one member more."""

    def make(folder: Path) -> None:
        pictures = sorted((folder / "set").iterdir())
        with tarfile.open(folder / "pictures.tar", "w") as archive:
            for path in pictures:
                archive.add(path, path.name)
            member = tarfile.TarInfo(name)
            member.type, member.linkname, data = kind, target, encoded("PNG")
            member.size = len(data) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(data) if member.size else None)
        for path in pictures:
            path.unlink()
        (folder / "pictures.tar").rename(folder / "set" / "pictures.tar")

    return make


def circle(folder: Path) -> None:
    (folder / "set" / "again").symlink_to(folder / "set", target_is_directory=True)


def to_nothing(folder: Path) -> None:
    (folder / "set" / "gone.png").symlink_to("nowhere.png")


def to_itself(folder: Path) -> None:
    (folder / "set" / "loop.png").symlink_to("loop.png")


def strange_name(folder: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(folder / "set") + b"/caf\xe9.png")).write_bytes(encoded("PNG")[:200])
    except OSError as error:
        raise Impossible(BEYOND + "names of files that are not UTF-8") from error


def forbidden(folder: Path) -> None:
    if not shutil.which(AS_A_USER[0]):
        raise Impossible(f"{AS_A_USER[0]} is missing, without which root may read everything")
    file("set/private/x.png", encoded("PNG"))(folder)
    (folder / "set" / "private").chmod(0)


# Root may read everything: without that capability it is like everybody else.
AS_A_USER = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all") if os.getuid() == 0 else ("env",)
)


def small_disk(folder: Path) -> None:
    for number in range(30):
        pixels = np.random.default_rng(number).integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).save(folder / "set" / f"{number}.png")
    mount_small(folder / "pairs", "512k")


def mount_small(place: Path, size: str) -> None:
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise Impossible(BEYOND + "the right to mount a small disk")


def noisy_frames(count: int) -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    return [np.clip(picture(n).astype(int) + chance.integers(-40, 40, (48, 64, 3)), 0, 255).astype(np.uint8)
            for n in range(count)]  # fmt: skip


def a_film(name: str, change: Callable[[Path], None] | None = None, **how: Any) -> Callable[[Path], None]:
    """A film and a model that could translate it."""

    def make(folder: Path) -> None:
        model(folder / "model")
        path = film(folder / name, **{"frames": noisy_frames(40), **how})
        if change is not None:
            change(path)

    return make


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: packet_places(path)[24][0] + 9])


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place, length in packet_places(path)[25:28]:
        data[place : place + length] = bytes(length)
    path.write_bytes(data)


def grown(path: Path) -> None:
    other = film(path.with_name("larger.m2ts"), [picture(n, (96, 64)) for n in range(10)], options={"bf": "0"})
    path.write_bytes(path.read_bytes() + other.read_bytes())


def silent(folder: Path) -> None:
    model(folder / "model")
    silent_film(folder / "film.mp4")


def film_on_a_small_disk(folder: Path) -> None:
    a_film("film.mp4")(folder)
    mount_small(folder / "pairs", "48k")


def one_stem(folder: Path) -> None:
    file("set/a.jpg", encoded("JPEG"))(folder)


def one_stem_of_two_sides(folder: Path) -> None:
    shutil.move(folder / "set", folder / "photo")
    shutil.copytree(folder / "photo", folder / "sketch")
    (folder / "sketch" / "a.jpg").write_bytes(encoded("JPEG"))
    (folder / "set").mkdir()
    for side in ("photo", "sketch"):
        shutil.move(folder / side, folder / "set")


def all_spoiled(folder: Path) -> None:
    for path in (folder / "set").iterdir():
        path.write_bytes(path.read_bytes()[:50])


def nothing(folder: Path) -> None:
    shutil.rmtree(folder / "set")
    (folder / "set").mkdir()


def foreign_onnx(folder: Path) -> None:
    """A model of another program: one that gives what it is given."""
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise Impossible("onnx is missing") from error
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", sides[:1], sides[1:])
    file("m.onnx", helper.make_model(graph).SerializeToString())(folder)


def sly_torchscript(folder: Path) -> None:
    """A file whose code would read another file."""
    with zipfile.ZipFile(folder / "m.pt", "w") as archive:
        archive.writestr(
            "m/code/__torch__/sly.py", 'def forward(self):\n  return torch.from_file("/etc/passwd", False, 9)\n'
        )
        archive.writestr("m/extra/calco.json", DESCRIPTION)


TRANSLATE = "translate {} set --out out"


def all_labels(text: str) -> Callable[[Path], None]:
    """The same line in the labels of all six pictures."""

    def make(folder: Path) -> None:
        labels(text, "a.txt")(folder)
        for letter in "bcdef":
            file(f"set/labels/{letter}.txt", text)(folder)

    return make


def two_formats(folder: Path) -> None:
    labels("0 0.5 0.5 0.2 0.2\n", "a.txt")(folder)
    file("set/labels/b.xml", GOOD[".xml"].replace("a.png", "b.png"))(folder)


def watched(rules: str) -> Callable[[Path], None]:
    """A film, a detector of people and rules."""

    def make(folder: Path) -> None:
        from calco.detection.lite import LiteDetector
        from calco.detection.model import DetectorInfo, save_detector

        a_film("film.mkv")(folder)
        info = DetectorInfo(architecture="lite", settings={"width": 16, "depth": 1}, classes=("person",), size=96)
        save_detector(folder / "detector", info, LiteDetector(1, width=16, depth=1))
        (folder / "rules.yaml").write_text(rules)

    return make


RULES = """
zones:
  door: {shares: [[0.1, 0.1], [0.9, %s], [0.9, %s], [0.1, 0.9]]}
rules:
  - {name: waits, class: %s, zone: door, seconds: 2}
"""
WATCH = "detect watch film.mkv --model detector --rules rules.yaml --out watched"


DESCRIPTION = json.dumps(
    {
        "format": 1,
        "calco": "0.1.0",
        "kind": "torchscript",
        "precision": "fp32",
        "model": {
            "generator": {}, "recipe": {"recipe": "aligned"}, "jitter": {}, "in_channels": 3, "out_channels": 3,
            "format": 1,
        },
    }
)  # fmt: skip


CASES = (
    Bad("a JPEG cut short", file("set/x.jpg", encoded("JPEG")[:700]), says=("cut short",), about="x"),
    Bad("a PNG cut short", file("set/x.png", encoded("PNG")[:200]), says=("cut short",), about="x"),
    Bad("a PNG that claims 60,000×60,000 pixels", file("set/x.png", huge_png()), says=("too many pixels",), about="x"),
    Bad("a JPEG whose name ends in .png", file("set/x.png", encoded("JPEG")), code=0,
        fine="read as what it is"),
    Bad("a page named .jpg", file("set/x.jpg", "<html>Not found</html>"), says=("not a picture",), about="x"),
    Bad("a program in PostScript named .jpg", file("set/x.jpg", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        says=("not a picture",), about="x"),
    Bad("a file of zero bytes", file("set/x.png", b""), says=("empty",), about="x"),
    Bad("NaN in a float picture", file("set/x.tif", floats(np.nan)), says=("NaN",), about="x"),
    Bad("infinity in a float picture", file("set/x.tif", floats(np.inf)), says=("infinite",), about="x"),
    Bad("floats from 0 to 255", file("set/x.tif", floats(255.0)), says=("[0, 1]",), about="x"),
    Bad("a box outside the picture", labels(voc("120 10 150 40")), says=("a.xml", "outside"), about="a"),
    Bad("a box that reaches outside it", labels(voc("50 50 150 90")), code=0, says=("a.xml", "clipped"), about="a"),
    Bad("an empty box", labels("0 0.5 0.5 0 0.2\n", "a.txt"), says=("a.txt, line 1", "encloses nothing"), about="a"),
    Bad("an inverted box", labels(voc("60 60 20 20")), code=0, says=("a.xml", "put in order"), about="a"),
    Bad("a box of an unknown class", coco, says=("boxes.json, annotations[0]", "7"), about="a"),
    Bad("boxes in pixels where shares belong", all_labels("0 40 50 20 30\n"), code=2, says=("a.txt, line 1",),
        command="detect explore set --out page"),
    Bad("labels in two formats", two_formats, code=0, says=("YOLO text", "Pascal VOC"), about="labels/a.txt"),
    Bad("labels without their pictures", file("set/labels/z.txt", "0 0.5 0.5 0.2 0.2\n"), code=2, says=("z.txt",)),
    Bad("a number that is none, in a box", labels(labelme("[NaN, 3]"), "a.json"), says=("a.json", "number"), about="a"),
    Bad("broken JSON, one file of many", labels('{"imagePath": "a.png",\n "shapes": [}', "a.json"),
        code=1, says=("a.json: line 2, column 13", "broken JSON"), about="a.json"),
    Bad("broken JSON, a line of many", json_lines, code=1, says=("list.jsonl, line 1", "broken JSON"),
        about="list.jsonl, line 1"),
    Bad("broken JSON, the only file", file("set/boxes.json", '{"images": [\n{"id": 1,, }]}'),
        command="check set --annotations set/boxes.json --out page --jobs 1", code=2,
        says=("set/boxes.json, line 2", "broken JSON")),
    Bad("an XML bomb", labels(BOMB), code=1, says=("a.xml: line 1", "document type"), about="a.xml"),
    Bad("a tar file with an absolute path", tar("/etc/x.png"), code=0, says=("leads out",),
        about="set/pictures.tar: /etc/x.png"),
    Bad("a tar file with a climbing path", tar("../../x.png"), code=0, says=("leads out",),
        about="set/pictures.tar: ../../x.png"),
    Bad("a tar file with a link", tar("x.png", tarfile.SYMTYPE, "/etc/passwd"), code=0, says=("link",),
        about="set/pictures.tar: x.png"),
    Bad("links in a circle", circle, code=0, says=("listed already",), about="again"),
    Bad("a link to itself", to_itself, code=0, says=("link",), about="loop.png"),
    Bad("a link to nothing", to_nothing, code=0, says=("a link to nothing",), about="gone.png"),
    Bad("a damaged picture whose name is no UTF-8", strange_name, says=("caf\\xe9.png", "cut short"), about="caf\\xe9"),
    Bad("a folder without permission", forbidden, code=0, says=("permission denied",), about="private",
        before=AS_A_USER),
    Bad("a disk that fills while shards are written", small_disk, command=PREPARE, code=2,
        says=("No space left on device", "free some space")),
    Bad("two pictures with one stem", one_stem, code=0, fine="both are used"),
    Bad("two inputs with one stem for a target", one_stem_of_two_sides, says=("shares its name",),
        about="sketch/a.png"),
    Bad("nothing but damaged pictures", all_spoiled, command=PREPARE, code=2, says=("none of the 6 pictures",)),
    Bad("an empty folder", nothing, code=2, says=("is empty",)),
    Bad("a film cut short", a_film("film.mkv", cut_short), command=FILM.format("film.mkv"), code=0,
        says=("film.mkv", "cut short")),
    Bad("a film whose index is cut off", a_film("film.mp4", cut_short), command=FILM.format("film.mp4"), code=2,
        says=("no film, or damaged",)),
    Bad("a film with damaged packets", a_film("film.mp4", damaged), command=FILM.format("film.mp4"), code=0,
        says=("undecodable packets from 2.",)),
    Bad("a film of sound alone", silent, command=FILM.format("film.mp4"), code=2, says=("only sound",)),
    Bad("a film of odd size", a_film("film.mkv", frames=[picture(n, (65, 49)) for n in range(5)], codec="ffv1"),
        command=FILM.format("film.mkv"), code=0, says=("the size is odd",)),
    Bad("a film of ten bits", a_film("film.mkv", pixels="yuv420p10le"), command=FILM.format("film.mkv"), code=0,
        says=("10 bits",)),
    Bad("a film with a colour for each pixel", a_film("film.mkv", pixels="yuv444p"), command=FILM.format("film.mkv"),
        code=0, says=("4:4:4",)),
    Bad("a transparent film", a_film("film.mov", frames=[np.dstack([picture(n), picture(n)[..., :1]]) for n in (1, 2)],
        codec="png", pixels="rgba"), command=FILM.format("film.mov"), code=0, says=("transparent",)),
    Bad("a film whose frames become larger", a_film("film.m2ts", grown, options={"bf": "0"}),
        command=FILM.format("film.m2ts"), code=0, says=("96x64 from",)),
    Bad("an encoder that is not there", a_film("film.mp4"), command=FILM.format("film.mp4") + " --codec h266", code=2,
        says=("no encoder for h266",)),
    Bad("a film that its result would replace", a_film("film.mp4"), command="translate model film.mp4 --out film.mp4",
        code=2, says=("would replace",)),
    Bad("a disk that fills while a film is written", film_on_a_small_disk, code=2,
        command="translate model film.mp4 --out pairs/out.mp4 --quality 2", says=("No space left", "is kept")),
    Bad("a table of groups with a row cut short", file("set/groups.csv", "key,group\na,1\nb\n"), code=2,
        says=("set/groups.csv, line 3",)),
    Bad("a device that does not exist", as_it_is, command=f"{TRAIN} --device abacus", code=2, says=("abacus",)),
    Bad("a GPU that is not there", as_it_is, command=f"{TRAIN} --device cuda:63", code=2, says=("cuda:63",)),
    Bad("a precision that the device lacks", as_it_is, command=f"{TRAIN} --device cpu --precision fp16", code=2,
        says=("fp16", "cpu")),
    Bad("more processes than pictures", as_it_is, command=f"{TRAIN} --device cpu --processes 3", code=2,
        says=("3 processes", "fewer")),
    Bad("a Ray address that does not answer", as_it_is, code=2, says=("127.0.0.1:1",),
        command="prepare set --recipe erase --out pairs --engine ray --address 127.0.0.1:1"),
    Bad("an object store whose library is missing", as_it_is, code=2, says=("s3", "pip install"),
        command="prepare s3://bucket/set --recipe erase --out pairs"),
    Bad("an exported model cut short", file("m.onnx", b"\x08\x0a\x3a\xff\x7f" + bytes(20)), code=2,
        command=TRANSLATE.format("m.onnx"), says=("m.onnx cannot be used", "cut short")),
    Bad("an ONNX file of another program", foreign_onnx, code=2,
        command=TRANSLATE.format("m.onnx"), says=("not written by calco export",)),
    Bad("a zip file that holds no model", file("m.zip", b"PK\x05\x06" + bytes(18)), code=2,
        command=TRANSLATE.format("m.zip"), says=("no OpenVINO model",)),
    Bad("a picture named as a TorchScript file", file("m.pt", encoded("PNG")), code=2,
        command=TRANSLATE.format("m.pt"), says=("no TorchScript",)),
    Bad("a TorchScript file whose code reads a file", sly_torchscript, code=2,
        command=TRANSLATE.format("m.pt"), says=("its code calls from_file",)),
    Bad("a model of which nothing is there", file("nothing", b""), code=2,
        command="export nowhere", says=("there is no nowhere",)),
    Bad("rules about a class that the detector does not know", watched(RULES % (0.1, 0.9, "dragon")), code=2,
        command=WATCH, says=("dragon", "person")),
    Bad("a zone that crosses itself", watched(RULES % (0.9, 0.1, "person")), code=2, command=WATCH,
        says=("door", "cross")),
    Bad("a translator where a detector belongs", watched(RULES % (0.1, 0.9, "person")), code=2,
        command=WATCH.replace("--model detector", "--model model"), says=("detect",)),
    Bad("a detector of an unknown name", labels(GOOD[".xml"]), code=2,
        command="detect train set --model yolo99 --steps 1 --out run", says=("yolo99",)),
    Bad("an exported model to be exported", file("m.onnx", b"x"), code=2,
        command="export m.onnx", says=("an exported model already",)),
)  # fmt: skip


@contextlib.contextmanager
def made(bad: Bad, room: Path) -> Iterator[None]:
    """The bad input in a folder, which is the present one meanwhile."""
    (room / "set").mkdir(parents=True)
    for number, letter in enumerate("abcdef"):
        Pillow.fromarray(photo(number)).save(room / "set" / f"{letter}.png")
    bad.make(room)
    with contextlib.chdir(room):
        try:
            yield
        finally:
            if os.path.ismount("pairs"):
                subprocess.run(["umount", "pairs"], check=True)
            for folder in room.rglob("*"):
                if folder.is_dir() and not folder.is_symlink():
                    folder.chmod(0o755)


def call(bad: Bad) -> tuple[int, str]:
    """Exit code, and what was said on the standard error."""
    if bad.before:
        command = [*bad.before, sys.executable, "-m", "calco", *bad.command.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stderr
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        try:
            main(bad.command.split())
        except SystemExit as left:
            return int(left.code or 0), said.getvalue()
    return 0, said.getvalue()


def answer(bad: Bad, room: Path) -> tuple[int, str, str]:
    """Exit code, the answer in one line, and all that was said on the standard error."""
    with made(bad, room):
        code, said = call(bad)
        if code == 2:
            return code, said.strip().splitlines()[-1].removeprefix("calco: "), said
        if bad.command.startswith("translate"):
            return code, said.strip().splitlines()[-1].removeprefix("note: "), said
        report = json.loads(Path("page/check.json").read_text())
        cases = [(case["keys"], case["words"]) for finding in report["findings"] for case in finding["cases"]]
        if bad.fine:
            return code, f"{cases or report['entries']}", said
        names = (bad.about, f"images/{bad.about}", f"labels/{bad.about}")
        found = [
            words if any(Path(key).name in words for key in keys) else f"{keys[0]}: {words}"
            for keys, words in cases
            if any(key in names for key in keys)
        ]
        return code, "; ".join(found), said


def table(answers: dict[str, str]) -> str:
    """The table of the page."""
    lines = ["| bad input | command | exit code | answer |", "|---|---|---|---|"]
    for bad in CASES:
        # What libraries add in brackets changes with their versions.
        plain = re.sub(r" \((?:[^()]|\([^()]*\))*\)", "", answers[bad.what])
        shown = bad.fine or plain.replace("|", "\\|").replace("<", "&lt;")
        lines.append(f"| {bad.what} | `{bad.command.split()[0]}` | {bad.code} | {shown} |")
    return "\n".join(lines)


def written() -> list[str]:
    """The page: what stands before the table, the table, and what follows."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    answers, _, after = rest.partition(MARKS[1])
    return [before, answers.strip(), after]


if __name__ == "__main__":
    found = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            exit_code, found[case.what], _ = answer(case, Path(folder) / "room")
            print(f"{case.what} [{exit_code}]: {found[case.what]}")
    start, _, end = written()
    PAGE.write_text(f"{start}{MARKS[0]}\n{table(found)}\n{MARKS[1]}{end}", encoding="utf-8")
