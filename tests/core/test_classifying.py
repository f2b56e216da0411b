"""Single images asked of a run: the stored predictions come out again; votes, scores and places against brute force."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from core import classifying, experiment, maps
from core.__main__ import main
from core.analysis import projection
from core.classifying import Classifier
from core.runs import store, writing
from core.runs.files import StoreError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def trained(config, digits, folder):
    with writing.create(config, digits, folder) as writer:
        for _ in experiment.run(writer, digits):
            pass
    return store.read(writer.folder)


@pytest.fixture(scope="module")
def run(tiny, digits, folder):
    return trained(tiny, digits, folder)


@pytest.fixture(scope="module")
def classifier(run, digits):
    return Classifier(run, digits)


def test_the_images_of_the_test_set_get_their_stored_labels(run, digits, classifier):
    stored = store.embedded(run, run.result.epochs)
    for row, answer in enumerate(classifier.classify(digits.test.images)):
        assert answer.label == stored.predicted[row]
        assert answer.score == pytest.approx(stored.scores[row], abs=1e-3)
        np.testing.assert_allclose(answer.embedding, stored.test[row], atol=0.02)


def test_neighbours_votes_and_scores_are_those_of_brute_force(run, digits, classifier):
    stored = store.embedded(run, run.result.epochs)
    answers = classifier.classify(digits.test.images, 7)
    for answer in answers:
        distances = np.linalg.norm(stored.train.astype(np.float64) - answer.embedding, axis=1)
        order = np.argsort(distances, kind="stable")[:7]
        assert sorted(row for row, _, _ in answer.voters) == sorted(order)
        for row, label, distance in answer.voters:
            assert distance == pytest.approx(distances[row], abs=1e-4)
            assert label == digits.train.labels[row]
        counts = np.bincount(digits.train.labels[order], minlength=len(digits.classes))
        assert answer.votes == {label: count for label, count in enumerate(counts) if count}
        np.testing.assert_allclose(answer.scores, counts / 7)
        assert answer.scores[answer.label] == pytest.approx(answer.score)


@pytest.mark.parametrize("rule", ["knn", "knn_weighted", "centre", "nearest_mean"])
def test_every_rules_scores_are_those_of_its_prediction(run, digits, classifier, rule):
    asked = dataclasses.replace(run, config=run.config.changed(classifier=rule))
    other = Classifier(asked, digits)
    for answer in other.classify(digits.test.images):
        assert answer.scores.sum() == pytest.approx(1)
        assert answer.scores[answer.label] == pytest.approx(answer.score, abs=1e-6)
        assert answer.scores.max() == pytest.approx(answer.score, abs=1e-6)


def test_its_place_is_the_weighted_mean_of_its_neighbours(run, digits, classifier):
    frame = np.random.default_rng(0).normal(size=(len(digits.train.ids), 2))
    (answer,) = classifier.classify(digits.test.images[:1], 4)
    weights = np.array([1 / distance for _, _, distance in answer.voters])
    expected = sum(weight * frame[row] for weight, (row, _, _) in zip(weights, answer.voters, strict=True))
    np.testing.assert_allclose(answer.place(frame), expected / weights.sum())
    (same,) = classifier.classify(digits.train.images[5:6], 3)  # its own neighbour at distance zero
    if same.voters[0][2] == 0:
        np.testing.assert_allclose(same.place(frame), frame[same.voters[0][0]])
    np.testing.assert_array_equal(projection.weighted_place(frame[:2], np.array([0.0, 1.0])), frame[0])


def test_why(run, digits, classifier):
    (answer,) = classifier.classify(digits.test.images[:1])
    found = classifier.why(answer, 1)
    assert found.predicted == answer.label
    assert [row for row, _, _ in found.voters] == [row for row, _, _ in answer.voters]


def test_more_neighbours_than_images(classifier, digits):
    with pytest.raises(StoreError, match="only 48 training images"):
        classifier.classify(digits.test.images[:1], 49)


def test_a_run_without_weights_is_named(run, digits, tmp_path):
    with pytest.raises(StoreError, match="was not finished"):
        Classifier(dataclasses.replace(run, result=None), digits)
    with pytest.raises(StoreError, match="no weights yet"):
        Classifier(dataclasses.replace(run, folder=tmp_path), digits)
    other = dataclasses.replace(run, config=run.config.changed(width=16))
    with pytest.raises(StoreError, match="does not fit"):
        Classifier(other, digits)


def test_the_command(run, digits, classifier, capsys, tmp_path):
    files = [digits.folder / "test" / "digit 7" / f"{digits.test.ids[12]}.png"]
    photograph = 255 - np.asarray(Image.fromarray(digits.test.images[1]).resize((640, 640)))
    Image.fromarray(np.pad(photograph, 100, constant_values=255)).save(tmp_path / "photo.jpg")
    (tmp_path / "text.png").write_text("no image")
    files += [tmp_path / "photo.jpg", tmp_path / "text.png", tmp_path / "nothing.png"]
    command = ["classify", run.id, *map(str, files), "--runs", str(run.folder.parent), "--neighbours", "4", "--json"]
    assert main(command) == 1
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 2
    assert "text.png: not an image that can be read" in lines[0]
    assert "nothing.png: no such file; check its name" in lines[1]
    found = json.loads(printed.out)
    assert [each["file"] for each in found["unreadable"]] == [str(file) for file in files[2:]]
    (first, second) = found["images"]
    assert (first["unchanged"], second["unchanged"]) == (True, False)
    (answer,) = classifier.classify(digits.test.images[12:13], 4)
    expected = classifying.to_json(answer, digits)
    assert {name: first[name] for name in expected} == expected
    assert first["class"] in digits.class_numbers
    assert first["map"]["umap"] is None  # not drawn yet
    np.testing.assert_allclose(first["map"]["pca"], answer.place(maps.known(run, "pca")))
    assert main([*command[:2], str(files[0]), *command[-5:]]) == 0
    assert "no ink" not in capsys.readouterr().err
    Image.new("L", (60, 60), 250).save(tmp_path / "empty.png")
    assert main([*command[:2], str(tmp_path / "empty.png"), *command[-5:]]) == 0
    assert "empty.png: no ink is found on it" in capsys.readouterr().err


def test_softmax_runs_answer_with_probabilities(tiny, digits, folder):
    run = trained(tiny.changed(objective="cross_entropy", epochs=1), digits, folder)
    stored = store.embedded(run, 1)
    answers = Classifier(run, digits).classify(digits.test.images)
    assert [answer.label for answer in answers] == stored.predicted.tolist()
    for answer in answers:
        assert answer.scores.sum() == pytest.approx(1)
        assert answer.scores.argmax() == answer.label
