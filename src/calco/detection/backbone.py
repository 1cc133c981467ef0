"""EfficientNet-Lite0 as a backbone of transformers' detectors, for which ImageNet's weights come with pip.

Importing this module registers it with transformers as `KIND`.
"""

from typing import Any, Final

from torch import Tensor
from transformers import AutoBackbone, AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.backbone_utils import BackboneConfigMixin, BackboneMixin
from transformers.modeling_outputs import BackboneOutput

from calco.networks.efficientnet_lite import CHANNELS, EfficientNetLite

KIND: Final = "calco_efficientnet_lite"


class LiteBackboneConfig(BackboneConfigMixin, PreTrainedConfig):  # type: ignore[misc]
    """Choice of the five feature maps that are passed on."""

    model_type = KIND

    def __init__(
        self, out_indices: list[int] | None = None, out_features: list[str] | None = None, **rest: Any
    ) -> None:
        self.stage_names = [f"stage{number}" for number in range(len(CHANNELS))]
        self.set_output_features_output_indices(out_features=out_features, out_indices=out_indices or [2, 3, 4])
        super().__init__(**rest)


class LiteBackbone(BackboneMixin, PreTrainedModel):  # type: ignore[misc]
    """The backbone as transformers calls it: pixels in [0, 1]."""

    config_class = LiteBackboneConfig
    base_model_prefix = "network"
    main_input_name = "pixel_values"
    has_attentions = False

    def __init__(self, config: LiteBackboneConfig) -> None:
        super().__init__(config)
        self.num_features = list(CHANNELS)
        self.network = EfficientNetLite()
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        """Keep torch's random weights."""

    def forward(self, pixel_values: Tensor, **_rest: Any) -> BackboneOutput:
        """N, 3, H, W in [0, 1] => the feature maps that the configuration names."""
        maps = self.network(pixel_values * 2 - 1)
        return BackboneOutput(feature_maps=tuple(maps[place] for place in self.config.out_indices))


AutoConfig.register(KIND, LiteBackboneConfig, exist_ok=True)
AutoBackbone.register(LiteBackboneConfig, LiteBackbone, exist_ok=True)
