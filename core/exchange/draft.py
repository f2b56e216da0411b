"""A first draft, in words, of the short analysis that the lab sheet asks for; a student makes it their own."""

import numpy as np
import pandas as pd

from core.analysis import confusion, disputes
from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet
from core.runs.notes import Notes


def analysis(embedded: Embedded, wrong: pd.DataFrame, images: DataSet, noted: Notes) -> str:
    """What the figures say: how many are wrong, who is taken for whom, by how much, and what was noted about them.

    `wrong` is the table of core/analysis/mistakes.py. It says nothing of causes: those are for the student.
    """
    count = len(images.test.ids)
    right = 100 * float((embedded.predicted == images.test.labels).mean())
    said = [f"{len(wrong)} of {count:,} test images are misclassified ({right:.1f} % are classified correctly)."]
    if len(wrong):
        said += [_pairs(embedded, images), _margins(wrong)]
    if disputed := [row for row in disputes.find(images) if row in set(wrong["test_index"])]:
        said.append(f"People dispute the label of {len(disputed)} of them.")
    said.append(_tags(noted, set(wrong["id"])))
    return " ".join(filter(None, said))


def _pairs(embedded: Embedded, images: DataSet) -> str:
    counts = confusion.matrix(images.test.labels, embedded.predicted, len(images.classes))
    found = confusion.confused(counts, 3)
    return "Confused most: " + "; ".join(confusion.in_words(pair, images.classes) for pair in found) + "."


def _margins(wrong: pd.DataFrame) -> str:
    margins = (wrong["nearest_predicted_distance"] - wrong["nearest_true_distance"]).to_numpy(float)
    nearer = margins < 0
    text = f"In {nearer.sum()} of {len(wrong)} the nearest training image is one of the predicted class"
    if nearer.any():
        text += f", by {np.median(-margins[nearer]):.2f} in the median"
    if not nearer.all():
        text += f"; in {(~nearer).sum()} the true class has the nearest one and is outvoted"
    return text + "."


def _tags(noted: Notes, wrong: set[str]) -> str:
    tagged = Notes({name: note for name, note in noted.images.items() if name in wrong and note.tags})
    if not tagged.images:
        return ""
    counts = ", ".join(f"{tag} ({number})" for tag, number in tagged.tag_counts().items())
    return f"Tagged are {len(tagged.images)} of them: {counts}."
