"""Folders and archives: links, paths that lead out, names, permissions, full disks."""

import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from bad_inputs.making import PREPARE, Bad, Impossible, encoded, file, mount_small
from support import BEYOND


def tar(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[Path], None]:
    """Six images in a tar file, and one member more."""

    def make(folder: Path) -> None:
        images = sorted((folder / "set").iterdir())
        with tarfile.open(folder / "images.tar", "w") as archive:
            for path in images:
                archive.add(path, path.name)
            member = tarfile.TarInfo(name)
            member.type, member.linkname, data = kind, target, encoded("PNG")
            member.size = len(data) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(data) if member.size else None)
        for path in images:
            path.unlink()
        (folder / "images.tar").rename(folder / "set" / "images.tar")

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
    mount_small(folder / "pairs", 512)


def one_stem(folder: Path) -> None:
    file("set/a.jpg", encoded("JPEG"))(folder)


def one_stem_of_two_sides(folder: Path) -> None:
    shutil.move(folder / "set", folder / "photo")
    (folder / "sketch").mkdir()
    for path in (folder / "photo").iterdir():
        ImageOps.invert(Pillow.open(path)).save(folder / "sketch" / path.name)
    (folder / "sketch" / "a.jpg").write_bytes(encoded("JPEG"))
    (folder / "set").mkdir()
    for side in ("photo", "sketch"):
        shutil.move(folder / side, folder / "set")


def several_masks(folder: Path) -> None:
    images = sorted((folder / "set").iterdir())
    for name in ("images", "masks", "gt"):
        (folder / "set" / name).mkdir()
        for path in images:
            shutil.copy(path, folder / "set" / name)
    for path in images:
        path.unlink()


def unlisted(folder: Path) -> None:
    (folder / "set" / "train.txt").write_text("a\nb\nc\n")
    (folder / "set" / "val.txt").write_text("d.png\ne.png\n")


def no_training(folder: Path) -> None:
    for name, images in (("val", "abc"), ("test", "def")):
        (folder / "set" / name).mkdir()
        for letter in images:
            (folder / "set" / f"{letter}.png").rename(folder / "set" / name / f"{letter}.png")


def all_spoiled(folder: Path) -> None:
    for path in (folder / "set").iterdir():
        path.write_bytes(path.read_bytes()[:50])


def link_to_page(folder: Path) -> None:
    (folder / "page").mkdir()
    (folder / "page" / "check.json").symlink_to("../set/a.png")


def nothing(folder: Path) -> None:
    shutil.rmtree(folder / "set")
    (folder / "set").mkdir()


CASES = (
    Bad("a tar file with an absolute path", tar("/etc/x.png"), code=0, says=("leads out",),
        about="set/images.tar: /etc/x.png"),
    Bad("a tar file with a climbing path", tar("../../x.png"), code=0, says=("leads out",),
        about="set/images.tar: ../../x.png"),
    Bad("a tar file with a link", tar("x.png", tarfile.SYMTYPE, "/etc/passwd"), code=0, says=("link",),
        about="set/images.tar: x.png"),
    Bad("links in a circle", circle, code=0, says=("listed already",), about="again"),
    Bad("a link to itself", to_itself, code=0, says=("link",), about="loop.png"),
    Bad("a link to nothing", to_nothing, code=0, says=("a link to nothing",), about="gone.png"),
    Bad("a damaged image whose name is no UTF-8", strange_name, says=("caf\\xe9.png", "cut short"), about="caf\\xe9"),
    Bad("a folder without permission", forbidden, code=0, says=("permission denied",), about="private",
        before=AS_A_USER),
    Bad("a disk that fills while shards are written", small_disk, command=PREPARE, code=2,
        says=("No space left on device", "free some space")),
    Bad("a page of somebody else under the name of the result", file("page/check.html", b"mine"), code=2,
        says=("page/check.html", "was not written by Calco", "move it away")),
    Bad("a link under the name of a result", link_to_page, code=2, says=("page/check.json", "not written by Calco")),
    Bad("a log of outputs that Calco did not write", file("page/.calco-outputs.jsonl", b"notes"), code=2,
        says=("is not a log of Calco's outputs", "move it away")),
    Bad("images of somebody else in a folder for a run", file("runs/x/samples/mine.png", encoded("PNG")), code=2,
        command="train set --recipe colorize --out runs/x --preset small --steps 1 --size 64 --resize 72 --threads 1",
        says=("holds other files, such as samples", "choose a new or empty folder")),
    Bad("two images with one stem", one_stem, code=0, fine="both are used"),
    Bad("two inputs with one stem for a target", one_stem_of_two_sides, code=0, says=("shares its name",),
        about="sketch/a.jpg"),
    Bad("several folders of masks", several_masks, code=2, says=("several folders", "--target gt")),
    Bad("an image that no list of splits names", unlisted, code=0, says=("listed in none of train.txt, val.txt",),
        about="f"),
    Bad("declared splits without training", no_training, command=PREPARE, code=2,
        says=("leave no image to train on",)),
    Bad("nothing but damaged images", all_spoiled, command=PREPARE, code=2, says=("none of the 6 images",)),
    Bad("an empty folder", nothing, code=2, says=("is empty",)),
)  # fmt: skip
