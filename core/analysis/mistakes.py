"""The wrong test images, each with its two neighbours: nearest of the true class, nearest of the predicted class.

Also the right ones, with the nearest of the true class and the nearest of any other.
"""

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
    wrong = np.flatnonzero(embedded.predicted != data.test.labels)  # (M,)
    queries = embedded.test[wrong].astype(np.float64)  # (M, D)
    table = _labelled(data, embedded, wrong)
    for name, wanted in (("nearest_true", data.test.labels[wrong]), ("nearest_predicted", embedded.predicted[wrong])):
        table |= _columns(name, data, *_nearest_of_class(queries, wanted, embedded.train, data.train.labels))
    return pd.DataFrame(table, columns=COLUMNS)


def right_ones(data: DataSet, embedded: Embedded) -> pd.DataFrame:
    """One row a test image classified correctly, in the order of the test set.

    Columns as in COLUMNS, but with `nearest_other_…` in place of `nearest_predicted_…`: the nearest training image of
    any other class, which is called `other`.
    """
    right = np.flatnonzero(embedded.predicted == data.test.labels)
    queries, labels = embedded.test[right].astype(np.float64), data.test.labels[right]
    table = _labelled(data, embedded, right)
    table |= _columns("nearest_true", data, *_nearest_of_class(queries, labels, embedded.train, data.train.labels))
    nearest, distance = np.zeros(len(right), np.int64), np.full(len(right), np.inf)
    for label in range(len(data.classes)):  # one class after another takes part, where it is another one
        rows = np.flatnonzero(labels != label)
        wanted = np.full(len(rows), label)
        index, far = _nearest_of_class(queries[rows], wanted, embedded.train, data.train.labels)
        nearer = far < distance[rows]
        nearest[rows[nearer]], distance[rows[nearer]] = index[nearer], far[nearer]
    table["other"] = [data.class_numbers[data.train.labels[row]] for row in nearest]
    return pd.DataFrame(table | _columns("nearest_other", data, nearest, distance))


def _labelled(data: DataSet, embedded: Embedded, rows: np.ndarray) -> dict:
    """The columns that say what these test images are and what they are called."""
    return {
        "test_index": rows,
        "id": [data.test.ids[row] for row in rows],
        "true": [data.class_numbers[label] for label in data.test.labels[rows]],
        "predicted": [data.class_numbers[label] for label in embedded.predicted[rows]],
        "score": embedded.scores[rows],
    }


def _columns(name: str, data: DataSet, nearest: np.ndarray, distance: np.ndarray) -> dict:
    ids = [data.train.ids[row] for row in nearest]
    return {f"{name}_index": nearest, f"{name}_id": ids, f"{name}_distance": distance}


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
