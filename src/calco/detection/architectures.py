"""From the name of an architecture and its settings to a network, and back to the settings that a model keeps."""

from collections.abc import Mapping
from typing import Any, Final

from calco.detection.network import DetectionNetwork
from calco.errors import CalcoError

LITE: Final = "lite"


def build_network(architecture: str, settings: Mapping[str, Any], num_classes: int) -> DetectionNetwork:
    """A network with the first weights that chance gives it.

    Args:
        architecture: "lite", or the name that transformers has for a kind of model, such as "rt_detr_v2".
        settings: What it is built from: `width` and `depth` of "lite", or what `transformer.settings_of` gives.
        num_classes: How many classes it tells apart.

    Raises:
        CalcoError: When there is no such architecture, or the settings do not fit it.
    """
    if architecture == LITE:
        from calco.detection.lite import LiteDetector

        try:
            return LiteDetector(num_classes, **settings)
        except (TypeError, ValueError) as error:
            given = str(dict(settings))[:200]
            raise CalcoError(f"{given} are not settings of lite ({error}); it has width and depth") from error
    from calco.detection.transformer import TransformerDetector

    return TransformerDetector(architecture, settings, num_classes)
