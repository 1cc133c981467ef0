"""Names of the measures that a run logs, as the field writes them, in both languages."""

from typing import Final

from calco.report.numbers import Language

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


def measure_name(name: str, language: Language = "en") -> str:
    """Return a measure such as "map50" as the field writes it, "mAP50"; another name with spaces for underscores."""
    known = _NAMES.get(name, name.replace("_", " "))
    return known if isinstance(known, str) else known[language == "es"]
