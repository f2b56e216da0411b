"""Everything that changes while a network learns: its weights, the optimiser, where the epoch stands."""

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from core.learning.evaluate import Evaluation
from core.learning.means import Bounds, Means, anything
from core.learning.objectives import Diagnostics
from core.networks.build import Network
from core.settings.config import RunConfig


class Training:
    """Everything that changes while a network learns: what a checkpoint has to hold.

    No random state is among it: every draw comes from a generator made from (seed, purpose, epoch, step).
    """

    def __init__(self, network: Network, config: RunConfig):
        self.network = network
        self.optimiser = optimiser(network, config)
        self.average: AveragedModel | None = None  # the moving average of weights and of batch normalisation's buffers
        if config.weight_average:
            self.average = moving_average(network, config.weight_average)
        self.confused: Tensor | None = None  # (C, C) training images of the last epoch by true and predicted class
        self.best_validation = -1.0
        self.epochs_since_best = 0
        self.epoch = 1  # the epoch being learnt; one more than there are once all of them are done
        self.step = 0  # steps done in this epoch
        self.loss_sum = 0.0  # over these steps
        self.diagnostics = Means()  # over these steps

    @property
    def judged(self) -> Network:
        """The network that is evaluated and kept as the run's result."""
        return self.average.module if self.average else self.network

    def ended(self, config: RunConfig) -> bool:
        """Whether there is nothing left to do: all epochs are done, or the validation images say so."""
        early = config.patience and self.epochs_since_best >= config.patience
        return bool(early) or self.epoch > config.epochs

    def add_step(self, loss: float, diagnostics: Diagnostics) -> None:
        """Counts a step of the epoch."""
        self.step += 1
        self.loss_sum += loss
        self.diagnostics.add(diagnostics)

    def begin_next_epoch(self, evaluation: Evaluation) -> None:
        """Starts counting anew, with what the epoch's evaluation has to say to the next ones."""
        self.confused = evaluation.train_confusion
        if evaluation.validation_accuracy is not None:
            better = evaluation.validation_accuracy > self.best_validation
            self.best_validation = max(self.best_validation, evaluation.validation_accuracy)
            self.epochs_since_best = 0 if better else self.epochs_since_best + 1
        self.epoch += 1
        self.step, self.loss_sum, self.diagnostics = 0, 0.0, Means()

    def state_dict(self) -> dict:
        """Tensors and plain values, for torch.load(weights_only=True). Tensors are shared, not copied."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "diagnostic_sums": dict(self.diagnostics.sums),
            "diagnostic_counts": dict(self.diagnostics.counts),
            "average": self.average.state_dict() if self.average else None,
            "confused": self.confused,
            "best_validation": self.best_validation,
            "epochs_since_best": self.epochs_since_best,
        }

    def load_state_dict(self, state: dict, bounds: Bounds = anything) -> None:
        """The inverse, checked; the sums of the diagnostics lie within `bounds`.

        Raises ValueError with the reason, KeyError or RuntimeError for a state of another network.
        """
        self.network.load_state_dict(state["network"])
        try:
            self.optimiser.load_state_dict(state["optimiser"])
        except ValueError as error:  # in torch's words
            raise ValueError("an optimiser that does not fit the network") from error
        for weights, kept in self.optimiser.state.items():  # torch compares only how many there are
            if any(value.shape not in ((), weights.shape) for value in kept.values() if torch.is_tensor(value)):
                raise ValueError("an optimiser that does not fit the network")
        self.epoch, self.step, self.loss_sum = state["epoch"], state["step"], state["loss_sum"]
        self.diagnostics = Means.checked(state["diagnostic_sums"], state["diagnostic_counts"], bounds)
        if self.average:
            self.average.load_state_dict(state["average"])
        self.confused = state["confused"]
        self.best_validation, self.epochs_since_best = state["best_validation"], state["epochs_since_best"]


def optimiser(network: Network, config: RunConfig) -> torch.optim.Optimizer:
    """How a gradient becomes a step."""
    if config.optimiser == "adamw":
        # fused: one pass over the weights, in a third of the time. SGD is left as it is: wide networks would lose by it
        return torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
    return torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )


def moving_average(network: Network, decay: float) -> AveragedModel:
    """The exponential moving average of a network, to be updated after each step.

    Of the old average (1 + n) / (10 + n) is kept at step n, at most `decay`: the first weights, which have learnt
    nothing, are forgotten early (as in TensorFlow's ExponentialMovingAverage with num_updates).
    """

    def update(averages: list[Tensor], weights: list[Tensor], count: Tensor) -> None:
        n = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averages, weights, count)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)
