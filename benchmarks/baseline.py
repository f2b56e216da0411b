"""The lab sheet's loop, written plainly: what the lab is compared with.

PNG files are decoded in every epoch, all numbers are float32, a triplet batch makes three forward passes, and the
training set is embedded anew for the kNN fit, for the training accuracy and twice for every mistake. Networks and
recipes are those of the presets. `python -m benchmarks.baseline facenet --set epochs=1` runs it as it stands.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from core import places
from core.dataset import loader
from core.networks import build
from core.settings.config import RunConfig
from core.settings.presets import from_preset
from core.settings.text import parse_setting

ENLARGED = [transforms.Grayscale(3), transforms.Pad(2)]
CROPPED = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
SCALED = [transforms.ToTensor(), transforms.Normalize(0.5, 0.5)]
PLAIN = transforms.Compose(ENLARGED + SCALED)
AUGMENTED = transforms.Compose(ENLARGED + CROPPED + SCALED)


class Images(Dataset):
    """PNG files with their labels, decoded whenever they are asked for."""

    def __init__(self, split: loader.Split, transform: transforms.Compose = PLAIN):
        self.files, self.labels, self.transform = split.files, split.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(self.files[place])), self.labels[place]


class RandomTriplets(Dataset):
    """`count` random triplets: anchor, another image of its class, one of another class."""

    def __init__(self, images: Images, count: int):
        self.images, self.count = images, count
        self.of_class = {label: [] for label in set(images.labels)}
        for place, label in enumerate(images.labels):
            self.of_class[label].append(place)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, _: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        same, other = random.sample(list(self.of_class), 2)
        anchor, positive = random.sample(self.of_class[same], 2)
        negative = random.choice(self.of_class[other])
        return self.images[anchor][0], self.images[positive][0], self.images[negative][0]


class Loop:
    """A network with its optimiser and its data, as the sheet trains it. `config` is a preset of the sheet."""

    def __init__(self, config: RunConfig, images: loader.DataSet):
        random.seed(config.seed)
        torch.manual_seed(config.seed)
        self.config = config
        self.network = build.build(config, len(images.classes))
        self.optimiser = torch.optim.SGD(
            self.network.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay
        )
        self.known, self.asked = Images(images.train), Images(images.test)
        if config.objective == "triplet":
            learnt = RandomTriplets(self.known, config.triplets)
        else:
            learnt = Images(images.train, AUGMENTED)
        self.batches = DataLoader(learnt, config.batch_size, shuffle=True)

    def train(self, epoch: int, most: int | None = None) -> int:
        """One epoch, or its first `most` batches; how many there were."""
        self.network.train()
        rate = self.config.learning_rate / self.config.decay_factor ** ((epoch - 1) // self.config.decay_every)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        for count, batch in enumerate(self.batches, start=1):
            loss = self._triplet_loss(*batch) if self.config.objective == "triplet" else self._cross_entropy(*batch)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            if count == most:
                break
        return count

    def _triplet_loss(self, anchors: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        anchor, positive, negative = (self.network.embed(images) for images in (anchors, positives, negatives))
        return F.triplet_margin_loss(anchor, positive, negative, self.config.margin)

    def _cross_entropy(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.network(images).logits, labels)

    def embed(self, images: Images) -> torch.Tensor:
        """Embeddings (N, D), or the logits (N, C) of a network that has them."""
        self.network.eval()
        with torch.no_grad():
            outputs = [self.network(batch) for batch, _ in DataLoader(images, 100)]
        return torch.cat([output.embeddings if output.logits is None else output.logits for output in outputs])

    def evaluate(self) -> tuple[float, float]:
        """Training and test accuracy, fractions. Whoever votes is embedded anew for each of them."""
        if self.config.objective == "cross_entropy":
            predicted = [self.embed(images).argmax(dim=1) for images in (self.known, self.asked)]
        else:
            voters = KNeighborsClassifier(self.config.neighbours).fit(self.embed(self.known), self.known.labels)
            predicted = [torch.tensor(voters.predict(self.embed(images))) for images in (self.known, self.asked)]
        true = [torch.tensor(images.labels) for images in (self.known, self.asked)]
        train, test = ((a == b).double().mean().item() for a, b in zip(predicted, true, strict=True))
        return train, test

    def neighbours(self, place: int, predicted: int) -> list[int]:
        """The training images nearest to a test image: of its own class, and of the class it was taken for."""
        with torch.no_grad():
            query = self.network.eval().embed(self.asked[place][0][None])
        found = []
        for wanted in (self.asked.labels[place], predicted):
            embeddings = self.embed(self.known)
            members = [row for row, label in enumerate(self.known.labels) if label == wanted]
            found.append(members[int(torch.cdist(query, embeddings[members]).argmin())])
        return found


@dataclass
class Costs:
    """Seconds of the loop on this machine: a sample, timed."""

    step: float  # one batch of training, decoding included
    steps: int  # of an epoch
    evaluation: float  # after an epoch
    mistake: float  # both neighbours of one wrong test image

    def epochs(self, count: int) -> float:
        """Seconds of so many epochs, extrapolated."""
        return count * (self.steps * self.step + self.evaluation)


def measure(preset: str, folder: Path, steps: int, repeats: int = 1) -> Costs:
    """Times the loop in a process of its own, without what the lab tells PyTorch and the C library about memory."""
    command = [sys.executable, "-m", "benchmarks.baseline", preset, "--data", str(folder)]
    command += ["--sample", str(steps), "--repeats", str(repeats)]
    environment = os.environ | {"THP_MEM_ALLOC_ENABLE": "0"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Costs(**json.loads(done.stdout))


def sample(config: RunConfig, images: loader.DataSet, steps: int, repeats: int) -> Costs:
    """Times `steps` batches (the fastest of some repeats, which favours the baseline), one evaluation, one mistake."""
    loop = Loop(config, images)
    loop.train(1, most=2)  # allocations
    step = min(timed(loop.train, 1, steps) for _ in range(repeats)) / steps
    evaluation = timed(loop.evaluate)
    mistake = timed(loop.neighbours, 0, 1) if config.objective == "triplet" else 0.0
    return Costs(step, len(loop.batches), evaluation, mistake)


def timed(call, *arguments) -> float:
    """Seconds of a call."""
    begun = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begun


def main() -> None:
    """Trains a preset of the sheet the plain way and prints a line an epoch."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baseline", description=__doc__.splitlines()[0])
    parser.add_argument("preset", choices=["facenet", "densenet52", "densenet39", "resnext32"])
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="a setting that differs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=places.data_folder(), help="the data set")
    parser.add_argument("--sample", type=int, metavar="STEPS", help="time only so many steps; prints seconds as JSON")
    parser.add_argument("--repeats", type=int, default=1, help="of the sample; the fastest one counts")
    options = parser.parse_args()
    changes = dict(map(parse_setting, options.set)) | {"seed": options.seed}
    config, images = from_preset(options.preset, **changes), loader.load(options.data)
    if options.sample:
        print(json.dumps(asdict(sample(config, images, options.sample, options.repeats))))
        return
    loop, begun = Loop(config, images), time.perf_counter()
    for epoch in range(1, config.epochs + 1):
        loop.train(epoch)
        train, test = loop.evaluate()
        seconds = time.perf_counter() - begun
        print(f"epoch {epoch}: {train:.2%} training, {test:.2%} test accuracy, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
