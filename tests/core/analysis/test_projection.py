"""PCA against scikit-learn; UMAP: shape, repeatability, neighbourhoods, and one fit at a time."""

import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

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
    frame = projection.umap(np.ones((20, 4), np.float32), seed=0)
    np.testing.assert_array_equal(frame, np.broadcast_to(frame[:1], (20, 2)))


def test_equal_embeddings_are_drawn_at_one_place():
    embeddings = two_clouds()
    embeddings[10:20] = embeddings[5]
    frame = projection.umap(embeddings, seed=0)
    np.testing.assert_array_equal(frame[10:20], np.broadcast_to(frame[5], (10, 2)))
    distinct = np.r_[0:10, 20:40]
    assert len(np.unique(frame[distinct], axis=0)) == 30
    np.testing.assert_array_equal(frame[distinct], projection.umap(embeddings[distinct], seed=0))


def test_progress_and_cancel():
    said = []
    projection.umap(two_clouds(), seed=0, progress=said.append)
    assert said == sorted(said)
    assert said[-1] == 1

    def cancel(share):
        raise projection.Cancelled

    with pytest.raises(projection.Cancelled):
        projection.umap(two_clouds(), seed=0, progress=cancel)
    assert projection.umap(two_clouds(), seed=0) is not None  # and the next one is not blocked


def test_neighbours_are_those_of_brute_force():
    points = np.random.default_rng(4).normal(size=(60, 5)).astype(np.float32)
    points[30] = points[10]  # two that are equal: each is its own first neighbour
    distances = np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=2)
    indices, found = projection.neighbours(points, 7)
    np.testing.assert_array_equal(indices[:, 0], np.arange(60))
    np.testing.assert_allclose(found, np.sort(distances, axis=1)[:, :7], atol=1e-3)
    for row, index in enumerate(indices):
        assert len(set(index)) == 7
        np.testing.assert_allclose(distances[row, index], found[row], atol=1e-3)
    index, found = projection.nearest_of(points, 3, 40, 5)
    expected = [i for i in np.argsort(distances[3, :40], kind="stable") if i != 3][:5]
    assert index.tolist() == expected
    np.testing.assert_allclose(found, distances[3, expected])
    assert projection.nearest_of(points, 50, 40, 5)[0][0] == distances[50, :40].argmin()


# How far a drawing can be trusted


def test_trust_and_agreement_are_those_of_scikit_learn():
    draw = np.random.default_rng(5)
    points, frame = draw.normal(size=(120, 6)), draw.normal(size=(120, 2))
    labels = draw.integers(0, 3, 120)
    assert projection.trustworthiness(points, frame) == pytest.approx(trustworthiness(points, frame, n_neighbors=10))
    vote = KNeighborsClassifier(5).fit(frame[:90], labels[:90])
    assert projection.knn_accuracy(frame, labels, 90) == pytest.approx(vote.score(frame[90:], labels[90:]))
    near, drawn = (
        np.linalg.norm(each[:, None] - each[None], axis=2).argsort(axis=1)[:, 1:11] for each in (points, frame)
    )
    kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(near, drawn, strict=True)])
    assert projection.neighbours_kept(points, frame) == pytest.approx(kept)
    assert projection.trustworthiness(points[:3], frame[:3]) == 1  # nothing to be wrong about


def test_trust_is_measured_among_all_points():
    """Not among some of them, whose neighbours lie further away; of very many some are asked about all others."""
    draw = np.random.default_rng(7)
    points = draw.normal(size=(2600, 5)).astype(np.float32)
    frame = points[:, :2] + 0.3 * draw.normal(size=(2600, 2)).astype(np.float32)
    assert projection.trustworthiness(points, frame) == pytest.approx(
        trustworthiness(points, frame, n_neighbors=10), abs=1e-6
    )
    near, drawn = (NearestNeighbors(n_neighbors=10).fit(each).kneighbors()[1] for each in (points, frame))
    kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(near, drawn, strict=True)])
    assert projection.neighbours_kept(points, frame) == pytest.approx(kept, abs=1e-6)
    many = draw.normal(size=(5200, 5)).astype(np.float32)
    expected = trustworthiness(many, many[:, :2], n_neighbors=10)
    assert projection.trustworthiness(many, many[:, :2]) == pytest.approx(expected, abs=0.02)


def test_a_layout_of_ones_own():
    points = np.random.default_rng(8).normal(size=(120, 6)).astype(np.float32)
    own = projection.umap(points, seed=3)
    same = projection.umap(points, seed=9, layout=projection.Layout(seed=3))
    np.testing.assert_array_equal(same, own)
    for layout in (projection.Layout(5), projection.Layout(min_dist=0.9), projection.Layout(seed=4)):
        assert not np.allclose(projection.umap(points, seed=3, layout=layout), own, atol=0.1)


