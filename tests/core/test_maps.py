"""Maps of a run: drawn in the background, kept with the run, never of other embeddings than those that are there."""

import json
import threading
import time

import numpy as np
import pytest

from core import experiment, maps
from core.__main__ import main
from core.analysis import projection
from core.analysis.projection import Layout
from core.runs import map_file, store, writing
from tests.core.conftest import damages


@pytest.fixture(scope="module")
def run(digits, tiny, tmp_path_factory):
    with writing.create(tiny.changed(epochs=2), digits, tmp_path_factory.mktemp("runs")) as writer:
        for _ in experiment.run(writer, digits):
            pass
    return store.read(writer.folder)


@pytest.fixture(autouse=True)
def nothing_drawn_yet(run):
    maps._drawings.clear()
    maps._films.clear()
    for name in ("projection.npz", "untrained.npz"):
        (run.folder / name).unlink(missing_ok=True)


def ended(drawing: maps.Drawing) -> maps.Drawing:
    deadline = time.monotonic() + 120
    while not drawing.ended and time.monotonic() < deadline:
        time.sleep(0.02)
    assert drawing.ended
    return drawing


def test_drawn_in_the_background_and_kept(run):
    before = time.monotonic()
    drawing = maps.umap(run, 2)
    assert time.monotonic() - before < 1  # it does not wait
    frame = ended(drawing).frame
    expected = projection.umap(np.concatenate(store.embedded(run, 2)[:2]), run.config.seed)
    np.testing.assert_array_equal(frame, expected)
    assert maps.umap(run, 2) is drawing
    maps._drawings.clear()  # as in another process
    np.testing.assert_array_equal(maps.umap(run, 2).frame, frame)  # at once: it was kept
    assert map_file.kept(run, 1) is None


def test_the_page_is_never_held_up_by_a_fit(run):
    with projection._one_fit_at_a_time:  # somebody else is compiling
        drawing = maps.umap(run, 2)
        assert not drawing.ended
    assert ended(drawing).frame is not None


def test_frames_of_several_epochs(run):
    count = run.data.train + run.data.test
    frames = {epoch: np.full((count, 2), epoch, np.float32) for epoch in (2, 1)}
    for epoch, frame in frames.items():
        map_file.keep(run, epoch, frame)
    for epoch, frame in frames.items():
        np.testing.assert_array_equal(map_file.kept(run, epoch), frame)


def test_a_frame_of_other_embeddings_is_drawn_again(run):
    file = store.embeddings_file(run, 1)
    before = file.read_bytes()
    map_file.keep(run, 1, np.ones((run.data.train + run.data.test, 2)))
    assert map_file.kept(run, 1) is not None
    try:
        file.write_bytes(before + b" ")  # a run that was stopped within the epoch was resumed
        assert map_file.kept(run, 1) is None
    finally:
        file.write_bytes(before)


def test_a_damaged_file_is_drawn_again(run):
    map_file.keep(run, 1, np.ones((run.data.train + run.data.test, 2)))
    file = run.folder / "projection.npz"
    for content in damages(file.read_bytes())[:5]:
        file.write_bytes(content)
        assert map_file.kept(run, 1) is None


def test_cancel_and_again(run):
    with projection._one_fit_at_a_time:
        drawing = maps.umap(run, 2)
        drawing.cancel()
    for thread in threading.enumerate():
        if thread.name == "map":
            thread.join(60)
    assert drawing.frame is None
    assert maps.umap(run, 2) is drawing  # not begun anew by a mere look
    assert ended(maps.umap(run, 2, again=True)).frame is not None


def test_an_error_is_said(run):
    drawing = ended(maps.umap(run, 77))
    assert "epoch_0077.npz cannot be read" in drawing.error


