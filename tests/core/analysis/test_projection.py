"""PCA against scikit-learn; UMAP: shape, repeatability, neighbourhoods, and one fit at a time."""

import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.decomposition import PCA

from core.analysis import projection


def two_clouds(count: int = 20, size: int = 8) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(2 * count, size)).astype(np.float32)
    points[count:] += 30
    return points


# PCA


@pytest.mark.parametrize(("count", "size"), [(50, 8), (8, 50), (40, 2)])
def test_pca_is_that_of_scikit_learn_up_to_sign(count, size):
    draw = np.random.default_rng(1)
    embeddings = (draw.normal(size=(count, size)) * np.arange(1, size + 1) + 5).astype(np.float32)
    frame = projection.pca(embeddings)
    assert frame.shape == (count, 2)
    assert frame.dtype == np.float32
    expected = PCA(2, svd_solver="full").fit_transform(embeddings.astype(np.float64))
    expected *= np.sign((frame * expected).sum(axis=0))
    np.testing.assert_allclose(frame, expected, atol=1e-4)
    assert frame[:, 0].var() > frame[:, 1].var()


def test_pca_gives_the_same_picture_again():
    embeddings = two_clouds()
    frame = projection.pca(embeddings)
    np.testing.assert_array_equal(projection.pca(embeddings.copy()), frame)
    np.testing.assert_allclose(projection.pca(embeddings[::-1]), frame[::-1], atol=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_the_largest_part_of_each_direction_is_positive(seed):
    embeddings = np.random.default_rng(seed).normal(size=(30, 5)) * (5, 4, 1, 1, 1)
    directions = np.linalg.lstsq(embeddings - embeddings.mean(axis=0), projection.pca(embeddings), rcond=None)[0]
    np.testing.assert_allclose(directions.T @ directions, np.eye(2), atol=1e-5)
    assert (directions[np.abs(directions).argmax(axis=0), [0, 1]] > 0).all()


def test_pca_keeps_distances_in_a_plane():
    embeddings = np.zeros((30, 9), np.float32)
    embeddings[:, [2, 5]] = np.random.default_rng(2).normal(size=(30, 2)) * (3, 1)
    frame = projection.pca(embeddings)
    expected = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(frame[:, None] - frame[None], axis=2), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_pca_of_other_precisions(dtype):
    embeddings = (two_clouds() + 100).astype(dtype)
    frame = projection.pca(embeddings)
    assert frame.dtype == np.float32
    np.testing.assert_allclose(frame.mean(axis=0, dtype=np.float64), 0, atol=1e-4)


# UMAP


def test_umap():
    embeddings = two_clouds()
    kept = embeddings.copy()
    frame = projection.umap(embeddings, seed=3)
    assert frame.shape == (40, 2)
    assert frame.dtype == np.float32
    assert np.isfinite(frame).all()
    np.testing.assert_array_equal(embeddings, kept)
    np.testing.assert_array_equal(projection.umap(embeddings, seed=3), frame)
    assert not np.array_equal(projection.umap(embeddings, seed=4), frame)
    distances = np.linalg.norm(frame[:, None] - frame[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 20 == np.arange(40) // 20).all()  # everyone's neighbour is of its own cloud


def test_umap_of_few_points_and_of_a_collapsed_embedding():
    assert projection.umap(two_clouds(count=3), seed=0).shape == (6, 2)
    assert np.isfinite(projection.umap(np.ones((20, 4), np.float32), seed=0)).all()


def in_threads(count: int, work) -> list:
    """What `work(0)`, `work(1)`, … return, called at the same time."""
    results = [None] * count

    def call(number: int):
        results[number] = work(number)

    threads = [threading.Thread(target=call, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


def test_two_threads_at_once_both_finish():
    embeddings = two_clouds()
    first, second = in_threads(2, lambda number: projection.umap(embeddings, seed=number))
    np.testing.assert_array_equal(first, projection.umap(embeddings, seed=0))
    np.testing.assert_array_equal(second, projection.umap(embeddings, seed=1))


def test_fits_never_run_at_the_same_time(monkeypatch):
    running, most = [], []

    class Slow:
        def __init__(self, n_neighbors, random_state, n_jobs):
            self.n_neighbors = n_neighbors

        def fit_transform(self, embeddings):
            running.append(True)
            most.append(len(running))
            time.sleep(0.02)
            running.pop()
            return np.full((len(embeddings), 2), self.n_neighbors, np.float64)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Slow))
    frames = in_threads(4, lambda number: projection.umap(np.zeros((5 * (number + 1), 3)), seed=0))
    assert most == [1, 1, 1, 1]
    assert [int(frame[0, 0]) for frame in frames] == [4, 9, 14, 15]  # 15 neighbours, if there are so many others


def test_a_failed_fit_does_not_block_the_next(monkeypatch):
    def fail(**options):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=fail))
        with pytest.raises(MemoryError):
            projection.umap(two_clouds(), seed=0)
    assert in_threads(1, lambda _: projection.umap(two_clouds(), seed=0))[0] is not None


def test_warm_up():
    projection.warm_up()
