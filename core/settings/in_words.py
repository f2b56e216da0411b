"""Settings as people read them: their labels, the titles of choices, numbers with their units."""

from core.settings.config import RunConfig, applies, settings
from core.settings.presets import PRESETS, changes, from_preset
from core.settings.setting import IDS
from core.settings.text import written

FIELDS = {each.name: each for each in settings()}
_NAMED = 2  # images of a list that are named in a sentence


def label(name: str) -> str:
    """What a setting is called in the form."""
    return FIELDS[name].label if name in FIELDS else name.capitalize()


def tidy(value) -> str:
    """A setting's value as a field shows it: 3 for 3.0, and never rounded."""
    if isinstance(value, float) and float(text := f"{value:.12g}") == value:
        return text
    return written(value)


def shown(name: str, value) -> str:
    """A setting's value as people read it: the title of a choice, a number with the unit that its label lacks."""
    setting = FIELDS[name]
    if setting.choices:
        return setting.choices[value]
    if setting.type == IDS and len(value) > _NAMED:
        return f"{len(value)} images"
    unit = "" if setting.unit in setting.label.lower() else f" {setting.unit}"
    return (tidy(value) or "none") + (unit.removesuffix("s") if value == 1 else unit)


def differences(config: RunConfig) -> list[tuple[str, str, str]]:
    """Label, value and the preset's value of each setting in which a configuration differs from its preset, where it
    has an effect."""
    before = from_preset(config.preset) if config.preset in PRESETS else RunConfig()
    return [
        (label(name), shown(name, now), shown(name, getattr(before, name))) for name, now in changes(config).items()
    ]


def in_effect(config: RunConfig) -> list[tuple[str, str]]:
    """Label and value of each setting that has an effect."""
    now = dict(config)
    return [(label(name), shown(name, now[name])) for name, each in FIELDS.items() if applies(each, now)]


def in_short(config: RunConfig) -> str:
    """The preset and what differs from it, e.g. "preset Quick look, Epochs 4 (instead of 9)"."""
    preset = PRESETS[config.preset].title if config.preset in PRESETS else config.preset
    told = [f"{name} {now} (instead of {before})" for name, now, before in differences(config)]
    return ", ".join([f"preset {preset}", *(told or ["unchanged"])])
