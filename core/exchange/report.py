"""A lab report: one HTML file without anything from a network, or a zip of it with pictures, tables and settings."""

import io
import json
import zipfile
from collections.abc import Sequence

import numpy as np
import pandas as pd

from core import replay
from core.analysis import confusion, disputes, mistakes, projection
from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet
from core.exchange import draft, figures, pictures
from core.exchange.figures import text
from core.exchange.tables import safe_csv
from core.runs import comparison, explaining, map_file, notes, store, strategies
from core.runs.files import StoreError
from core.runs.store import Run
from core.settings import in_words

ANALYSIS = "Short analysis"
QUESTIONS = (
    "Which classes are confused most, and why?",
    "What do the misclassified images have in common?",
    "How does the way triplets are mined change the result?",
)
_STYLE = """
body { font: 11pt/1.4 system-ui, sans-serif; max-width: 180mm; margin: 8mm auto; padding: 0 4mm; color: #111;
  background: #fff; overflow-wrap: break-word; } /* a word wider than the page has all of it printed smaller */
h1 { margin: 0 0 2mm; } h2 { margin: 8mm 0 2mm; border-bottom: 2px solid #111; } h3 { margin: 6mm 0 1mm; }
h2, h3, h4, .tags { break-after: avoid; } p { margin: 1mm 0 2mm; } small { color: #444; }
table { border-collapse: collapse; margin: 2mm 0; } tr, figure, svg, .chart, .tags, .together { break-inside: avoid; }
td, th { border: 1px solid #bbb; padding: 0.5mm 2mm; text-align: right; } th { background: #eee; }
.text { text-align: left; overflow-wrap: anywhere; } td.same { color: #777; background: #f4f4f4; }
.matrix { break-inside: avoid; } .side .of-classes { font-size: 8pt; }
.matrix td, .matrix th { padding: 0.2em; min-width: 1.5em; text-align: center; white-space: nowrap; }
.matrix .upright { writing-mode: vertical-rl; transform: rotate(180deg); }
img { image-rendering: pixelated; width: 25mm; background: #000; display: block; }
figure { margin: 0; width: 27.6mm; font-size: 7.5pt; line-height: 1.25; overflow-wrap: anywhere; }
.side { display: flex; flex-wrap: wrap; gap: 0 6mm; } .chart { flex: 1; max-width: 86mm; } svg { width: 100%; }
svg text { font: 12px system-ui, sans-serif; } .map { max-width: 140mm; max-height: 150mm; display: block; }
.map .name { font-weight: bold; text-anchor: middle; paint-order: stroke; stroke: #fff;
  stroke-width: 5px; }
.legend { font-size: 8.5pt; } .legend span { margin-right: 3mm; white-space: nowrap; }
.legend i { display: inline-block; width: 4mm; height: 1mm; margin-right: 1mm; vertical-align: middle; }
.mistakes { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 3mm 6mm; }
.mistake { break-inside: avoid; border-top: 1px solid #ccc; padding-top: 1mm; }
.mistake > div { display: flex; gap: 1mm; } .mistake p { font-size: 9pt; }
p.answer { white-space: pre-wrap; } .settings { columns: 2; font-size: 8.5pt; }
section + section { break-before: page; }
@page { size: A4; margin: 15mm; }
@media print { body { font-size: 10pt; margin: 0; padding: 0; max-width: none; } .side .chart { max-width: 69mm; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def page(runs: Sequence[Run], images: Sequence[DataSet]) -> str:
    """The report on runs, each with the images that it was trained on, as HTML. Raises StoreError."""
    titles = ", ".join(run.title for run in runs)
    body = "".join(_run(run, of) for run, of in zip(runs, images, strict=True))
    head = f'<meta charset="utf-8"><title>Lab report: {text(titles)}</title><style>{_STYLE}</style>'
    together = _runs(runs, images) if len(runs) > 1 else ""
    parts = f"<h1>Lab report</h1>{together}{body}{_mining(runs, images)}"
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{parts}</body></html>\n'


def packed(runs: Sequence[Run], images: Sequence[DataSet]) -> bytes:
    """A zip file: the report, and for each run settings, tables and three pictures a mistake. Raises StoreError."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.html", page(runs, images))
        for run, of in zip(runs, images, strict=True):
            embedded, wrong = _wrong(run, of)
            files = {
                "settings.json": json.dumps(run.config.plain(), indent=1).encode(),
                "receipt.txt": f"{replay.receipt(run)}\n".encode(),
                "history.csv": safe_csv(store.history(run)),
                "steps.csv": safe_csv(store.steps(run)),
                "predictions.csv": safe_csv(_predictions(embedded, of)),
            }
            for name, content in (files | pictures.files(wrong, of)).items():
                archive.writestr(f"{run.id}/{name}", content)
    return stream.getvalue()