def test_what_has_collapsed_is_said():
    healthy = np.random.default_rng(6).normal(size=(100, 8))
    healthy *= 10 / np.linalg.norm(healthy, axis=1, keepdims=True)
    assert projection.collapsed(healthy) == ""
    assert projection.spread(healthy) == pytest.approx(np.sqrt(healthy.var(axis=0).sum()))
    assert "almost at one point" in projection.collapsed(healthy * 0.001 + (10, 0, 0, 0, 0, 0, 0, 0))
    assert "almost at one point" in projection.collapsed(np.zeros((9, 4)))
    assert "only 5 are different" in projection.collapsed(np.tile(healthy[:5], (20, 1)))


# One frame after another


@pytest.mark.parametrize("angle", [0.3, 2.0, 3.1])
def test_a_turned_copy_is_turned_back(angle):
    before = two_clouds()[:, :2]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    frame, motion = projection.aligned(before @ turn.T + (5, -2), before)
    np.testing.assert_allclose(frame, before, atol=1e-3)
    assert motion == pytest.approx(0, abs=1e-4)


def test_a_mirrored_or_larger_copy_stays_mirrored_and_large():
    before = two_clouds()[:, :2]
    for copy in (before * (-1, 1), before * 3):
        frame, motion = projection.aligned(copy, before)
        matrix = np.linalg.lstsq(np.c_[copy, np.ones(40)], frame, rcond=None)[0][:2]
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-4)  # nothing stretched
        assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-4)  # nothing mirrored
        assert motion > 0.05


@pytest.mark.parametrize("scaled", [False, True])
def test_one_similarity_transform_and_never_a_mirror_or_a_stretch(scaled):
    before = np.random.default_rng(5).normal(size=(200, 2)) * (3, 1) + 7
    turn = np.array([[0, -1], [1, 0]])
    copies = {
        "turned": before @ turn + 4,
        "larger": 2.5 * before,
        "mirrored": before * (-1, 1),
        "wide": before * (4, 1),
    }
    for name, copy in copies.items():
        moved, motion = projection.aligned(copy, before, scaled=scaled)
        # what was done to the copy is one matrix: a rotation times one number
        matrix = np.linalg.lstsq(copy - copy.mean(axis=0), moved - moved.mean(axis=0), rcond=None)[0]
        scale = np.sqrt(np.linalg.det(matrix))  # not a number for a mirror
        np.testing.assert_allclose(matrix @ matrix.T, scale**2 * np.eye(2), atol=1e-4)
        assert scale == pytest.approx(1, abs=1e-5) or scaled
        exact = name == "turned" or (scaled and name == "larger")
        assert (motion < 1e-5) == exact, name
        if scaled:  # equally large, and the other way round it is the inverse
            assert np.square(moved - moved.mean(axis=0)).sum() == pytest.approx(
                np.square(before - before.mean(axis=0)).sum(), rel=1e-4
            )
            back, _ = projection.aligned(before, moved, scaled=True)
            np.testing.assert_allclose(back, before, atol=1e-4)


def test_the_signs_of_pca_follow_the_frame_before():
    frame = np.random.default_rng(6).normal(size=(50, 2)).astype(np.float32)
    for signs in ((1, 1), (-1, 1), (-1, -1)):
        np.testing.assert_array_equal(projection.same_signs(frame * np.float32(signs), frame), frame)


def test_the_plane_of_two_centres():
    draw = np.random.default_rng(7)
    embeddings = (draw.normal(size=(80, 6)) * (1, 1, 1, 1, 1, 3)).astype(np.float32)
    first, second = np.zeros(6, np.float32), np.array([4, 0, 0, 0, 0, 0], np.float32)
    frame = projection.between(embeddings, first, second)
    np.testing.assert_allclose(frame[:, 0], embeddings[:, 0] - 2, atol=1e-5)
    assert abs(np.corrcoef(frame[:, 1], embeddings[:, 5])[0, 1]) > 0.99  # the widest of the others
    nearer = np.linalg.norm(embeddings - first, axis=1) < np.linalg.norm(embeddings - second, axis=1)
    np.testing.assert_array_equal(frame[:, 0] < 0, nearer)
    np.testing.assert_array_equal(projection.between(embeddings, first, first), projection.pca(embeddings))


def test_a_frame_begun_at_the_one_before_keeps_the_sides():
    embeddings = two_clouds()
    first = projection.umap(embeddings, seed=0)
    later = projection.umap(embeddings + 0.01, seed=0, before=first)
    side = (first[:20].mean(axis=0) - first[20:].mean(axis=0)) * (later[:20].mean(axis=0) - later[20:].mean(axis=0))
    assert (side > 0).all()
    np.testing.assert_array_equal(later, projection.umap(embeddings + 0.01, seed=0, before=first))


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
        def __init__(self, n_neighbors, **options):
            self.n_neighbors = n_neighbors

        def fit_transform(self, embeddings):
            running.append(True)
            most.append(len(running))
            time.sleep(0.02)
            running.pop()
            return np.full((len(embeddings), 2), self.n_neighbors, np.float64)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Slow))
    points = np.random.default_rng(0).normal(size=(20, 3))
    frames = in_threads(4, lambda number: projection.umap(points[: 5 * (number + 1)], seed=0))
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