def test_frames_of_all_epochs_move_without_mirroring(run, digits):
    for method in maps.METHODS:
        first, *later = maps.frames(run, method, maps.epochs(run), digits)
        assert first.residual_motion is None
        before = first.points
        for frame in later:
            np.testing.assert_allclose(projection.aligned(frame.points, before)[0], frame.points, atol=1e-3)
            assert frame.residual_motion == pytest.approx(projection.aligned(frame.points, before)[1], abs=1e-4)
            before = frame.points


def test_a_film_is_drawn_in_the_background_back_from_the_last_map(run, digits):
    epochs, drawn = maps.epochs(run), {}
    for method in maps.METHODS:
        film = ended(maps.film(run, method, epochs, digits))
        assert not film.error
        assert sorted(film.frames) == epochs
        points = np.concatenate(store.embedded(run, epochs[-1])[:2])
        last = projection.pca(points) if method == "pca" else projection.umap(points, run.config.seed)
        np.testing.assert_array_equal(film.frames[epochs[-1]], last)
        assert maps.film(run, method, epochs) is film
        drawn = film.frames if method == "umap" else drawn
        for frame in maps.frames(run, method, epochs):  # as the command draws them
            np.testing.assert_array_equal(frame.points, film.frames[frame.epoch])
            assert frame.residual_motion == film.motion(frame.epoch)
    maps._films.clear()  # as in another process
    again = ended(maps.film(run, "umap", epochs))
    for epoch in epochs:
        np.testing.assert_array_equal(again.frames[epoch], drawn[epoch])
        assert map_file.kept(run, epoch, epochs[-1]) is not None
    assert map_file.kept(run, epochs[0]) is None  # that would be another map: one that began at PCA


def test_a_live_film_goes_on_from_the_map_before(run, digits):
    first, second = maps.epochs(run)[:2]
    for method in maps.METHODS:
        film = maps.live(run, method, [first], digits)
        wait_for(lambda film=film: first in film.frames)
        before = film.frames[first].copy()
        assert maps.live(run, method, [first, second]) is film
        wait_for(lambda film=film: second in film.frames)
        np.testing.assert_array_equal(film.frames[first], before)  # what was seen stays
        scaled = method == "umap"
        again, _ = projection.aligned(film.frames[second], before, scaled=scaled)
        np.testing.assert_allclose(again, film.frames[second], atol=1e-3)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_live_film_has_the_untrained_network_in_front(run, digits):
    epochs = maps.epochs(run)
    assert epochs[0] == 0
    film = maps.live(run, "pca", epochs, digits)
    assert sorted(film.frames) == epochs[1:]  # it does not wait for what nobody has made yet
    wait_for(lambda: sorted(maps.live(run, "umap", epochs, digits).frames) == epochs)
    maps.live(run, "pca", epochs, digits)
    assert sorted(film.frames) == epochs
    assert film.motion(0) is None
    assert film.motion(1) is not None


def test_without_images_the_film_begins_at_the_first_epoch(run):
    epochs = maps.epochs(run)
    film = ended(maps.film(run, "pca", epochs))
    assert not film.error
    assert "untrained.npz cannot be read" in film.missing
    assert sorted(film.frames) == epochs[1:]


def test_the_plane_of_two_centres_in_every_epoch(run, digits):
    for (epoch, frame), before in zip(
        maps.planes(run, digits, [1, 2], (1, 3)).items(), (None, maps.planes(run, digits, [1], (1, 3))[1]), strict=True
    ):
        embedded = store.embedded(run, epoch)
        left, right = (embedded.train[digits.train.labels == label].mean(axis=0) for label in (1, 3))
        expected = projection.between(np.concatenate(embedded[:2]), left, right)
        np.testing.assert_allclose(frame[:, 0], expected[:, 0], atol=1e-5)
        np.testing.assert_allclose(np.abs(frame[:, 1]), np.abs(expected[:, 1]), atol=1e-5)
        if before is not None:
            assert (frame[:, 1] * before[:, 1]).sum() > 0


