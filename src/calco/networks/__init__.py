"""The networks: plain modules that can be used alone."""

from calco.networks.build import DiscriminatorConfig, GeneratorConfig, build_discriminator, build_generator
from calco.networks.generator import Generator
from calco.networks.layers import count_parameters
from calco.networks.patchgan import PatchGAN, receptive_field
from calco.networks.resnet import ResnetGenerator
from calco.networks.unet import UNet

__all__ = [
    "DiscriminatorConfig",
    "Generator",
    "GeneratorConfig",
    "PatchGAN",
    "ResnetGenerator",
    "UNet",
    "build_discriminator",
    "build_generator",
    "count_parameters",
    "receptive_field",
]
