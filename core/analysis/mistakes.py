"""The wrong test images, each with its two neighbours: nearest of the true class, nearest of the predicted class."""

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet

COLUMNS = [
    "test_index",  # row of the image in test.csv, from 0
    "id",
    "true",  # the integer class of the data set, as in its CSV
    "predicted",
    "score",
    "nearest_true_index",  # row of the neighbour in train.csv, from 0
    "nearest_true_id",
    "nearest_true_distance",
    "nearest_predicted_index",
    "nearest_predicted_id",
    "nearest_predicted_distance",
]
_QUERIES_AT_ONCE = 500  # bounds the memory: 500 x 6,000 squared distances are 24 MB


def find(data: DataSet, embedded: Embedded) -> pd.DataFrame:
    """One row a misclassified test image, in the order of the test set; columns as in COLUMNS.

    Distances are plain Euclidean; of equally near training images the first in train.csv is taken.
    """
    predicted = embedded.predicted
    wrong = np.flatnonzero(predicted != data.test.labels)  # (M,)
    queries = embedded.test[wrong].astype(np.float64)  # (M, D)
    table = {
        "test_index": wrong,
        "id": [data.test.ids[row] for row in wrong],
        "true": [data.class_numbers[label] for label in data.test.labels[wrong]],
        "predicted": [data.class_numbers[label] for label in predicted[wrong]],
        "score": embedded.scores[wrong],
    }
    for name, wanted in (("nearest_true", data.test.labels[wrong]), ("nearest_predicted", predicted[wrong])):
        nearest, distance = _nearest_of_class(queries, wanted, embedded.train, data.train.labels)
        table[f"{name}_index"] = nearest
        table[f"{name}_id"] = [data.train.ids[row] for row in nearest]
        table[f"{name}_distance"] = distance
    return pd.DataFrame(table, columns=COLUMNS)


def _nearest_of_class(
    queries: np.ndarray, wanted: np.ndarray, train: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Index (M,) of the training image of class `wanted` (M,) that is nearest to each query (M, D), and its distance.

    A product of matrices says which images are too far away to matter, by far more than its error; the few that are
    left are measured one by one.
    """
    nearest, distance = np.zeros(len(queries), np.int64), np.zeros(len(queries))
    for label in np.unique(wanted):
        members = np.flatnonzero(labels == label)  # (n,)
        gallery = train[members].astype(np.float64)
        squares = np.square(gallery).sum(axis=1)
        rows = np.flatnonzero(wanted == label)
        for part in np.split(rows, range(_QUERIES_AT_ONCE, len(rows), _QUERIES_AT_ONCE)):
            asked = queries[part]
            rough = asked @ gallery.T  # (m, n), to become squared distances, less the query's own square
            rough *= -2
            rough += squares
            margin = 1e-11 * (np.square(asked).sum(axis=1, keepdims=True) + squares.max())  # a hundred times the error
            near = ~(rough > rough.min(axis=1, keepdims=True) + margin)
            for row, candidates in zip(part, near, strict=True):
                candidates = np.flatnonzero(candidates)
                measured = cdist(queries[row : row + 1], gallery[candidates])[0]
                first = measured.argmin()
                nearest[row], distance[row] = members[candidates[first]], measured[first]
    return nearest, distance
