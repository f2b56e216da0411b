"""Command of maps: the embeddings of a run in two dimensions, epoch by epoch."""

import argparse
from pathlib import Path

import numpy as np

from core import maps
from core.analysis.projection import Layout
from core.commands import Commands, Result, Wrong, find_run, images_of, one_of, positive, say
from core.dataset.loader import DataError, DataSet
from core.runs.files import StoreError, replacing
from core.runs.store import Run


def add(commands: Commands) -> None:
    """Names the command of this file."""
    drawing = commands.add("map", draw, "draw a run's embeddings in two dimensions, as .npz files").run().data_of_run()
    drawing.option("--method", type=one_of(maps.METHODS, "method"), default="umap", help="umap or pca (default: umap)")
    which = one_of(("last", "all"), "choice of epochs")
    drawing.option("--epochs", type=which, default="last", help="last or all (default: last)")
    drawing.option("--neighbours", type=positive, metavar="K", help="of umap: more show larger groups (default: 15)")
    drawing.option("--min-dist", type=_share, metavar="D", help="of umap: less makes groups denser (default: 0.1)")
    drawing.option("--seed", type=_seed, metavar="N", help="of umap (default: the run's)")
    drawing.out("the folder for the files (default: maps/ in the run's folder)", "DIR")


def draw(options: argparse.Namespace) -> Result:
    """A file an epoch with `train` (N, 2) and `test` (Q, 2), and how far each can be trusted."""
    run, layout = find_run(options), _layout(options)
    epochs = maps.epochs(run)
    epochs = epochs if options.epochs == "all" else epochs[-1:]
    images = _images(run, options, needed=0 in epochs)
    folder: Path = options.out or run.folder / "maps"
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for frame in maps.frames(run, options.method, epochs, images, layout):
        file = folder / f"{options.method}_{frame.epoch:04d}.npz"
        with replacing(file) as stream:
            np.savez(stream, train=frame.points[: run.data.train], test=frame.points[run.data.train :])
        made.append(
            {
                "epoch": frame.epoch,
                "method": options.method,
                "file": str(file),
                "trustworthiness": frame.trustworthiness,
                "knn_agreement": frame.knn_agreement,
                "residual_motion": frame.residual_motion,
            }
        )
        motion = "" if frame.residual_motion is None else f", moved by {frame.residual_motion:.3f} of its size"
        say(
            f"epoch {frame.epoch}: {file}, trustworthiness {frame.trustworthiness:.3f}, "
            f"{frame.knn_agreement:.1%} of the neighbours kept{motion}"
        )
    if 0 in epochs and made[0]["epoch"]:
        say("without epoch 0: what the untrained network made of the images cannot be computed here")
    return {"frames": made}, 0


def _layout(options: argparse.Namespace) -> Layout:
    """How UMAP is to draw. Raises Wrong for PCA, which knows none of this."""
    wanted = {"neighbours": options.neighbours, "min_dist": options.min_dist, "seed": options.seed}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if wanted and options.method != "umap":
        raise Wrong(f"--{next(iter(wanted)).replace('_', '-')} is for --method umap")
    if wanted.get("neighbours", 2) < 2:
        raise Wrong("--neighbours 1 is the point alone; use 2 or more")
    return Layout(**wanted)


def _share(text: str) -> float:
    """The type of a minimum distance."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to below 1")
    return value


def _seed(text: str) -> int:
    """The type of a seed."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return int(text)


def _images(run: Run, options: argparse.Namespace, needed: bool) -> DataSet | None:
    """The run's images, which only the map before training needs; those that --data names have to be the run's."""
    if not (needed or options.data):
        return None
    try:
        return images_of(run, options)
    except (DataError, StoreError) as error:
        if options.data:
            raise
        say(str(error))
        return None
