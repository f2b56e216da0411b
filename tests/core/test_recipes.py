"""The promise of docs/extending.md, really tried: a file and a line each.

A copy of core/ gets them, and a fresh interpreter builds the network, makes one step with the rule, trains a run.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "core"

VGG = '''"""VGG: plain 3x3 convolutions, halved in size after each stage (arXiv:1409.1556)."""

from torch import Tensor, nn


class VGG(nn.Module):
    """Stages of convolutions for images of 32x32 pixels; `blocks` counts those of each stage."""

    def __init__(self, blocks: tuple[int, ...] = (1, 1, 2), width: int = 64, channels: int = 3):
        super().__init__()
        layers, inputs = [], channels
        for number, count in enumerate(blocks):
            for _ in range(count):
                outputs = width * 2**number
                convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
                inputs = outputs
            layers.append(nn.AvgPool2d(2))
        self.stages = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.feature_size = outputs

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, 32, 32) -> pooled features (B, feature_size)."""
        return self.pool(self.stages(images)).flatten(1)
'''
VGG_LINE = """    "vgg": Architecture("VGG", "core.networks.vgg:VGG", (1, 1, 2), ("width",)),"""

EASY_POSITIVE = '''"""Easy positives: each anchor's nearest positive and closest negative (arXiv:1904.04370)."""

import math

import torch
from torch import Tensor

from core.analysis.distances import pairwise_distances
from core.learning.triplets import Pairs, Triplets


def easy_positive(embeddings: Tensor, pairs: Pairs, margin: float, draw: torch.Generator) -> Triplets:
    """An image need not be near all others of its class: one is enough, so that a class may keep its several styles."""
    positive, negative = pairs  # (B, B) each
    distances = pairwise_distances(embeddings.detach(), embeddings.detach())  # (B, B)
    anchors = (positive.any(dim=1) & negative.any(dim=1)).nonzero().flatten()
    nearest_positive = distances.masked_fill(~positive, math.inf).argmin(dim=1)  # (B,)
    closest_negative = distances.masked_fill(~negative, math.inf).argmin(dim=1)  # (B,)
    return Triplets(anchors, nearest_positive[anchors], closest_negative[anchors])
'''
EASY_POSITIVE_LINE = (
    """    "easy_positive": Selection("Easy positives", "core.learning.easy_positive:easy_positive"),"""
)

PAIRS = '''"""The contrastive loss of pairs (Hadsell and others, 2006): pulls a class together, pushes others away."""

import torch
from torch import Tensor

from core.analysis.distances import pairwise_distances
from core.learning import sampling, triplets
from core.learning.objectives import Batch, Diagnostics
from core.networks.build import Outputs
from core.settings.config import RunConfig


def batch_loss(outputs: Outputs, batch: Batch, config: RunConfig) -> tuple[Tensor, Diagnostics]:
    """Mean of d^2 over pairs of one class, plus that of max(0, margin - d)^2 over pairs of two."""
    positive, negative = triplets.pairs_of(batch.labels, batch.images)  # (B, B) each
    distances = pairwise_distances(outputs.embeddings, outputs.embeddings)  # (B, B)
    pull = distances[positive].square().sum() / positive.sum().clamp(min=1)
    push = (config.margin - distances[negative]).clamp(min=0).square().sum() / negative.sum().clamp(min=1)
    return pull + push, {"spread": triplets.spread(outputs.embeddings)}


def held_back_loss(outputs: Outputs, labels: Tensor, config: RunConfig, draw: torch.Generator) -> float:
    """The mean over batches of 80 images, always the same ones."""
    losses = []
    for rows in sampling.shuffled(len(labels), 80, draw):
        part = Outputs(outputs.embeddings[rows], None)
        losses.append(batch_loss(part, Batch(labels[rows], epoch=1, draw=draw), config)[0])
    return torch.stack(losses).mean().item()
