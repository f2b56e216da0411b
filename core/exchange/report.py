"""A lab report: one HTML file without anything from a network, or a zip of it with pictures, tables and settings."""

import base64
import html
import io
import json
import zipfile
from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.analysis import disputes, mistakes
from core.analysis.embedded import Embedded
from core.dataset.loader import DataSet
from core.exchange import pictures
from core.runs import explaining, notes, store
from core.runs.store import Run
from core.settings.config import to_dict

QUESTIONS = (
    "Which classes are confused most, and why?",
    "What do the misclassified images have in common?",
    "How does the way triplets are mined change the result?",
)
_STYLE = """
body { font: 11pt/1.4 system-ui, sans-serif; max-width: 190mm; margin: 8mm auto; color: #111; background: #fff; }
table { border-collapse: collapse; margin: 3mm 0; } 
td, th { border: 1px solid #bbb; padding: 1mm 2mm; text-align: right; }
th { background: #eee; } td.text, th.text { text-align: left; } td.same { color: #888; }
img { image-rendering: pixelated; width: 20mm; } h2 { break-after: avoid; } svg { width: 100%; max-width: 150mm; }
figure { display: inline-block; margin: 1mm; text-align: center;
  font-size: 8pt; max-width: 34mm; overflow-wrap: anywhere; }
.mistake { break-inside: avoid; border-top: 1px solid #ccc; padding: 2mm 0; } p.answer { white-space: pre-wrap; }
.settings { columns: 2; font-size: 9pt; } @page { size: A4; margin: 15mm; } @media print { body { margin: 0; } }
"""


def page(runs: Sequence[Run], images: Sequence[DataSet]) -> str:
    """The report on runs, each with the images that it was trained on, as HTML. Raises StoreError."""
    titles = ", ".join(run.title for run in runs)
    body = "".join(_run(run, of) for run, of in zip(runs, images, strict=True))
    head = f'<meta charset="utf-8"><title>{_text(titles)}</title><style>{_STYLE}</style>'
    summary = _comparison(runs) if len(runs) > 1 else ""
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body><h1>Lab report</h1>{summary}{body}</body></html>\n'