def test_a_film_that_was_cancelled_is_drawn_again_only_when_asked(run, digits):
    epochs = maps.epochs(run)
    with projection._one_fit_at_a_time:
        film = maps.film(run, "umap", epochs, digits)
        film.cancel()
    wait_for(lambda: not film.busy)
    assert maps.film(run, "umap", epochs, digits) is film
    assert not film.busy
    assert not film.done
    assert ended(maps.film(run, "umap", epochs, digits, again=True)).done


def test_a_film_of_epochs_that_are_not_there_says_so(run):
    assert "epoch_0077.npz cannot be read" in ended(maps.film(run, "pca", [1, 77])).error


def test_the_command_writes_a_file_an_epoch(run, capsys, tmp_path):
    command = ["map", run.id, "--runs", str(run.folder.parent), "--epochs", "all", "--out", str(tmp_path), "--json"]
    assert main([*command, "--method", "pca"]) == 0
    assert maps.epochs(run) == [0, 1, 2]
    frames = json.loads(capsys.readouterr().out)["frames"]
    assert [frame["epoch"] for frame in frames] == maps.epochs(run)
    for frame in frames:
        points = np.concatenate(store.embedded(run, frame["epoch"])[:2])
        with np.load(frame["file"]) as arrays:
            assert arrays["train"].shape == (run.data.train, 2)
            assert arrays["test"].shape == (run.data.test, 2)
            drawn = np.concatenate([arrays["train"], arrays["test"]])
        assert frame["method"] == "pca"
        assert frame["trustworthiness"] == projection.trustworthiness(points, drawn)
        assert frame["knn_agreement"] == projection.neighbours_kept(points, drawn)
    assert main([*command[:-1], "--method", "tsne"]) == 2


def test_maps_of_other_layouts_are_kept_beside_the_labs_own(run):
    own, other = maps.draw(run, 2), maps.draw(run, 2, layout=Layout(5, 0.5, 3))
    assert not np.allclose(own, other, atol=0.1)
    maps._drawings.clear()  # as in another process
    np.testing.assert_array_equal(maps.umap(run, 2).frame, own)
    np.testing.assert_array_equal(maps.umap(run, 2, layout=Layout(5, 0.5, 3)).frame, other)
    np.testing.assert_array_equal(maps.umap(run, 2, layout=Layout(seed=run.config.seed)).frame, own)
    assert map_file.kept(run, 2, layout=(5, 0.5, 4)) is None


def test_of_many_layouts_the_last_ones_and_the_labs_own_are_kept(run):
    frame = np.ones((run.data.train + run.data.test, 2), np.float32)
    map_file.keep(run, 2, frame)
    for seed in range(8):
        map_file.keep(run, 2, seed * frame, (5, 0.1, seed))
    np.testing.assert_array_equal(map_file.kept(run, 2), frame)
    there = [seed for seed in range(8) if map_file.kept(run, 2, layout=(5, 0.1, seed)) is not None]
    assert there == [3, 4, 5, 6, 7]


def test_the_command_takes_neighbours_distance_and_seed(run, capsys, tmp_path):
    command = ["map", run.id, "--runs", str(run.folder.parent), "--out", str(tmp_path), "--json"]
    assert main([*command, "--neighbours", "5", "--min-dist", "0,5", "--seed", "3"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["frames"]
    with np.load(found["file"]) as arrays:
        drawn = np.concatenate([arrays["train"], arrays["test"]])
    points = np.concatenate(store.embedded(run, 2)[:2])
    np.testing.assert_array_equal(drawn, projection.umap(points, 0, layout=Layout(5, 0.5, 3)))
    for wrong in (["--neighbours", "1"], ["--min-dist", "1"], ["--min-dist", "x"], ["--seed", "-1"]):
        assert main([*command, *wrong]) == 2
    assert main([*command, "--method", "pca", "--seed", "1"]) == 2
    assert "--seed is for --method umap" in capsys.readouterr().err
