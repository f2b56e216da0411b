"""Runs side by side: real tiny runs against plain loops over their predictions."""

import dataclasses

import pandas as pd
import pytest
import torch

from core import experiment
from core.analysis import compare
from core.learning.sampling import held_out
from core.runs import comparison, store, writing
from core.runs.files import StoreError
from core.settings.presets import from_preset


@pytest.fixture(scope="module")
def three(tiny, digits, tmp_path_factory):
    """Three runs that differ in seed and margin."""
    found = []
    for changes in (dict(seed=0), dict(seed=1), dict(seed=1, margin=4.0)):
        runs = tmp_path_factory.mktemp("compared")
        with writing.create(tiny.changed(**changes), digits, runs) as writer:
            list(experiment.run(writer, digits))
        found.append(store.read(writer.folder))
    return found


@pytest.mark.parametrize("share", [0.0, 0.17, 0.345])
def test_images_seen_are_those_that_are_not_kept_for_validation(share, digits, tmp_path):
    """Kept are as many of each class, rounded class by class."""
    labels = torch.arange(len(digits.classes)).repeat(57)  # classes of one size, as in the lab's set
    config = from_preset("quick", validation_share=share)
    with writing.create(config, digits, tmp_path) as writer:
        run = store.read(writer.folder)
    run = dataclasses.replace(run, steps_per_epoch=1000, data=run.data.model_copy(update={"train": len(labels)}))
    assert comparison.images_an_epoch(run) == (~held_out(config, labels)).sum()


def test_groups_and_accuracy_are_those_of_the_tables(three, digits):
    found = comparison.compare_runs(three, digits).to_json()
    tables = {run.id: pd.read_csv(run.folder / "predictions.csv") for run in three}
    right = {name: dict(zip(table.id, table.true == table.predicted, strict=True)) for name, table in tables.items()}
    assert found["runs"] == [run.id for run in three]
    assert found["accuracy"] == {name: pytest.approx(sum(row.values()) / len(row)) for name, row in right.items()}
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [
        (three[0].id, three[1].id),
        (three[0].id, three[2].id),
        (three[1].id, three[2].id),
    ]
    for pair in found["pairs"]:
        a, b = right[pair["a"]], right[pair["b"]]
        assert pair.keys() == {"a", "b", "only_a_right", "only_b_right", "p"}
        assert pair["only_a_right"] == sum(a[name] and not b[name] for name in digits.test.ids)
        assert pair["only_b_right"] == sum(b[name] and not a[name] for name in digits.test.ids)
    assert found["all_wrong"] == [name for name in digits.test.ids if not any(row[name] for row in right.values())]
    assert found["differing_settings"] == {
        "seed": dict(zip(found["runs"], [0, 1, 1], strict=True)),
        "margin": dict(zip(found["runs"], [three[0].config.margin] * 2 + [4.0], strict=True)),
    }


def test_what_cannot_be_compared(three, digits, tiny, tmp_path):
    for runs in (three[:1], [three[0], three[0]], three * 3):
        with pytest.raises(StoreError, match="2 to 8 different"):
            comparison.compare_runs(runs, digits)
    waiting = writing.create(tiny, digits, tmp_path)
    with pytest.raises(StoreError, match="has no result yet"):
        comparison.compare_runs([three[0], store.read(waiting.folder)], digits)
    waiting.close()
    other = dataclasses.replace(digits, fingerprint="0" * 64)
    with pytest.raises(StoreError, match="was trained on other images"):
        comparison.compare_runs(three, other)


def test_two_are_enough_for_a_pair(three, digits):
    found = comparison.compare_runs(three[:2], digits)
    (pair,) = found.pairs.values()
    assert pair.p == compare.pair(*found.right).p
