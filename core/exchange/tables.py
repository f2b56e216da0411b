"""Tables that leave the lab for a spreadsheet."""

import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_csv(table: pd.DataFrame) -> bytes:
    """The table as CSV in UTF-8, without its index; a text that a spreadsheet would compute begins with an apostrophe.

    Ids and class names may come from another computer. Numbers stay as they are. See OWASP, CSV injection.
    """
    safe = table.map(_text).rename(columns=_text)
    return safe.to_csv(index=False).encode()


def _text(value):
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
