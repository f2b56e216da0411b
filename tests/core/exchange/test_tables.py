"""A table for a spreadsheet."""

import pandas as pd

from core.exchange.tables import safe_csv


def test_no_cell_is_computed_by_a_spreadsheet():
    table = pd.DataFrame(
        {"id": ["=1+1", "+2", "-3", "@SUM(A1)", "\tx", "plain", "a=b"], "=x": [-1.5, 2, 3, 4, 5, 6, 7]}
    )
    lines = safe_csv(table).decode().splitlines()
    assert lines[0] == "id,'=x"
    assert [line.split(",")[0] for line in lines[1:]] == ["'=1+1", "'+2", "'-3", "'@SUM(A1)", "'\tx", "plain", "a=b"]
    assert lines[1].endswith(",-1.5")  # a number stays one
