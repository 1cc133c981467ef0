"""Numbers and names of measures as a language writes them.

Numbers are 16,000,000, 0.5 and 30% in English, 16 000 000, 0,5 and 30 % in Spanish.
`number` in `static/studio.js` does the same in the browser, where the language of a page can be switched.
"""

import string
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

Language: TypeAlias = Literal["es", "en"]
_SPANISH: Final = str.maketrans({",": "\N{NO-BREAK SPACE}", ".": ",", "%": "\N{NO-BREAK SPACE}%"})
_NAMES: Final[dict[str, str | tuple[str, str]]] = {
    "l1": "L1", "psnr": "PSNR", "ssim": "SSIM", "ms_ssim": "MS-SSIM", "st_lpips": "ST-LPIPS",
    "psnr_inside": ("PSNR inside", "PSNR dentro"), "iou": "IoU", "dice": "Dice",
    "pixel_accuracy": ("Pixel acc.", "Exactitud de píxeles"), "colourfulness": ("Colourfulness", "Colorido"),
    "fid": "FID", "kid": "KID", "inception_score": "IS",
    "map": "mAP50-95", "map50": "mAP50", "map75": "mAP75",
    "map_small": ("mAP of small objects", "mAP de objetos pequeños"),
    "map_medium": ("mAP of medium objects", "mAP de objetos medianos"),
    "map_large": ("mAP of large objects", "mAP de objetos grandes"),
    "recall": "AR100", "f1": "F1", "threshold": ("threshold of the best F1", "umbral del mejor F1"),
}  # fmt: skip
"""Name in a log => what a reader sees; English and Spanish where they differ."""


def number(value: float, language: Language = "en", spec: str = ",") -> str:
    r"""Return a number as a language writes it.

    Args:
        value: The number.
        language: "es" or "en".
        spec: As of `format`; a comma in it groups thousands.

    >>> number(1234.5, spec=",.2f"), number(1234.5, "es", ",.2f"), number(0.3, "es", ".0%")
    ('1,234.50', '1\xa0234,50', '30\xa0%')
    """
    written = format(value, spec)
    return written.translate(_SPANISH) if language == "es" else written


class _Sentence(string.Formatter):
    """Fills braces; a number takes the form of a language."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        """Return a value as text: floats with six digits by default, without separators of thousands."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return number(value, self._language, format_spec or ("g" if isinstance(value, float) else "d"))
        return str(super().format_field(value, format_spec))


def filled(sentence: str, language: Language, values: Mapping[str, Any]) -> str:
    r"""Return a sentence with its braces filled in, such as "{most:,} pixels", numbers as its language writes them.

    >>> filled("hasta {most:,} de {name}", "es", {"most": 16_000_000, "name": "a.png"})
    'hasta 16\xa0000\xa0000 de a.png'
    """
    return _Sentence(language).vformat(sentence, (), values)


def measure_name(name: str, language: Language = "en") -> str:
    """Return a measure such as "map50" as the field writes it, "mAP50"; another name with spaces for underscores."""
    known = _NAMES.get(name, name.replace("_", " "))
    return known if isinstance(known, str) else known[language == "es"]
