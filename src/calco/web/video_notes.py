"""Notes on a video, such as that its sound was coded anew, in Spanish: `calco.video` has them in English alone."""

import re
from collections.abc import Mapping
from typing import Final

_SECONDS: Final = r"(\d+\.\d+) s"
_NOTES: Final[Mapping[str, str]] = {
    r"(.+) holds (\d+) video streams: the first is used": "{0} contiene {1} pistas de video: se usa la primera",
    r"(.+) holds several pages: only the first is used": "{0} contiene varias páginas: solo se usa la primera",
    r"(.+) is HDR \((.+)\): its colours are tone-mapped to SDR \(BT\.709\)": (
        "{0} es HDR ({1}): sus colores se adaptan a SDR (BT.709)"
    ),
    r"(.+) asks to be shown with (.+): its frames are turned by the nearest right angle": (
        "{0} pide mostrarse con {1}: sus fotogramas se giran al ángulo recto más cercano"
    ),
    r"(.+) has (\d+) bits a channel, the result has 8": "{0} tiene {1} bits por canal; el resultado, 8",
    r"(.+) is transparent in places: shown on its background, the result is opaque": (
        "{0} tiene partes transparentes: se muestra sobre su fondo, y el resultado es opaco"
    ),
    r"the subtitles \((.+)\) are left out: a (.+) file cannot hold them; an \.mkv file can": (
        "se omiten los subtítulos ({0}): un archivo {1} no puede contenerlos; un .mkv, sí"
    ),
    r"the sound \((.+)\) is left out: (.+) cannot hold it": "se omite el sonido ({0}): {1} no puede contenerlo",
    r"the sound \((.+)\) cannot lie in a (.+) file as it is: coded anew as (.+)": (
        "el sonido ({0}) no cabe tal cual en un archivo {1}: se codifica de nuevo como {2}"
    ),
    r"the sound of (.+) ends where the file is damaged": "el sonido de {0} termina donde el archivo está dañado",
    r"(\d+) chapters are left out: a (.+) file cannot hold them": (
        "se omiten {0} capítulos: un archivo {1} no puede contenerlos"
    ),
    r"tags that a (.+) file cannot hold are left out: (.+)": (
        "se omiten etiquetas que un archivo {0} no puede contener: {1}"
    ),
    r"(.+) of (.+) is left out": "se omite, de {1}: {0}",
    r"(\d+) frames are interlaced: deinterlaced by FFmpeg's bwdif, into one frame for two fields": (
        "{0} fotogramas están entrelazados: se desentrelazan con bwdif de FFmpeg, un fotograma por cada dos campos"
    ),
    rf"the images end at {_SECONDS} of {_SECONDS}: it is cut short": (
        "las imágenes terminan a los {0} s de {1} s: está incompleto"
    ),
    rf"the file is damaged after {_SECONDS}, nothing is read beyond": (
        "el archivo está dañado después de {0} s; lo que sigue no se lee"
    ),
    rf"frames are (.+) from {_SECONDS} on: brought to the first one's (.+)": (
        "los fotogramas son de {0} desde los {1} s: se llevan al tamaño del primero, {2}"
    ),
    rf"(\d+) damaged frames? at {_SECONDS}": "fotogramas dañados a los {1} s: {0}",
    rf"(\d+) damaged frames? from (.+) to {_SECONDS}": "fotogramas dañados de {1} a {2} s: {0}",
    rf"(\d+) undecodable packets? at {_SECONDS}": "paquetes que no se pueden decodificar a los {1} s: {0}",
    rf"(\d+) undecodable packets? from (.+) to {_SECONDS}": "paquetes que no se pueden decodificar de {1} a {2} s: {0}",
}
"""Pattern of a note => the same in Spanish."""
_WORDS: Final = {
    "the upload": "el archivo", "of unknown coding": "de codificación desconocida", "the cover image": "la carátula",
    "attached files": "los archivos adjuntos", "data (timecodes)": "los datos (códigos de tiempo)", " and ": " y ",
}  # fmt: skip
"""What stands in notes beside names and numbers."""


def spanish_note(note: str) -> str:
    """Return a note in Spanish; one that is not known stays as it is.

    >>> spanish_note("the upload: the images end at 1.16 s of 2.40 s: it is cut short")
    'el archivo: las imágenes terminan a los 1,16 s de 2,40 s: está incompleto'
    """
    place, colon, what = note.rpartition("the upload: ")
    before = "el archivo: " if colon and not place else ""
    for pattern, spanish in _NOTES.items():
        if found := re.fullmatch(pattern, what if before else note):
            return before + spanish.format(*(_spanish(part) for part in found.groups()))
    return note


def _spanish(part: str) -> str:
    for english, spanish in _WORDS.items():
        part = part.replace(english, spanish)
    return re.sub(r"^(\d+)\.(\d+)$", r"\1,\2", part)
