"""What programs and pages may send to the studio that cannot be used: answered by one line in their language."""

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bad_inputs.making import encoded
from video.videos import make_video
from web.archives import REFUSED, bomb, image_bytes, zip_bytes

if TYPE_CHECKING:
    from web.studios import Site

Files = list[tuple[str, bytes]]
"""Names of fields, and the files in them."""
_FOUR_HOURS = 4 * 3600 * 100  # hundredths of a second


@dataclass(frozen=True)
class BadRequest:
    """A form that cannot be used.

    Attributes:
        what: What is wrong, for the table.
        path: Where it is sent, below /api/v1.
        files: Makes its files, in an empty folder.
        status: Status of HTTP of the answer.
        model: Name of the model that is asked.
        fields: Further fields.
    """

    what: str
    path: str
    files: Callable[[Path], Files]
    status: int
    model: str = "faces"
    fields: Mapping[str, str] = field(default_factory=dict)

    def answers(self, site: "Site", room: Path) -> tuple[str, str]:
        """Send it, and return what is said in English and in Spanish."""
        files, said = self.files(room), []
        for language in ("en", "es"):
            data = {"model": self.model, **self.fields}
            answer = site.post(
                f"/api/v1/{self.path}", data=data, headers={"Accept-Language": language},
                files=[(name, ("upload", content)) for name, content in files],
            )  # fmt: skip
            assert answer.status_code == self.status, (self.what, answer.status_code, answer.text)
            said.append(str(answer.json()["detail"]))
        return said[0], said[1]


def one(name: str, data: bytes) -> Callable[[Path], Files]:
    return lambda _room: [(name, data)]


def four_hours(room: Path) -> Files:
    return [("file", make_video(room / "v.mp4", 3, times=[0, _FOUR_HOURS // 2, _FOUR_HOURS]).read_bytes())]


def cut_video(room: Path) -> Files:
    return [("file", make_video(room / "v.mp4", 20).read_bytes()[:300])]


def masked_video(room: Path) -> Files:
    return [("file", make_video(room / "v.mp4", 3).read_bytes()), ("mask", zip_bytes({"a.png": image_bytes()}))]


def huge() -> bytes:
    """A PNG of some bytes whose header claims 60,000 x 60,000 pixels."""
    parts = ((b"IHDR", struct.pack(">LLBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b""))
    chunks = [struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))
              for kind, data in parts]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


TEXT = b"This is no image. " * 100
CASES = (
    BadRequest("a text as an image", "translate", one("image", TEXT), 415),
    BadRequest("nothing as an image", "translate", one("image", b""), 422),
    BadRequest("an image that is cut off", "translate", one("image", encoded("PNG")[:200]), 422),
    BadRequest("a small file that claims billions of pixels", "translate", one("image", huge()), 413),
    BadRequest("a model that is not served", "translate", one("image", image_bytes()), 404, "nobody"),
    BadRequest("a detector asked for an image", "translate", one("image", image_bytes()), 404, "people"),
    BadRequest("a text as a video", "jobs", one("file", TEXT), 415),
    BadRequest("a video that is cut off", "jobs", cut_video, 415),
    BadRequest("a video of four hours", "jobs", four_hours, 413),
    BadRequest("a ZIP with `../`", "jobs", one("file", zip_bytes({"../a.png": image_bytes()})), 422),
    BadRequest("a ZIP that is a bomb", "jobs", one("file", bomb()), 413),
    BadRequest("a ZIP with a link", "jobs", one("file", REFUSED["link"][0]()), 422),
    BadRequest("a ZIP with a password", "jobs", one("file", REFUSED["encrypted"][0]()), 422),
    BadRequest("a ZIP in a ZIP", "jobs", one("file", zip_bytes({"a.zip": zip_bytes({})})), 422),
    BadRequest("a ZIP without images", "jobs", one("file", zip_bytes({})), 422),
    BadRequest("a ZIP that is cut off", "jobs", one("file", zip_bytes({"a.png": image_bytes()})[:-30]), 422),
    BadRequest("a mask for a model that fills no holes", "jobs",
               lambda _: [("file", image_bytes()), ("mask", image_bytes())], 422),
    BadRequest("a mask that is not an image", "jobs", lambda _: [("file", image_bytes()), ("mask", TEXT)], 415,
               "scratches"),
    BadRequest("a ZIP as the mask of a video", "jobs", masked_video, 422, "scratches"),
    BadRequest("an image of a job that claims billions of pixels", "jobs", one("file", huge()), 413),
    BadRequest("a mask for a detector", "jobs", lambda _: [("file", image_bytes()), ("mask", image_bytes())], 422,
               "people"),
    BadRequest("a ZIP of masks with `../`", "jobs",
               lambda _: [("file", image_bytes()), ("mask", zip_bytes({"../a.png": image_bytes()}))], 422, "scratches"),
    BadRequest("a ZIP of masks that is a bomb", "jobs", lambda _: [("file", image_bytes()), ("mask", bomb())], 413,
               "scratches"),
    BadRequest("a mask of billions of pixels", "jobs", lambda _: [("file", image_bytes()), ("mask", huge())], 413,
               "scratches"),
    BadRequest("classes over the image, of a model without classes", "jobs", one("file", image_bytes()), 422,
               fields={"overlay": "true"}),
    BadRequest("less flicker of an image", "jobs", one("file", image_bytes()), 422, fields={"steady": "true"}),
    BadRequest("a threshold for a model that finds nothing", "jobs", one("file", image_bytes()), 422,
               fields={"threshold": "0.5"}),
    BadRequest("a seed for a detector", "jobs", one("file", image_bytes()), 422, "people", {"noise_seed": "7"}),
)  # fmt: skip
