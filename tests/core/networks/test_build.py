"""Every architecture with every objective; the facts of the architecture page; the one normalisation of images."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from core.networks import build
from core.settings.choices import ARCHITECTURES, OBJECTIVES, load
from core.settings.config import RunConfig
from core.settings.presets import PRESETS, from_preset

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = dict(blocks=(1, 1), width=8, embedding_size=8)


def small(seed: int = 0, **changes) -> build.Network:
    torch.manual_seed(seed)
    return build.build(RunConfig(**SMALL | changes), class_count=5)


def images_like_training(count: int, channels: int = 3) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return build.prepare(torch.randint(256, (count, 28, 28), generator=draw, dtype=torch.uint8), channels, 32)


def of_architecture(name: str, **changes) -> dict:
    """Settings of a small network of this kind."""
    small_one = dict(blocks=(1,) * len(ARCHITECTURES[name].blocks), growth_rate=4, cardinality=2, bottleneck_width=2)
    return small_one | dict(architecture=name) | changes


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_heads(architecture, objective, channels):
    network = small(**of_architecture(architecture, objective=objective, channels=channels))
    needs, features = OBJECTIVES[objective], network.backbone.feature_size
    assert isinstance(network.backbone, load(ARCHITECTURES[architecture].make))
    embeddings, logits = network(images_like_training(2, channels))
    size = 8 if needs.embeds else features
    assert embeddings.shape == (2, size)
    assert network.embedding_size == size
    torch.testing.assert_close(embeddings.norm(dim=1), torch.full((2,), 10.0))
    heads = {name: layer for name, layer in network.named_children() if name != "backbone"}
    expected = {"classifier": (features, 5)} if needs.classifies else {}
    expected |= {"projection": (features, 8)} if needs.embeds else {}
    assert {name: (layer.in_features, layer.out_features) for name, layer in heads.items()} == expected
    loss = embeddings[:, 0].sum()
    if needs.classifies:
        assert logits.shape == (2, 5)
        loss = loss + nn.functional.cross_entropy(logits, torch.tensor([0, 4]))
    else:
        assert logits is None
    loss.backward()
    assert all(weights.grad.isfinite().all() for weights in network.parameters())  # none is without
    assert network.backbone.stem.weight.grad.abs().max() > 0


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_preset_with_every_objective(objective):
    for preset in PRESETS:
        config = from_preset(preset, objective=objective, sampling="auto", selection="auto", classifier="auto")
        needs = OBJECTIVES[objective]
        assert build.summarise(config, class_count=7).fully_connected == needs.classifies + needs.embeds


def test_both_heads_see_the_features():
    network = small(objective="cross_entropy_triplet").eval()
    images = images_like_training(3)
    features, outputs = network.backbone(images), network(images)
    projected = network.projection(features)
    torch.testing.assert_close(outputs.embeddings, 10 * projected / projected.norm(dim=1, keepdim=True))
    torch.testing.assert_close(outputs.logits, network.classifier(features))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("momentum", [0.1, 0.25, 1.0])
def test_momentum_of_batch_normalisation(architecture, momentum):
    network = small(**of_architecture(architecture, norm_momentum=momentum))
    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    assert len(layers) > 2
    assert {layer.momentum for layer in layers} == {momentum}
    first = next(layer for layer in layers if layer.num_features)
    seen = []
    first.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0].detach()))
    network(images_like_training(4))
    mean = seen[0].mean(dim=(0, 2, 3))
    torch.testing.assert_close(first.running_mean, momentum * mean, rtol=1e-3, atol=1e-5)  # it began at zero


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_is_loaded_by_the_name_of_its_weights(architecture):
    """What a run has saved fits what `build` makes of its settings."""
    values = of_architecture(architecture, objective="cross_entropy_triplet")
    first, second = small(1, **values).eval(), small(2, **values).eval()
    images = images_like_training(2)
    assert not torch.equal(first(images).logits, second(images).logits)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(images).logits, second(images).logits)
    assert torch.equal(first(images).embeddings, second(images).embeddings)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_embed_is_forward_without_logits(objective):
    network = small(objective=objective).eval()
    images = images_like_training(3)
    assert torch.equal(network.embed(images), network(images).embeddings)


def test_with_cross_entropy_the_embedding_is_what_the_classifier_sees():
    network = small(objective="cross_entropy").eval()
    images = images_like_training(3)
    features = network.backbone(images)
    outputs = network(images)
    torch.testing.assert_close(outputs.embeddings, 10 * features / features.norm(dim=1, keepdim=True))
    torch.testing.assert_close(outputs.logits, network.classifier(features))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_embeddings_are_float32_under_bfloat16_autocast(architecture, objective):
    network = small(**of_architecture(architecture, objective=objective)).eval()
    images = images_like_training(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network.backbone(images).dtype == torch.bfloat16
        embeddings = network(images).embeddings
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings.norm(dim=1), torch.full((2,), 10.0))
    torch.testing.assert_close(embeddings, network(images).embeddings, atol=0.5, rtol=0)


def test_features_of_zero_have_a_finite_gradient():
    features = torch.zeros(2, 4, requires_grad=True)
    embeddings = build._on_sphere(features)
    embeddings.sum().backward()
    assert torch.equal(embeddings, torch.zeros(2, 4))
    assert features.grad.isfinite().all()


def test_same_seed_same_weights():
    first, again, other = (small(seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.stem.weight"], other["backbone.stem.weight"])


@pytest.mark.parametrize(
    ("preset", "convolutions", "parameters"),
    [
        ("densenet52", 52, 250_546),
        ("densenet39", 38, 150_496),
        ("resnext32", 31, 5_064_522),
        # torchvision's resnet18 has 11,689,512: less its 7x7 stem and 1000 classes, plus a 3x3 stem and the embedding
        ("facenet", 20, 11_689_512 - 3 * 64 * 49 - 513 * 1000 + 3 * 64 * 9 + 513 * 128),
    ],
)
def test_summary_of_the_presets(preset, convolutions, parameters):
    summary = build.summarise(from_preset(preset))
    assert summary.convolutions == convolutions
    assert summary.fully_connected == 1
    assert summary.parameters == parameters


def test_summary_counts_what_build_makes():
    config = from_preset("quick", objective="cross_entropy", channels=1)
    network = build.build(config, class_count=3)
    summary = build.summarise(config, class_count=3)
    assert summary.parameters == sum(weights.numel() for weights in network.parameters())
    assert summary.layers[-1]["output"] == [3]
    assert json.loads(json.dumps(dataclasses.asdict(summary))) == dataclasses.asdict(summary)


def test_multiply_adds_by_hand():
    config = RunConfig(architecture="resnext", blocks=(1, 1), cardinality=4, bottleneck_width=2, embedding_size=6)
    summary = build.summarise(config)
    rows = [
        # name, kind, detail, output, parameters, multiply-adds
        ("stem", "Convolution", "1x1", [64, 32, 32], 3 * 64, 64 * 32 * 32 * 3),
        ("stages[0][0].conv1", "Convolution", "1x1", [8, 32, 32], 64 * 8, 8 * 32 * 32 * 64),
        ("stages[0][0].conv2", "Convolution", "3x3, 4 groups", [8, 32, 32], 8 * 2 * 9, 8 * 32 * 32 * 2 * 9),
        ("stages[0][0].conv3", "Convolution", "1x1", [16, 32, 32], 8 * 16, 16 * 32 * 32 * 8),
        ("stages[0][0].shortcut[0]", "Convolution", "1x1", [16, 32, 32], 64 * 16, 16 * 32 * 32 * 64),
        ("stages[1][0].conv1", "Convolution", "1x1", [16, 32, 32], 16 * 16, 16 * 32 * 32 * 16),
        ("stages[1][0].conv2", "Convolution", "3x3, stride 2, 4 groups", [16, 16, 16], 16 * 36, 16 * 16 * 16 * 36),
        ("stages[1][0].conv3", "Convolution", "1x1", [32, 16, 16], 16 * 32, 32 * 16 * 16 * 16),
        ("stages[1][0].shortcut[0]", "Convolution", "1x1, stride 2", [32, 16, 16], 16 * 32, 32 * 16 * 16 * 16),
        ("pool", "Average pooling", "over the whole map", [32, 1, 1], 0, 0),
    ]
    keys = ["name", "kind", "detail", "output", "parameters", "multiply_adds"]
    expected = [dict(zip(keys, ["backbone." + row[0], *row[1:]], strict=True)) for row in rows]
    head = dict(zip(keys, ["projection", "Fully connected", "32 to 6", [6], 32 * 6 + 6, 32 * 6], strict=True))
    assert summary.layers == [*expected, head]
    assert summary.multiply_adds == sum(row[-1] for row in rows) + 32 * 6


def test_summary_shows_the_pooling_of_transitions():
    layers = build.summarise(RunConfig(architecture="densenet", blocks=(1, 1, 1, 1), growth_rate=2)).layers
    pools = [layer for layer in layers if layer["kind"] == "Average pooling"]
    assert [pool["detail"] for pool in pools] == ["2x2, stride 2"] * 3 + ["over the whole map"]
    assert pools[0]["output"] == [3, 16, 16]


def test_summary_draws_nothing_and_takes_no_memory():
    before = torch.get_rng_state()
    large = build.summarise(RunConfig(blocks=(8,) * 6, width=128))  # 13 GB of weights if it were built
    assert large.parameters > 3e9
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.zeros(1).device.type == "cpu"


@pytest.mark.parametrize("channels", [1, 3])
def test_prepare_puts_28x28_into_the_middle(channels):
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (5, 28, 28), generator=draw, dtype=torch.uint8)
    prepared = build.prepare(images, channels, 32)
    assert prepared.shape == (5, channels, 32, 32)
    assert prepared.dtype == torch.float32
    assert prepared.is_contiguous(memory_format=torch.channels_last)
    expected = torch.full((5, 32, 32), -1.0)
    expected[:, 2:30, 2:30] = images / 127.5 - 1
    for channel in prepared.unbind(dim=1):
        assert torch.equal(channel, expected)


@pytest.mark.parametrize(
    ("height", "width", "inner_height", "inner_width"),
    [
        pytest.param(8, 8, 28, 28, id="enlarged"),
        pytest.param(16, 20, 22, 28, id="enlarged, wide"),
        pytest.param(64, 48, 32, 24, id="shrunk, tall"),
        pytest.param(100, 1, 32, 1, id="shrunk to a line"),
        pytest.param(32, 32, 32, 32, id="as it is"),
        pytest.param(30, 30, 30, 30, id="border of 1"),
        pytest.param(29, 28, 29, 28, id="odd border"),
    ],
)
def test_prepare_other_sizes(height, width, inner_height, inner_width):
    prepared = build.prepare(torch.full((2, height, width), 255, dtype=torch.uint8), 3, 32)
    top, left = (32 - inner_height) // 2, (32 - inner_width) // 2
    expected = torch.full((2, 3, 32, 32), -1.0)
    expected[:, :, top : top + inner_height, left : left + inner_width] = 1.0
    torch.testing.assert_close(prepared, expected)


def test_prepare_without_a_border():
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (3, 28, 28), generator=draw, dtype=torch.uint8)
    assert torch.equal(build.prepare(images, 1, size=28)[:, 0], images / 127.5 - 1)
    assert build.prepare(torch.zeros(1, 64, 48, dtype=torch.uint8), 1, size=28).shape == (1, 1, 28, 28)
    shrunk = build.prepare(images, 1, size=24)
    assert shrunk.shape == (3, 1, 24, 24)
    torch.testing.assert_close(shrunk.mean(), (images / 127.5 - 1).mean(), rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("size", "architecture", "last"),
    [
        (28, "resnet", 4),
        (28, "resnext", 7),
        (28, "densenet", 3),
        (24, "resnet", 3),
        (24, "resnext", 6),
        (24, "densenet", 3),
    ],
)
def test_smaller_images_make_smaller_maps(size, architecture, last):
    blocks = {"blocks": (1, 1, 1)} if architecture == "resnext" else {"blocks": (1, 1, 1, 1)}
    config = RunConfig(architecture=architecture, image_size=size, **blocks)
    before = [layer for layer in build.summarise(config).layers if layer["kind"] == "Convolution"]
    assert before[0]["output"][1:] == [size, size]
    assert before[-1]["output"][1:] == [last, last]


def test_prepare_keeps_the_range_and_the_average_of_a_shrunk_image():
    draw = torch.Generator().manual_seed(0)
    for size in (8, 64):
        images = torch.randint(256, (4, size, size), generator=draw, dtype=torch.uint8)
        prepared = build.prepare(images, 1, 32)
        assert prepared.min() >= -1
        assert prepared.max() <= 1
    torch.testing.assert_close(prepared.mean(), (images / 127.5 - 1).mean())
    blocks = images.float().unflatten(1, (32, 2)).unflatten(3, (32, 2)).mean(dim=(2, 4))
    torch.testing.assert_close(prepared[:, 0], blocks / 127.5 - 1)


def test_prepare_treats_each_image_alone():
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (4, 20, 16), generator=draw, dtype=torch.uint8)
    assert torch.equal(build.prepare(images, 3, 32)[2:3], build.prepare(images[2:3], 3, 32))


def test_prepare_refuses_images_that_are_scaled_already():
    with pytest.raises(TypeError, match="uint8"):
        build.prepare(torch.zeros(1, 28, 28), 3, 32)
