"""The tables of a run that are for people; the program computes from the embeddings."""

import numpy as np
import pandas as pd

from core.analysis import mistakes
from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet
from core.runs.progress import Progress
from core.runs.writing import RunWriter


def save_history(writer: RunWriter, progress: Progress) -> None:
    """Writes history.csv."""
    if progress.rows:
        writer.save_table("history.csv", progress.table())


def save_predictions(writer: RunWriter, images: DataSet, embedded: Embedded) -> None:
    """Writes predictions.csv and mistakes.csv."""
    test = images.test
    columns = {"id": test.ids, "true": images.numbers(test.labels), "predicted": images.numbers(embedded.predicted)}
    writer.save_table("predictions.csv", pd.DataFrame(columns | {"score": embedded.scores}))
    writer.save_table("mistakes.csv", mistakes.find(images, embedded))


def mistakes_made(images: DataSet, embedded: Embedded) -> int:
    """How many test images are misclassified."""
    return int(np.count_nonzero(embedded.predicted != images.test.labels))
