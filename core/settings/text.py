"""Settings as text, as a command line, a form and an address hold them."""

import csv
import io
import re

from core.settings.config import settings
from core.settings.setting import IDS, LIST, ConfigError
from core.settings.words import nearest

_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")


def parse_setting(text: str) -> tuple[str, object]:
    """`"key=value"` of the command line as (name, value). Raises ConfigError for an unknown key or a bad value."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise ConfigError(f"--set {text}: write key=value, e.g. --set epochs=3")
    return parse_value(name, value)


def parse_value(name: str, text: str) -> tuple[str, object]:
    """The value of the setting `name` written as text; lists are `2,2,4,16`, with or without brackets.

    Raises ConfigError for an unknown name, what cannot be read, and a value out of bounds.
    """
    known = {each.name: each for each in settings()}
    if name not in known:
        raise ConfigError(f"no such setting{nearest(name, known)}", name)
    setting, text = known[name], text.strip()
    try:
        if setting.type == LIST:
            items = text.strip("[]() ")
            value = tuple(_number(int, item) for item in items.split(",")) if items else ()
        elif setting.type == IDS:
            value = ids(text)
        else:
            value = text if setting.type is str else _number(setting.type, text)
    except ValueError:
        wanted = {int: "a whole number", float: "a number"}.get(setting.type, "a list of whole numbers, e.g. 2,2,4,16")
        raise ConfigError(f"{text!r} is not {wanted}", name) from None
    try:
        return name, setting.checked(value)
    except ValueError as error:
        raise ConfigError(str(error), name) from None


def _number(kind: type, text: str) -> float:
    """A number as people write it: of the digits 0 to 9, with a decimal point or comma. Raises ValueError."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return kind(text.replace(",", ".", 1) if kind is float else text)


def ids(text: str) -> tuple[str, ...]:
    """Ids as a line of a CSV file holds them: those with a comma or a quote in quotes."""
    items = [item.strip() for line in csv.reader(text.splitlines(), skipinitialspace=True) for item in line]
    return tuple(filter(None, items))


def written(value) -> str:
    """A setting's value as `parse_value` reads it."""
    if not isinstance(value, tuple):
        return str(value)
    if not any(isinstance(item, str) for item in value):
        return ", ".join(map(str, value))
    return ", ".join(_quoted(item) for item in value)


def _quoted(item: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([item])
    return line.getvalue()
