"""A detector from whatever a user names: a run, a model folder, or an exported file."""

from pathlib import Path

from calco.detection.exported import is_exported, load_exported
from calco.detection.model import Detector, detector_folder, load_detector
from calco.errors import CalcoError
from calco.files import digest
from calco.networks.machine import make_ready


def open_detector(
    path: str | Path, *, runtime: str = "auto", device: str = "auto", precision: str = "auto"
) -> Detector:
    """Loads a detector for use.

    Args:
        path: A run, a model folder, or a file that `calco detect export` wrote.
        runtime: torch for a run or a model folder, onnxruntime or openvino for an exported file; auto takes what fits.
        device: As of `load_detector`; exported files are computed on the CPU.
        precision: As of `load_detector` or `load_exported`.

    Returns:
        The detector.

    Raises:
        CalcoError: When it cannot be loaded, or what computes it is not there or does not fit.
    """
    if is_exported(path):
        if device not in ("auto", "cpu"):
            raise CalcoError(
                f"{path} is computed on the CPU, and the device is {device}; name the model's folder for it"
            )
        return load_exported(path, runtime=runtime, precision=precision)
    if runtime not in ("auto", "torch"):
        raise CalcoError(f"{runtime} computes exported files, and {path} is none; make one: calco detect export {path}")
    detector = load_detector(path, device=device, precision=precision)
    make_ready(detector.device, exact=precision == "fp32")
    return detector


def detector_digest(path: str | Path) -> str:
    """What tells one detector from another: of its weights."""
    return digest(path if is_exported(path) else detector_folder(path) / "model.safetensors")
