"""README and docs/: short, linked, and with the tables that benchmarks/results gives."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import results

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("document", results.documents(), ids=lambda file: file.name)
def test_tables_are_what_was_measured(document):
    """If this fails: python -m benchmarks.results."""
    text = document.read_text(encoding="utf-8")
    assert results.filled(text) == text


def test_a_stale_table_is_found():
    stale = "before\n<!-- generated: overhead -->\n| old |\n<!-- end -->\nafter\n"
    made = results.filled(stale)
    assert made.startswith("before\n<!-- generated: overhead -->\n| what |")
    assert made.endswith("<!-- end -->\nafter\n")
    assert "old" not in made
    with pytest.raises(KeyError):
        results.filled(stale.replace("overhead", "unknown"))


@pytest.mark.parametrize("document", [*results.documents(), ROOT / "CONTRIBUTING.md"], ids=lambda file: file.name)
def test_links_lead_to_files(document):
    targets = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
    assert not [each for each in targets if not (document.parent / each).exists()]


@pytest.mark.parametrize("document", [*results.documents(), ROOT / "CONTRIBUTING.md"], ids=lambda file: file.name)
def test_commands_are_there(document):
    named = set(re.findall(r"python3? -m ((?:app|core|tests|benchmarks)[\w.]*)", document.read_text(encoding="utf-8")))
    assert not [each for each in named if find_spec(each.rstrip(".")) is None]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