def _wrong(run: Run, images: DataSet) -> tuple[Embedded, pd.DataFrame]:
    embedded = store.embedded(run, explaining.last_epoch(run))
    return embedded, mistakes.find(images, embedded)


def _predictions(embedded: Embedded, images: DataSet) -> pd.DataFrame:
    true, predicted = images.numbers(images.test.labels), images.numbers(embedded.predicted)
    said = {"true": true, "predicted": predicted, "score": embedded.scores}
    return pd.DataFrame({"id": images.test.ids} | said)


def first_draft(run: Run, images: DataSet) -> str:
    """The analysis as the figures alone would have it, see core/exchange/draft.py. Raises StoreError."""
    return draft.analysis(*_wrong(run, images), images, notes.read(run))


def _runs(runs: Sequence[Run], images: Sequence[DataSet]) -> str:
    """Several runs in a table, with what all of them and one alone get wrong where the test images are the same."""
    rows = [(run.title, _percent(run.result.test_accuracy), run.result.epochs) for run in runs if run.result]
    found = "<h2>Runs</h2>" + figures.table(("run", "test accuracy", "epochs"), rows)
    different = list(dict.fromkeys(run.id for run in runs))
    same = len({each.fingerprint for each in images}) == 1
    if not same or len(different) != len(runs) or len(runs) > comparison.MOST_RUNS:
        return found
    compared = comparison.compare_runs(runs, images[0])
    alone = zip(runs, compared.alone_wrong, strict=True)
    words = [f"{len(rows)} by {text(run.title)} alone" for run, rows in alone]
    return f"{found}<p>Misclassified by all: {len(compared.all_wrong)}; {', '.join(words)}.</p>"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _run(run: Run, images: DataSet) -> str:
    embedded, wrong = _wrong(run, images)
    noted = notes.read(run)
    counts = confusion.matrix(images.test.labels, embedded.predicted, len(images.classes))
    tags = noted.tag_counts()
    parts = [
        f"<h2>{text(run.title)}</h2>{_result(run, embedded, images)}",
        f"<h3>Curves</h3>{figures.curves(store.history(run))}<p><small>Training images dashed.</small></p>",
        _together(f"<h3>Confusion matrix</h3>{_matrix(counts, images)}"),
        _together(f"<h3>Map of the embeddings</h3>{_map(run, embedded, images)}"),
        f"<h3>{ANALYSIS}</h3>{_answer(noted.answers.get(ANALYSIS) or draft.analysis(embedded, wrong, images, noted))}",
        *(
            f"<h4>{text(question)}</h4>{_answer(noted.answers.get(question) or '–')}"
            for question in dict.fromkeys((*QUESTIONS, *noted.answers))
            if question != ANALYSIS
        ),
        f"<h3>Misclassified test images ({len(wrong)})</h3>",
        f'<div class="tags">{figures.table(("tag", "images"), list(tags.items()))}</div>' if tags else "",
        f'<div class="mistakes">{"".join(_mistakes(wrong, images, noted))}</div>' if len(wrong) else "<p>None.</p>",
        _together(f"<h3>Settings</h3>{_settings(run)}"),
    ]
    return f"<section>{''.join(parts)}</section>"


def _together(parts: str) -> str:
    """What stands on one printed page if it fits on one."""
    return f'<div class="together">{parts}</div>'


def _answer(words: str) -> str:
    return f'<p class="answer">{text(words)}</p>'


def _result(run: Run, embedded: Embedded, images: DataSet) -> str:
    labelled, without = disputes.accuracies(embedded.predicted, images)
    right = (
        f"{_percent(labelled)} of {len(images.test.ids):,} test images, as labelled, after epoch {run.result.epochs}"
    )
    right += f"; {_percent(without)} without those whose label people dispute" if without is not None else ""
    alarm = f"<p>⚠ {text(run.result.alarm)}</p>" if run.result.alarm else ""
    machine = run.machine
    computed = f"{machine.processor or machine.device}, {machine.precision}, {machine.threads} threads"
    facts = f"Run {run.id}, {run.created:%d %B %Y %H:%M}. Receipt {replay.receipt(run)}. {images.description}, "
    facts += f"fingerprint {images.fingerprint[:12]}. {computed}, PyTorch {machine.torch}"
    facts += f", {run.seconds:.0f} s of training." if run.seconds is not None else "."
    return f"<p><b>{text(right)}.</b></p>{alarm}<p><small>{text(facts)}</small></p>"