def packed(runs: Sequence[Run], images: Sequence[DataSet]) -> bytes:
    """A zip file: the report, and for each run settings, tables and three pictures a mistake. Raises StoreError."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.html", page(runs, images))
        for run, of in zip(runs, images, strict=True):
            _, wrong = _wrong(run, of)
            archive.writestr(f"{run.id}/settings.json", json.dumps(to_dict(run.config), indent=1))
            archive.writestr(f"{run.id}/history.csv", store.history(run).to_csv(index=False))
            for name, content in pictures.files(wrong, of).items():
                archive.writestr(f"{run.id}/{name}", content)
    return stream.getvalue()


def _text(value) -> str:
    return html.escape(str(value))


def _wrong(run: Run, images: DataSet) -> tuple[Embedded, pd.DataFrame]:
    embedded = store.embedded(run, explaining.last_epoch(run))
    return embedded, mistakes.find(images, embedded)


def _comparison(runs: Sequence[Run]) -> str:
    rows = [(run.title, f"{100 * run.result.test_accuracy:.1f} %", run.result.epochs) for run in runs if run.result]
    return "<h2>Runs</h2>" + _table(("run", "test accuracy", "epochs"), rows)


def _table(names: Sequence[str], rows: Sequence[Sequence]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in names)
    lines = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _run(run: Run, images: DataSet) -> str:
    embedded, wrong = _wrong(run, images)
    noted = notes.read(run)
    labelled, without = disputes.accuracies(embedded.predicted, images)
    epoch = explaining.last_epoch(run)
    right = f"{100 * labelled:.1f} % of {len(images.test.ids):,} test images, as labelled, after epoch {epoch}"
    right += f"; {100 * without:.1f} % without those whose label people dispute" if without is not None else ""
    settings = "<br>".join(f"{_text(name)}: {_text(value)}" for name, value in to_dict(run.config).items())
    tags = noted.tag_counts()
    parts = [
        f"<h2>{_text(run.title)}</h2><p>{right}.</p><p>Run {_text(run.id)}, {_text(images.description)}, ",
        f"fingerprint {_text(images.fingerprint[:12])}.</p>",
        f"<h3>Curves</h3>{_curves(store.history(run))}",
        f"<h3>Confusion matrix</h3><p>Rows: true class. Columns: predicted class.</p>{_confusion(embedded, images)}",
        f"<h3>Tags</h3>{_table(('tag', 'images'), list(tags.items()))}" if tags else "",
        f"<h3>Misclassified test images ({len(wrong)})</h3>",
        *(_mistake(row, images, noted.images.get(row.id)) for row in wrong.itertuples()),
        "<h3>Questions</h3>",
        *(
            f'<h4>{_text(question)}</h4><p class="answer">{_text(noted.answers.get(question) or "–")}</p>'
            for question in dict.fromkeys((*QUESTIONS, *noted.answers))
        ),
        f'<h3>Settings</h3><div class="settings">{settings}</div>',
    ]
    return "".join(parts)


def _curves(table: pd.DataFrame) -> str:
    """Accuracy of training (dashed) and test images over the epochs, as SVG."""
    if table.empty:
        return "<p>–</p>"
    epochs = table["epoch"].to_numpy(float)
    lines = []
    for name, style in (("train_accuracy", 'stroke-dasharray="6 4"'), ("test_accuracy", "")):
        values = table[name].to_numpy(float)
        across = 60 + 520 * (epochs - epochs[0]) / max(epochs[-1] - epochs[0], 1)
        points = " ".join(f"{x:.1f},{210 - 190 * y:.1f}" for x, y in zip(across, values, strict=True) if np.isfinite(y))
        lines.append(f'<polyline points="{points}" fill="none" stroke="#0b6e99" stroke-width="2" {style}/>')
    grid = "".join(
        f'<line x1="60" x2="580" y1="{210 - 190 * y}" y2="{210 - 190 * y}" stroke="#ddd"/>'
        f'<text x="52" y="{214 - 190 * y}" text-anchor="end" font-size="12">{100 * y:.0f} %</text>'
        for y in (0, 0.5, 1)
    )
    axis = f'<text x="320" y="236" text-anchor="middle" font-size="12">epoch {epochs[0]:.0f} to {epochs[-1]:.0f}</text>'
    caption = "<p>Accuracy of the test images (line) and the training images (dashed).</p>"
    return f'<svg viewBox="0 0 600 245" role="img" aria-label="accuracy">{grid}{"".join(lines)}{axis}</svg>{caption}'


def _confusion(embedded: Embedded, images: DataSet) -> str:
    count = len(images.classes)
    cells = np.bincount(images.test.labels * count + embedded.predicted, minlength=count**2).reshape(count, count)
    head = "<tr><th></th>" + "".join(f"<th>{_text(name)}</th>" for name in images.classes) + "</tr>"
    rows = [
        f"<tr><th>{_text(images.classes[true])}</th>"
        + "".join(f"<td{' class=same' * (true == said)}>{each or ''}</td>" for said, each in enumerate(row))
        + "</tr>"
        for true, row in enumerate(cells.tolist())
    ]
    return f"<table>{head}{''.join(rows)}</table>"


def _mistake(row, images: DataSet, note: notes.Note | None) -> str:
    name_of = dict(zip(images.class_numbers, images.classes, strict=True))
    true, said = name_of[row.true], name_of[row.predicted]
    shown = (
        (images.test.images[row.test_index], f"{row.id}: labelled {true}, called {said} ({row.score:.0%})"),
        (
            images.train.images[row.nearest_true_index],
            f"nearest {true}: {row.nearest_true_id}, {row.nearest_true_distance:.2f}",
        ),
        (
            images.train.images[row.nearest_predicted_index],
            f"nearest {said}: {row.nearest_predicted_id}, {row.nearest_predicted_distance:.2f}",
        ),
    )
    figures = "".join(
        f'<figure><img src="data:image/png;base64,{base64.b64encode(pictures.png(pixels)).decode()}" '
        f'alt="{_text(text)}"><figcaption>{_text(text)}</figcaption></figure>'
        for pixels, text in shown
    )
    words = f"<p>{_text(', '.join(note.tags))} {_text(note.text)}</p>" if note else ""
    return f'<div class="mistake">{figures}{words}</div>'
