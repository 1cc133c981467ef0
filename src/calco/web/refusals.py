"""Refusals: what the studio says to a client, in English and Spanish, and by a status of HTTP."""

import re
from typing import Any, Final

from calco.errors import CalcoError

_PATH: Final = re.compile(r"(?<![\w:/.])(?:~|\.{0,2})(?:/[^\s/:;,()'\"]+){2,}")


class RefusedError(CalcoError):
    """A request is not answered as asked.

    Attributes:
        status: Status of HTTP.
        seconds: Seconds after which to ask again; 0 if that does not help.
        spanish: The message in Spanish.
    """

    status = 422
    seconds = 0

    def __init__(self, english: str, spanish: str) -> None:
        super().__init__(english)
        self.spanish = spanish


class QueueFullError(RefusedError):
    """The studio takes no further work now; the same request succeeds later."""

    status = 503
    seconds = 2


class TooSlowError(QueueFullError):
    """A request was not answered in the time that is allowed."""


class UnknownModelError(RefusedError):
    """A request names a model that is not served."""

    status = 404


# Reason => status of HTTP, the sentence in English and in Spanish.
_UPLOADS: Final[dict[str, tuple[int, str, str]]] = {
    "empty": (422, "the upload is empty; choose a file", "el archivo está vacío; elige otro"),
    "kind": (
        415,
        "the upload is not an image; send PNG, JPEG, WebP, AVIF, HEIC, GIF, BMP or TIFF",
        "el archivo no es una imagen; envía PNG, JPEG, WebP, AVIF, HEIC, GIF, BMP o TIFF",
    ),
    "library": (
        415,
        "the upload is HEIC, which this studio cannot read; send it as JPEG or PNG",
        "el archivo es HEIC, que este estudio no puede leer; envíalo como JPEG o PNG",
    ),
    "damaged": (
        422,
        "the image is damaged or cut short; send it again, or save it anew as PNG",
        "la imagen está dañada o incompleta; envíala de nuevo, o guárdala otra vez como PNG",
    ),
    "pixels": (
        413,
        "the image has {width} x {height} pixels, and at most {most:,} are taken; make it smaller",
        "la imagen tiene {width} x {height} píxeles, y se aceptan {most:,} como máximo; hazla más pequeña",
    ),
    "claims": (
        413,
        "the image claims to have more than {most:,} pixels, the limit here; make it smaller",
        "la imagen dice tener más de {most:,} píxeles, el límite aquí; hazla más pequeña",
    ),
    "disk": (
        503,
        "the disk of the studio is full; ask for room there, and send it again",
        "el disco del estudio está lleno; pide que se libere espacio, y envíalo de nuevo",
    ),
    "bytes": (
        413,
        "the upload has more than {most:,} bytes, the limit here; make it smaller",
        "el archivo tiene más de {most:,} bytes, el límite aquí; hazlo más pequeño",
    ),
    "slow": (
        408,
        "the upload came too slowly and was ended; send it again over a faster connection",
        "el archivo llegó demasiado despacio y se interrumpió; envíalo de nuevo con una conexión más rápida",
    ),
}


class UploadError(RefusedError):
    """An upload cannot be used.

    Args:
        reason: Name of the reason, such as "damaged".
        values: What stands in the sentence.
    """

    def __init__(self, reason: str, **values: Any) -> None:
        self.reason = reason
        self.status, english, spanish = _UPLOADS[reason]
        self.seconds = 60 if self.status == 503 else 0
        super().__init__(english.format(**values), spanish.format(**values))


def without_paths(message: str) -> str:
    """Return a message with file names in place of whole paths: clients need not know the folders of the studio.

    >>> without_paths("cannot read /home/ana/runs/faces/model.json: damaged")
    'cannot read model.json: damaged'
    """
    return _PATH.sub(lambda found: found[0].rpartition("/")[2], message)
