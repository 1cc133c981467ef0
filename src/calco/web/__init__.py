"""The studio: models in a browser and by REST. Its configuration is light; the rest needs the extra `web`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from tyro.conf import Positional, arg

from calco.errors import UsageError
from calco.records import check_numbers
from calco.report.server import LOOPBACK, HostRule

_TOKEN: Final = "CALCO_TOKEN"
_SHORTEST: Final = 16  # characters of a token


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Serve models to browsers and to programs: images, videos, the crime dashboard, runs while they train."""

    models: Annotated[tuple[str, ...], Positional, arg(metavar="MODEL")] = ()
    """Runs, model folders, or files that calco export or calco detect export wrote; by default the model that comes
    with Calco, which colours line drawings."""
    crime: str = ""
    """Database of calco crime load, a file that ends in .duckdb or a URL; its charts are at /crime."""
    runs: str = ""
    """Folder of runs, shown with their curves and samples while they train."""
    language: Literal["es", "en"] = "es"
    """Language in which the charts open, and the pages of browsers that ask for neither Spanish nor English."""
    host: str = LOOPBACK
    """Address to listen on: 127.0.0.1 for this machine alone, 0.0.0.0 for the whole network, which needs a token."""
    port: int = 7860
    """Port; 0 for any free one."""
    names: tuple[str, ...] = ()
    """Further host names of this machine, such as calco.example.org behind a proxy. Its own names are known;
    requests for any other name are refused, because they may come from another site."""
    token: str = ""
    """Secret that every request must bring, 16 characters or more; by default the variable CALCO_TOKEN, and for other
    hosts than this machine a random one, which is printed."""
    open: bool = False
    """Let other machines in without a token."""
    browser: bool = False
    """Open the page in the browser of this machine."""
    device: str = "auto"
    """cpu, cuda, or auto for the GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Precision of convolutions; fp32 gives the images of calco.load, auto takes bf16 where the machine has
    instructions for it."""
    queue: int = 64
    """Largest number of images that wait or are in work at once; further requests are refused with 503."""
    per_client: int = 32
    """Largest number of these that one address may have."""
    seconds: float = 60.0
    """Longest time of a request, from its first byte to its answer; that of an upload of a job grows with its bytes."""
    image_megabytes: float = 32.0
    """Largest upload of an image, in 1,000,000 bytes."""
    megapixels: float = 16.0
    """Largest image, in 1,000,000 pixels, checked before it is decoded."""
    video_megabytes: float = 1000.0
    """Largest upload of a job, in 1,000,000 bytes."""
    video_minutes: float = 60.0
    """Longest video."""
    jobs: int = 100
    """Largest number of videos and archives that wait."""
    keep_hours: float = 24.0
    """Hours after which a job, its upload and its result are deleted."""
    keep_gigabytes: float = 10.0
    """Size of all uploads and results, in 1,000,000,000 bytes, beyond which the oldest finished ones are deleted."""
    folder: str | Path = ""
    """Folder of the jobs and of the access log; by default one for each port in ~/.local/state/calco."""

    def __post_init__(self) -> None:
        """Check the numbers, and that other machines need a token or are let in expressly."""
        check_numbers(
            self, port=(0, 65_535), queue=(1, 10_000), per_client=(1, 10_000), seconds=(1, 3600),
            image_megabytes=(0.1, 1000), megapixels=(0.01, 178), video_megabytes=(1, 100_000),
            video_minutes=(0.1, 1440), jobs=(1, 10_000), keep_hours=(0.1, 8760), keep_gigabytes=(0.1, 10_000),
        )  # fmt: skip
        _check_token(self.token, "--token")
        if self.open and self.token:
            raise UsageError("--open lets everybody in, and --token asks for a secret; leave one of them out")

    @property
    def is_local(self) -> bool:
        """True if this machine alone can reach the studio."""
        return not HostRule.of(self.host).any_address

    def secret(self) -> str:
        """Return the token that requests need, "" for none; a random one where other machines could come without."""
        import secrets

        if self.open:
            return ""
        known = os.environ.get(_TOKEN, "")
        _check_token(known, _TOKEN)
        return self.token or known or ("" if self.is_local else secrets.token_urlsafe(24))

    def work_folder(self, port: int) -> Path:
        """Return the folder of the jobs and of the access log of the studio at a port."""
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(self.folder) if self.folder else Path(state) / "calco" / f"studio-{port}"


def _check_token(token: str, name: str) -> None:
    if token and not (len(token) >= _SHORTEST and token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(
            f"{name} has {len(token)} characters; a token has {_SHORTEST} or more letters, digits and signs of ASCII: "
            "leave it out to get a random one"
        )