def _matrix(counts: np.ndarray, images: DataSet) -> str:
    """The confusion matrix, and at its side how good each class is; the most confused pairs in words."""
    drawn = confusion.most_confused(counts)
    names = [images.classes[label] for label in drawn]
    table = figures.matrix(counts[np.ix_(drawn, drawn)], names)
    found = zip(names, *(share[drawn] for share in confusion.of_classes(counts)), strict=True)
    rows = [(name, *("–" if np.isnan(each) else _percent(each) for each in shares)) for name, *shares in found]
    beside = figures.table(("class", "precision", "recall", "F1"), rows)
    which = confusion.how_many_drawn(len(drawn), len(counts))
    words = f"<p><small>{which}Rows: true class. Columns: predicted class.</small></p>"
    return f'{words}<div class="side">{table}<div class="of-classes">{beside}</div></div>{_pairs(counts, images)}'


def _pairs(counts: np.ndarray, images: DataSet) -> str:
    found = [confusion.in_words(pair, images.classes) for pair in confusion.confused(counts)]
    return f"<p>{text('; '.join(found))}.</p>" if found else ""


def _map(run: Run, embedded: Embedded, images: DataSet) -> str:
    """The UMAP that the Embedding page has kept, else PCA."""
    points = map_file.kept(run, explaining.last_epoch(run))
    kind = "UMAP: neighbours stay together; distances between far groups mean nothing."
    if points is None:
        points = projection.pca(np.concatenate(embedded[:2]))
        kind = "PCA: the two directions in which the embeddings spread most."
    labels = np.concatenate([images.train.labels, images.test.labels])
    wrong = len(images.train.ids) + np.flatnonzero(embedded.predicted != images.test.labels)
    drawn = figures.the_map(points, labels, len(images.train.ids), wrong, images.classes)
    return f"{drawn}<p><small>{kind} Training images are paler; a ring is a misclassified test image.</small></p>"


def _mistakes(wrong: pd.DataFrame, images: DataSet, noted: notes.Notes) -> list[str]:
    """Each mistake between its two neighbours, numbered as the exported pictures are, with what was noted."""
    name_of = images.name_of
    disputed = disputes.find(images)
    found = []
    for number, row in enumerate(wrong.itertuples(), start=1):
        true, said = name_of[row.true], name_of[row.predicted]
        shown = [
            _near(images, true, row.nearest_true_index, row.nearest_true_distance),
            figures.image(
                images.test.images[row.test_index], f"{number}. {true} → {said}, {100 * row.score:.0f} %", row.id
            ),
            _near(images, said, row.nearest_predicted_index, row.nearest_predicted_distance),
        ]
        note = noted.images.get(row.id, notes.Note())
        words = [", ".join(note.tags), note.text]
        words.append(f"⚠ disputed: {disputed[row.test_index].said}" if row.test_index in disputed else "")
        written_down = "".join(f"<p>{text(each)}</p>" for each in words if each)
        found.append(f'<div class="mistake"><div>{"".join(shown)}</div>{written_down}</div>')
    return found


def _near(images: DataSet, name: str, row: int, distance: float) -> str:
    return figures.image(images.train.images[row], f"nearest {name}: {distance:.2f}", images.train.ids[row])


def _settings(run: Run) -> str:
    """What differs from the preset, and every setting that has an effect."""
    rows = "<br>".join(f"{text(label)}: {text(value)}" for label, value in in_words.in_effect(run.config))
    return f'<p>Trained with {text(in_words.in_short(run.config))}.</p><div class="settings">{rows}</div>'


def _mining(runs: Sequence[Run], images: Sequence[DataSet]) -> str:
    """The ways of mining triplets: a table for the runs that can be compared with the first, and so on."""
    beside = {run.id: run for folder in {run.folder.parent for run in runs} for run in store.list_runs(folder)}
    beside |= {run.id: run for run in runs}
    first = {strategies.comparable(run): (run, of) for run, of in zip(runs, images, strict=True)}
    found = (strategies.tried(list(beside.values()), of, [run]) for run, of in first.values())
    tables = "".join(_strategies(each) for each in found if each)
    return f"<h2>Triplet mining compared</h2>{tables}" if tables else ""


def _strategies(found: Sequence[strategies.Strategy]) -> str:
    rows, lines = [], []
    for each in found:
        spread = each.accuracies
        shown = _percent(spread.mean()) + f" ({_percent(spread.min())} to {_percent(spread.max())})" * (len(spread) > 1)
        rows.append((each.mining, each.batches, len(spread), shown))
        try:
            lines.append((f"{each.mining}, {each.batches}", store.history(each.runs[0])))
        except StoreError:
            continue  # its table is damaged; the row says what run.json knows
    names = ("mining", "batches", "runs", "test accuracy")
    drawn = figures.comparison(lines)
    words = "Runs on the same images that have network, objective and number of epochs in common: "
    words += f"{found[0].network}, {found[0].objective}, {found[0].epochs} epochs."
    if others := strategies.differing(found):
        words += f" They differ in more than mining: {', '.join(others)}."
    return _together(f"<p>{text(words)}</p>{figures.table(names, rows)}{drawn}")
