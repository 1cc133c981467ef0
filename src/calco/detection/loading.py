"""Loading of a detector from a run, a model folder, or an exported file."""

from pathlib import Path

from calco.detection.exported import load_exported
from calco.detection.model import Detector, detector_folder, load_detector
from calco.errors import CalcoError
from calco.files import digest
from calco.inference.folder import is_exported
from calco.networks.machine import make_ready


def open_detector(
    path: str | Path, *, runtime: str = "auto", device: str = "auto", precision: str = "auto"
) -> Detector:
    """Load a detector.

    Args:
        path: A run, a model folder, or a file that `calco detect export` wrote.
        runtime: torch for a run or a model folder, onnxruntime or openvino for an exported file; auto takes what fits.
        device: "cpu", "cuda", or "auto" for the GPU if there is one; exported files run on the CPU.
        precision: fp32, bf16, fp16 (on a GPU), or auto.

    Returns:
        The detector.

    Raises:
        CalcoError: It cannot be loaded, or its runtime is missing or does not fit.
    """
    if is_exported(path):
        if device not in ("auto", "cpu"):
            raise CalcoError(f"--device {device}: {path} runs on the CPU; name the model's folder for another device")
        return load_exported(path, runtime=runtime, precision=precision)
    if runtime not in ("auto", "torch"):
        raise CalcoError(
            f"--runtime {runtime} is for exported files, and {path} is none; make one: calco detect export {path}"
        )
    detector = load_detector(path, device=device, precision=precision)
    make_ready(detector.device, exact=precision == "fp32")
    return detector


def detector_digest(path: str | Path) -> str:
    """Return the digest of the weights of a detector."""
    return digest(path if is_exported(path) else detector_folder(path) / "model.safetensors")
