"""Two trainings in turns, what their seconds say of each other, and the table made of it: for overhead and live_page.

Seconds alone say little on a machine with other work, and two runs one after the other meet different work. So the two
are trained side by side, an epoch or some in turns, while the other one stands still: what disturbs one of them for
longer than that disturbs the other as much.
"""

import statistics
import sys
import time
from collections.abc import Iterator

import torch

from benchmarks import results
from core.settings.config import RunConfig
from core.settings.presets import from_preset

LIMITS = {"loop": 1.02, "dashboard": 1.05}  # ratios that shall not be exceeded

Weights = dict[str, torch.Tensor]


class Side:
    """A training that goes on by an epoch when it is told to: its seconds, those of the processor, its last weights."""

    def __init__(self, training: Iterator[Weights]):
        self.training, self.weights, self.seconds, self.processor = training, {}, 0.0, 0.0

    def advance(self) -> bool:
        """Trains one epoch more, or what comes after the last; False if there is nothing left."""
        begun, processor_begun = time.perf_counter(), time.process_time()  # the latter of all threads
        weights = next(self.training, None)
        self.seconds += time.perf_counter() - begun
        self.processor += time.process_time() - processor_begun
        self.weights = weights or self.weights
        return weights is not None


def in_turns(*trainings: Iterator[Weights]) -> list[Side]:
    """Trains all to their ends, an epoch each in turns; who was last in a turn is the first one in the next."""
    sides = [Side(training) for training in trainings]
    order = sides
    while any([side.advance() for side in order]):
        order = order[::-1]
    return sides


def config_of(preset: str, epochs: int | None) -> RunConfig:
    """A preset, with another number of epochs if there is one."""
    return from_preset(preset, **({"epochs": epochs} if epochs else {}))


def row(what: str, config: RunConfig, ours: float, other: float, load: float) -> dict:
    """A pair: seconds of ours and of the other, and the machine's load before."""
    found = {
        "what": what,
        "preset": config.preset,
        "epochs": config.epochs,
        "our_seconds": round(ours, 3),
        "other_seconds": round(other, 3),
        "ratio": round(ours / other, 4),
        "processor_ratio": None,  # the server's other threads would count as well: for the loop only
        "load_before": round(load, 2),
        **results.circumstances(),
    }
    print(f"{what}: {ours:.2f} s against {other:.2f} s, load {load:.2f} before", file=sys.stderr, flush=True)
    return found


def summary(what: str, rows: list[dict], missing: str = "") -> dict:
    """The median of the ratios (None without any), their range, the limit, the rows; `missing` says why there is none.

    `processor` is the median ratio of the processor's seconds, for the loop.
    """
    ratios = [row["ratio"] for row in rows]
    processor = [row["processor_ratio"] for row in rows if row["processor_ratio"]]
    return {
        "what": what,
        "limit": LIMITS[what],
        "ratio": statistics.median(ratios) if ratios else None,
        "lowest": min(ratios, default=None),
        "highest": max(ratios, default=None),
        "processor": statistics.median(processor) if processor else None,
        "rows": rows,
        "missing": missing,
    }


def table(summaries: list[dict]) -> str:
    """Markdown: a line for each of `measure_loop` and `measure_dashboard`."""
    lines = [
        "| ours against | at most | median ratio | lowest to highest | processor | pairs | load before |",
        "|---|---|---|---|---|---|---|",
    ]
    others = {"loop": "a plain loop", "dashboard": "(on the live page) the command line"}
    for found in summaries:
        start = f"| {others[found['what']]} | {found['limit']} |"
        if found["missing"]:
            lines.append(f"{start} {found['missing']} | | | | |")
            continue
        loads = [row["load_before"] for row in found["rows"]]
        processor = f"{found['processor']:.3f}" if found["processor"] else ""
        spread = f"{found['lowest']:.3f} to {found['highest']:.3f}"
        lines.append(
            f"{start} {found['ratio']:.3f} | {spread} | {processor} | {len(loads)} | {min(loads)} to {max(loads)} |"
        )
    return "\n".join(lines)