'''
PAIRS_ENTRY = """    "pairs": Objective(
        title="Contrastive loss of pairs (metric learning)",
        module="core.learning.objectives.pairs",
        sampling="balanced",
        embeds=True,
        settings=("margin",),
    ),"""

TRAIN = """
import json, sys
from pathlib import Path
from core import experiment
from core.dataset import sources
from core.learning.events import EpochDone
from core.runs import store, writing
from core.settings.config import RunConfig, applies, settings

config = RunConfig(objective="pairs", margin=8.0, width=8, blocks=(1,), channels=1, image_size=24, embedding_size=8,
                   epochs=2, learning_rate=0.003, threads=1, precision="float32")
images = sources.prepare(Path(sys.argv[1]) / "set", source="digits")
with writing.create(config, images, Path(sys.argv[1]) / "runs") as writer:
    losses = [event.train_loss for event in experiment.run(writer, images) if isinstance(event, EpochDone)]
run = store.read(writer.folder)
print(json.dumps({
    "status": run.status, "losses": losses, "history": store.history(run).test_loss.tolist(),
    "accuracy": run.result.test_accuracy, "batches": config.batches, "rule": config.predicts,
    "own": [each.name for each in settings() if each.group == "objective" and applies(each, vars(config))],
}))
"""

STEP = """
import json
import torch
from core.learning import objectives, sampling
from core.networks import build
from core.settings.config import RunConfig
from core.settings.rules import check_data
from core.settings.presets import from_preset, title

torch.set_num_threads(1)
torch.manual_seed(0)
config = from_preset("facenet", **CHANGES, margin=20.0)
assert RunConfig(**json.loads(json.dumps(config.plain()))) == config
labels = torch.arange(4).repeat(8)
check_data(config, dict.fromkeys(range(4), 8))
batch = next(iter(sampling.batches(config, labels, (0, 1, 2, 3), None, 1)))
network = build.build(config, class_count=4)
images = torch.randint(256, (len(batch), 28, 28), dtype=torch.uint8)
outputs = network(build.prepare(images, config.channels, config.image_size))
loss, seen = objectives.batch_loss(outputs, labels[batch], config, 1, sampling.generator(0))
loss.backward()
print(json.dumps({
    "title": title(config), "backbone": type(network.backbone).__name__, "selection": config.counted,
    "batches": config.batches, "loss": loss.item(), "active": seen["active_fraction"],
    "convolutions": build.summarise(config).convolutions,
    "gradients": all(bool(each.grad.abs().sum() > 0) for each in network.backbone.parameters() if each.dim() > 1),
}))
"""


def add(core: Path, file: str, text: str, line: str, listed_in: str) -> None:
    """A new file, and one line at the end of one of the tables in choices.py."""
    assert not (core / file).exists()
    (core / file).write_text(text)
    choices = (core / "settings" / "choices.py").read_text().splitlines(keepends=True)
    start = next(place for place, each in enumerate(choices) if each.startswith(f"{listed_in} = {{"))
    end = next(place for place, each in enumerate(choices) if place > start and each.startswith("}"))
    choices.insert(end, line + "\n")
    (core / "settings" / "choices.py").write_text("".join(choices))


@pytest.fixture
def copy(tmp_path) -> Path:
    return Path(shutil.copytree(CORE, tmp_path / "core", ignore=shutil.ignore_patterns("__pycache__")))


def run(core: Path, code: str, *arguments: str) -> dict:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=core.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_fourth_architecture_and_a_new_selection_rule(copy):
    add(copy, "networks/vgg.py", VGG, VGG_LINE, "ARCHITECTURES")
    add(copy, "learning/easy_positive.py", EASY_POSITIVE, EASY_POSITIVE_LINE, "SELECTIONS")
    changes = dict(architecture="vgg", width=8, embedding_size=8, selection="easy_positive")
    found = run(copy, STEP.replace("**CHANGES", f"**{changes}"))
    assert found["title"].startswith("FaceNet, architecture vgg, blocks 1-1-2, width 8")
    assert found["title"].endswith("selection easy positive, margin 20.0")
    assert (found["backbone"], found["convolutions"]) == ("VGG", 4)
    assert (found["selection"], found["batches"]) == ("easy_positive", "balanced")
    assert found["loss"] > 0
    assert found["active"] == 1  # every triplet is within such a margin
    assert found["gradients"]


def test_a_fifth_objective_is_trained(copy, tmp_path):
    add(copy, "learning/objectives/pairs.py", PAIRS, PAIRS_ENTRY, "OBJECTIVES")
    found = run(copy, TRAIN, str(tmp_path))
    assert found["status"] == "done"
    assert found["losses"][1] < found["losses"][0]
    assert found["history"][1] < found["history"][0]
    assert found["accuracy"] > 0.2  # guessing would give 0.1
    assert (found["batches"], found["rule"]) == ("balanced", "knn")
    own = {"objective", "embedding_size", "sampling", "classes_per_batch", "images_per_class", "margin"}
    assert set(found["own"]) == own


EXTENDING = (CORE.parent / "docs" / "extending.md").read_text(encoding="utf-8")


def test_the_documents_show_these_files_and_lines():
    """The text in docs/extending.md is what is tried here, to the letter."""
    for text in (VGG, VGG_LINE, EASY_POSITIVE, EASY_POSITIVE_LINE, PAIRS, PAIRS_ENTRY):
        assert text.strip("\n") in EXTENDING
