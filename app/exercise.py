"""The form as text: what its fields hold, what they mean, and the address that gives it back.

An address is `/train?preset=quick&epochs=3&lock=epochs,margin&hide=seed`: a preset, the settings that differ from it by
their names, and those that a teacher has fixed or hidden. The fields hold texts, so that what cannot be read stays
visible and is named, and no field ever stands for another value than the one that it shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.settings.config import RunConfig, applies
from core.settings.in_words import FIELDS, label, tidy
from core.settings.presets import NEUTRAL, PRESETS, from_preset
from core.settings.setting import IDS, ConfigError
from core.settings.text import parse_value, written
from core.settings.training import MOST_LEFT_OUT

FIRST = next(iter(PRESETS))
OWN = ("preset", "lock", "hide", *FIELDS)  # names in the address that are the form's
_LONGEST = 200  # characters of a value in the address that are looked at
_LONGEST_IDS = 60 * MOST_LEFT_OUT  # of one that names images


def texts_of(config: RunConfig) -> dict[str, str]:
    """Every setting of a configuration, as its field shows it."""
    return {name: tidy(getattr(config, name)) for name in FIELDS}


def whole_number(text: str, lowest: int, highest: int) -> int | None:
    """A number from `lowest` to `highest` in the digits 0 to 9, or None for any other text."""
    plain = text.strip()
    return int(plain) if plain.isascii() and plain.isdigit() and lowest <= int(plain) <= highest else None


@dataclass
class Form:
    """What the fields hold: the preset and a text for every setting."""

    preset: str = FIRST
    texts: dict[str, str] = field(default_factory=lambda: texts_of(from_preset(FIRST)))
    valid: dict[str, str] = field(default_factory=dict)  # what fields held last that could be read
    lock: tuple[str, ...] = ()  # names that cannot be changed: settings, or "preset"
    hide: tuple[str, ...] = ()  # names that are not shown either

    def fixed(self, name: str) -> bool:
        """Whether a teacher's link forbids to change this."""
        return name in self.lock or name in self.hide

    def fill(self, config: RunConfig) -> None:
        """Takes the settings of a configuration, but for those that are fixed."""
        if not self.fixed("preset"):
            # A run that was brought in may name any preset; the neutral one has no values of its own
            self.preset = config.preset if config.preset in PRESETS else NEUTRAL
        self.texts |= {name: text for name, text in texts_of(config).items() if not self.fixed(name)}

    def typed(self, name: str, text: str) -> None:
        """Takes what was typed into a field; one that was cleared goes back to what it held before."""
        if _read(name, self.texts[name])[1] == "":
            self.valid[name] = self.texts[name]
        if text.strip() or FIELDS[name].default == ():  # an empty list of classes is a value
            self.texts[name] = text
        else:
            self.texts[name] = self.valid.get(name, self.texts[name])

    def leave_out(self, ids: Sequence[str]) -> None:
        """Takes these training images besides those that are left out already, as many as a run can leave out."""
        before = self.read()[0]["exclude"]
        new = [each for each in dict.fromkeys(ids) if each not in before]
        self.typed("exclude", written((*before, *new)[:MOST_LEFT_OUT]))

    def read(self) -> tuple[dict[str, object], dict[str, str]]:
        """The values of all settings, and why some texts have none; the value before stands in for these."""
        values, wrong = dict(from_preset(self.preset)), {}
        for name, text in self.texts.items():
            value, reason = _read(name, text)
            if reason:
                wrong[name] = reason
                value, reason = _read(name, self.valid.get(name, ""))
            if not reason:
                values[name] = value
        return values, {name: reason for name, reason in wrong.items() if applies(FIELDS[name], values)}

    def config(self) -> tuple[RunConfig | None, dict[str, str], ConfigError | None]:
        """The configuration or None, why fields are wrong, and how settings that can be read clash."""
        values, wrong = self.read()
        if wrong:
            return None, wrong, None
        try:
            return RunConfig(**values | {"preset": self.preset}), {}, None
        except ConfigError as error:
            return None, {}, error

    def address(self) -> dict[str, str]:
        """The form in the address: what differs from the preset; of what cannot be read, the value before."""
        values, _ = self.read()
        before = dict(from_preset(self.preset))
        changed = {name: tidy(values[name]).replace(", ", ",") for name in FIELDS if values[name] != before[name]}
        fixed = {"lock": ",".join(self.lock), "hide": ",".join(self.hide)}
        found = changed | {name: names for name, names in fixed.items() if names}
        return {"preset": self.preset} | found if found or self.preset != FIRST else {}


def _read(name: str, text: str) -> tuple[object, str]:
    """The value of a setting's text, and why it has none."""
    try:
        return parse_value(name, text)[1], ""
    except ConfigError as error:
        return None, error.reason


def from_address(given: dict[str, str]) -> tuple[Form, list[str]]:
    """The form that an address gives, and what in it cannot be used, in words."""
    form, complaints = Form(), []
    if (preset := given.get("preset", FIRST)) in PRESETS:
        form.preset, form.texts = preset, texts_of(from_preset(preset))
    else:
        complaints.append(f"there is no preset {short(preset)}")
    for name in FIELDS.keys() & given.keys():
        longest = _LONGEST_IDS if FIELDS[name].type == IDS else _LONGEST
        value, reason = _read(name, given[name][:longest])
        if reason:
            complaints.append(f"{label(name)}: {reason}")
        else:
            form.texts[name] = tidy(value)
    known = ("preset", *FIELDS)
    for what in ("lock", "hide"):
        names = tuple(dict.fromkeys(name.strip() for name in given.get(what, "").split(",") if name.strip()))
        setattr(form, what, tuple(name for name in names if name in known))
        complaints += [f"{what} names {short(name)}, which is no setting" for name in names if name not in known]
    return form, complaints


def short(text: str) -> str:
    """A value of the address in a sentence."""
    return f"“{text[:40]}{'…' * (len(text) > 40)}”"
