"""A run that leaves training images out is, bit for bit, one on a set that never held them."""

import io
import shutil

import numpy as np
import pandas as pd
import pytest

from core import control, experiment, replay
from core.dataset.loader import load
from core.exchange import packed_runs, report
from core.runs import comparison, explaining, store, writing
from core.settings.setting import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")


def trained(config, images, folder):
    with writing.create(config, images, folder) as writer:
        for _ in experiment.run(writer, images):
            pass
    return store.read(writer.folder)


@pytest.fixture(scope="module")
def gone(digits) -> tuple[str, ...]:
    """One image of each of two classes."""
    return digits.train.ids[5], digits.train.ids[14]


@pytest.fixture(scope="module")
def part_run(tiny, digits, gone, tmp_path_factory):
    return trained(tiny.changed(exclude=gone, validation_share=0.2), digits, tmp_path_factory.mktemp("runs"))


def test_it_is_a_run_on_a_set_without_them(part_run, tiny, digits, gone, tmp_path):
    shutil.copytree(digits.folder, tmp_path / "set")
    table = pd.read_csv(tmp_path / "set" / "train.csv", dtype=str)
    for row in table[table["id"].isin(gone)].itertuples():
        (tmp_path / "set" / "train" / row.name / f"{row.id}.png").unlink()
    table[~table["id"].isin(gone)].to_csv(tmp_path / "set" / "train.csv", index=False)
    other = trained(tiny.changed(validation_share=0.2), load(tmp_path / "set"), tmp_path / "runs")
    for epoch in (1, 2):
        for mine, its in zip(store.embedded(part_run, epoch), store.embedded(other, epoch), strict=True):
            np.testing.assert_array_equal(mine, its)
    kept = store.history(part_run).drop(columns="seconds")
    pd.testing.assert_frame_equal(kept, store.history(other).drop(columns="seconds"))
    assert part_run.data.train == other.data.train == 46


def test_they_are_no_neighbours_and_no_voters(part_run, digits, gone):
    images = store.data_of(part_run)
    assert images.left_out == tuple(sorted(gone))
    wrong = store.mistakes(part_run)
    assert not set(gone) & {*wrong["nearest_true_id"], *wrong["nearest_predicted_id"]}
    for row in range(24):
        voters = explaining.why_json(explaining.why(part_run, images, row, 45), images, row, 0.0)["voters"]
        assert len(voters) == 45
        assert not set(gone) & {each["id"] for each in voters}
        assert all(each["class"] == class_of(each["id"], digits) for each in voters)


def class_of(name: str, digits) -> int:
    return digits.class_numbers[digits.train.labels[digits.train.ids.index(name)]]


def test_the_receipt_and_the_replay_know_it(part_run, digits, tiny, tmp_path):
    whole = writing.create(tiny.changed(validation_share=0.2), digits, tmp_path)
    whole.close()
    assert replay.receipt(store.read(whole.folder)) != replay.receipt(part_run)
    assert replay.replay(part_run, digits).bit_exact  # the whole set is cut again


def test_it_can_be_compared_with_a_run_on_all_images(part_run, digits, tiny, tmp_path):
    whole = trained(tiny, digits, tmp_path)
    found = comparison.compare_runs([part_run, whole], digits)
    assert found.differing_settings["exclude"] == {part_run.id: list(part_run.config.exclude), whole.id: []}
    page = report.page([part_run, whole], [store.data_of(part_run), digits])
    assert "Misclassified by all" in page


def test_it_is_taken_in_by_another_lab(part_run, digits, tmp_path):
    stream = io.BytesIO()
    packed_runs.export_run(part_run, stream)
    taken = store.find(tmp_path, packed_runs.read_run(stream, tmp_path, [digits.folder]))
    assert (taken.config.exclude, taken.data.train) == (part_run.config.exclude, 46)
    assert not taken.unchecked
    assert store.data_of(taken).left_out == taken.config.exclude


def test_unknown_ids_are_refused_before_anything_is_made(tiny, digits, tmp_path):
    with pytest.raises(ConfigError, match="no training image 'nobody'"):
        control.begin(tiny.changed(exclude=("nobody",)), digits, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
