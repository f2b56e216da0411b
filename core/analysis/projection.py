"""The embedding space drawn in two dimensions: UMAP (arXiv:1802.03426) or PCA."""

import threading

import numpy as np

_one_fit_at_a_time = threading.Lock()  # concurrent UMAP fits can abort the whole process


def umap(embeddings: np.ndarray, seed: int) -> np.ndarray:
    """(N, D) -> (N, 2) by UMAP with 15 neighbours; the same embeddings, order and seed give the same picture.

    Only who is near whom can be read from it: distances between far groups and the axes mean nothing.
    """
    import umap as umap_learn  # here, because loading it takes seconds

    with _one_fit_at_a_time:  # n_jobs=1: a fit that shall be repeatable cannot be parallel
        fit = umap_learn.UMAP(n_neighbors=min(15, len(embeddings) - 1), random_state=seed, n_jobs=1)
        return fit.fit_transform(embeddings).astype(np.float32)


def pca(embeddings: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, 2): the two directions in which the embeddings differ most. Distances keep their unit."""
    centred = embeddings - embeddings.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)  # columns, smallest variance first
    axes = directions[:, :-3:-1]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])  # the sign is arbitrary: always the same one
    return (centred @ (axes * signs)).astype(np.float32)


def warm_up() -> None:
    """Compiles what UMAP needs, so that the first picture does not wait for it."""
    umap(np.random.default_rng(0).normal(size=(50, 5)), seed=0)
