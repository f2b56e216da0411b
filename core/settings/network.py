"""The settings of the network."""

from functools import partial
from typing import Annotated

from core.settings.choices import ARCHITECTURES
from core.settings.setting import Setting, Settings, of_architecture

_setting = partial(Setting, group="network")


class NetworkSettings(Settings):
    """Which network it is."""

    architecture: Annotated[
        str,
        _setting(
            "Architecture",
            "The kind of network. Any of them can be trained with any objective.",
            choices={name: kind.title for name, kind in ARCHITECTURES.items()},
        ),
    ] = "resnet"
    blocks: Annotated[
        tuple[int, ...],
        _setting(
            "Blocks in each stage",
            "How many blocks every stage has, from the input to the output. DenseNet-52 is 2, 2, 4, 16; "
            "DenseNet-39 is 2, 5, 4, 6; ResNeXt-32 is 3, 3, 3; ResNet-18 is 2, 2, 2, 2.",
            low=1,
            high=64,
            items=(1, 6),  # each but the first halves the side of a 32x32 image
            too_many="stages shrink an image to nothing",
        ),
    ] = (2, 2, 2, 2)
    growth_rate: Annotated[
        int,
        _setting(
            "Growth rate k",
            "Feature maps that each DenseNet layer adds to those before it (k in arXiv:1608.06993).",
            low=2,
            high=64,
            unit="channels",
            when=of_architecture("growth_rate"),
            rare=True,
        ),
    ] = 12
    cardinality: Annotated[
        int,
        _setting(
            "Cardinality",
            "Parallel paths in each ResNeXt block: the groups of its 3x3 convolution (C in arXiv:1611.05431).",
            low=1,
            high=64,
            unit="paths",
            when=of_architecture("cardinality"),
            rare=True,
        ),
    ] = 16
    bottleneck_width: Annotated[
        int,
        _setting(
            "Bottleneck width",
            "Channels of each of the parallel paths in the first stage; doubled after each stage (d in "
            "arXiv:1611.05431).",
            low=1,
            high=64,
            unit="channels",
            when=of_architecture("bottleneck_width"),
            rare=True,
        ),
    ] = 8
    width: Annotated[
        int,
        _setting(
            "Width",
            "Channels of the first ResNet stage; doubled after each stage. 64 is ResNet-18; 16 learns much faster.",
            low=8,
            high=128,
            unit="channels",
            when=of_architecture("width"),
        ),
    ] = 64
    stem_stride: Annotated[
        int,
        _setting(
            "Stride of the stem",
            "2 makes the first convolution of a ResNet look at every second pixel only, so that all that follows has a "
            "quarter of the work; the weights are as many.",
            choices={1: "1 (every pixel)", 2: "2 (every second pixel)"},
            when=of_architecture("stem_stride"),
            rare=True,
        ),
    ] = 1
    channels: Annotated[
        int,
        _setting(
            "Input channels",
            "3 repeats the grey image, as networks for colour photographs expect it; 1 feeds it once.",
            choices={1: "1 (grey)", 3: "3 (grey repeated)"},
            rare=True,
        ),
    ] = 3
    image_size: Annotated[
        int,
        _setting(
            "Image size",
            "Side of the square that the network sees. MNIST's 28x28 pixels get a border of background in 32x32, as "
            "in the lab sheet; without it a step takes about a quarter less time, with the images shrunk to 24x24 "
            "about two fifths less.",
            choices={32: "32x32 pixels", 28: "28x28 pixels", 24: "24x24 pixels, shrunk"},
            rare=True,
        ),
    ] = 32
