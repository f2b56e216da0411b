"""From a configuration to a network: the backbone with its heads, its layer counts, its input."""

import re
import threading
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.settings.choices import ARCHITECTURES, OBJECTIVES, load
from core.settings.config import SPHERE_RADIUS, RunConfig

_drawing = threading.Lock()
DIGIT_SIZE = 28  # pixels: longer side to which smaller images are enlarged: MNIST's


class Outputs(NamedTuple):
    """What a network says about a batch of images."""

    embeddings: Tensor  # (B, D) float32, of length SPHERE_RADIUS
    logits: Tensor | None  # (B, C) in the precision of the forward pass; None without a classifier


class Network(nn.Module):
    """A backbone and the fully connected layers that its objective needs.

    A classifier sees the backbone's features. A projection maps them to the embedding, `embedding_size` numbers;
    without one the features are the embedding. `embedding_size` is D.
    """

    def __init__(self, backbone: nn.Module, objective: str, class_count: int, embedding_size: int):
        super().__init__()
        needs = OBJECTIVES[objective]
        features = backbone.feature_size
        self.backbone = backbone
        self.classifier = nn.Linear(features, class_count) if needs.classifies else None
        self.projection = nn.Linear(features, embedding_size) if needs.embeds else None
        self.embedding_size = embedding_size if needs.embeds else features

    def forward(self, images: Tensor) -> Outputs:
        """(B, channels, S, S) of `prepare` -> embeddings (B, D) and logits (B, C) or None."""
        features = self.backbone(images)  # (B, F)
        embeddings = features if self.projection is None else self.projection(features)
        logits = None if self.classifier is None else self.classifier(features)
        return Outputs(_on_sphere(embeddings), logits)

    def embed(self, images: Tensor) -> Tensor:
        """The embeddings alone, (B, D)."""
        return self(images).embeddings


def _on_sphere(features: Tensor) -> Tensor:
    """Each row scaled to the length SPHERE_RADIUS, in float32 (arXiv:1703.09507). (B, D) -> (B, D).

    A row of zeros stays where it is, and its gradient is finite.
    """
    return SPHERE_RADIUS * F.normalize(features.float(), dim=1, eps=1e-6)


def build(config: RunConfig, class_count: int) -> Network:
    """The network of a run with fresh weights.

    The weights are drawn from torch's global generator: seed it (`torch.manual_seed`) to get the same ones again.
    """
    kind = ARCHITECTURES[config.architecture]
    own = {name: getattr(config, name) for name in kind.settings}
    backbone = load(kind.make)(blocks=config.blocks, channels=config.channels, **own)
    network = Network(backbone, config.objective, class_count, config.embedding_size)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = config.norm_momentum
    return network


def seeded(config: RunConfig, class_count: int) -> Network:
    """The network of a run with the weights that its seed draws; torch's global generator stays as it is.

    Whatever builds a network beside a training does it here: two threads that draw from the one generator of the
    process would change each other's weights.
    """
    with _drawing, torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return build(config, class_count)


@dataclass(frozen=True)
class Summary:
    """Facts about a network, as plain numbers.

    Multiply-adds are those of convolutions and fully connected layers for one image; batch normalisation, activations,
    pooling and the additions of shortcuts are not counted. `parameters` counts every trainable number, those of batch
    normalisation included, and is therefore more than the sum over `layers`.
    """

    convolutions: int
    fully_connected: int
    parameters: int
    multiply_adds: int
    # One for each convolution, fully connected layer and pooling, in order of execution; keys: name (as a student can
    # write it after `network.`), kind, detail, output [C, H, W] or [N], parameters, multiply_adds.
    layers: list[dict]


def summarise(config: RunConfig, class_count: int = 10) -> Summary:
    """Count the layers, parameters and multiply-adds of the network that `build` makes of `config`.

    Works on torch's device "meta", where tensors have a shape but no values: nothing is drawn or multiplied, so that
    it takes milliseconds and no memory for the largest network, beside a training in another thread. The first call of
    a process takes a second or two more unless an optimiser has been made before: torch imports the same modules.
    """
    with torch.device("meta"):
        network = build(config, class_count).eval()
        image = torch.zeros(1, config.channels, config.image_size, config.image_size)
    layers = []
    for path, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            layer.register_forward_hook(
                lambda layer, inputs, output, path=path: layers.append(_describe(path, layer, output[0]))
            )
    with torch.no_grad():
        network(image)
    return Summary(
        convolutions=sum(isinstance(layer, nn.Conv2d) for layer in network.modules()),
        fully_connected=sum(isinstance(layer, nn.Linear) for layer in network.modules()),
        parameters=sum(weights.numel() for weights in network.parameters()),
        multiply_adds=sum(layer["multiply_adds"] for layer in layers),
        layers=layers,
    )


def _describe(path: str, layer: nn.Module, output: Tensor) -> dict:
    """One entry of `Summary.layers`; `output` is that of one image."""
    if isinstance(layer, nn.Conv2d):
        kind, detail = "Convolution", "{}x{}".format(*layer.kernel_size)
        detail += f", stride {layer.stride[0]}" if layer.stride[0] > 1 else ""
        detail += f", {layer.groups} groups" if layer.groups > 1 else ""
    elif isinstance(layer, nn.Linear):
        kind, detail = "Fully connected", f"{layer.in_features} to {layer.out_features}"
    elif isinstance(layer, nn.AvgPool2d):
        kind, detail = "Average pooling", f"{layer.kernel_size}x{layer.kernel_size}, stride {layer.stride}"
    else:
        kind, detail = "Average pooling", "over the whole map"
    learns = isinstance(layer, nn.Conv2d | nn.Linear)
    return {
        "name": re.sub(r"\.(\d+)", r"[\1]", path),
        "kind": kind,
        "detail": detail,
        "output": list(output.shape),
        "parameters": sum(weights.numel() for weights in layer.parameters()),
        "multiply_adds": output.numel() * layer.weight[0].numel() if learns else 0,
    }


def prepare(images: Tensor, channels: int, size: int) -> Tensor:
    """Images as every network sees them: training, gallery and test images alike.

    (B, H, W) uint8, 0 is background -> (B, channels, size, size) float32 from -1 (background) to 1, channels_last.
    An image whose longer side has 28 to `size` pixels gets a border of background, the odd pixel on the right and at
    the bottom. A smaller one is first enlarged to 28 pixels, a larger one shrunk to `size`; its proportions are kept.
    Raises TypeError for images that are not uint8.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"images are {images.dtype}; give them as torch.uint8 with values from 0 to 255")
    longer = max(images.shape[1:])
    target = min(max(longer, DIGIT_SIZE), size)
    images = images[:, None].float()  # (B, 1, H, W)
    if target != longer:
        sides = [max(1, round(side * target / longer)) for side in images.shape[2:]]
        images = F.interpolate(images, sides, mode="bilinear" if target > longer else "area")
    height, width = images.shape[2:]
    left, top = (size - width) // 2, (size - height) // 2
    images = F.pad(images, [left, size - width - left, top, size - height - top])
    images = images / 127.5 - 1  # after the padding, so that the border is as black as the background
    return repeated(images, channels)


def repeated(images: Tensor, channels: int) -> Tensor:
    """The one channel of (B, 1, H, W) as often as the network wants it: (B, channels, H, W), channels_last."""
    return images.expand(-1, channels, -1, -1).contiguous(memory_format=torch.channels_last)
