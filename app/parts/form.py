"""Widgets -> RunConfig. Labels, bounds, defaults and help texts come from core.settings.config."""

import dataclasses

import streamlit as st

from app import session
from core.settings.choices import ARCHITECTURES
from core.settings.config import GROUPS, ConfigError, RunConfig, applies, parse_value, settings
from core.settings.presets import PRESETS, from_preset

_SHORT = 12  # characters that half a column shows


def run_form() -> tuple[RunConfig | None, str]:
    """The preset picker and a widget for every setting that has an effect: the settings, or None while they clash and
    the reason.
    """
    st.selectbox(
        "Preset",
        PRESETS,
        format_func=lambda name: PRESETS[name].title,
        key="form_preset",
        on_change=lambda: session.fill_form(from_preset(session.recall("form_preset"))),
        help="A recipe that fills in all settings below. Change what you like.",
    )
    preset = session.recall("form_preset")
    st.caption(PRESETS[preset].expect)
    held = {field.name: session.setting_value(field.name) for field in settings()}
    for group, name in GROUPS.items():
        fields = [field for field in settings() if field.metadata["group"] == group]
        if group in ("network", "objective"):
            with st.container(border=True):
                st.markdown(f"**{name}**")
                _widgets(fields, held)
        else:
            with st.expander(name, expanded=group == "training"):
                _widgets(fields, held)
    try:
        values = {field.name: session.setting_value(field.name) for field in settings()}
        values |= dict(parse_value(field.name, values[field.name]) for field in settings() if _is_list(field))
        return RunConfig(preset=preset, **values), ""
    except ConfigError as error:
        return None, str(error)


def _is_list(field: dataclasses.Field) -> bool:
    return field.type == tuple[int, ...]


def _is_short(field: dataclasses.Field) -> bool:
    """Whether half a column is enough for it."""
    choices = field.metadata["choices"]
    return not _is_list(field) and (not choices or max(map(len, choices.values())) <= _SHORT)


def _widgets(fields: list[dataclasses.Field], held: dict) -> None:
    """A widget for each field that applies, in their order; short ones side by side, waiting for each other."""
    waiting: list[dataclasses.Field] = []
    for field in fields:
        if not applies(field, held):
            continue
        if not _is_short(field):
            _widget(field)
            continue
        waiting.append(field)
        if len(waiting) == 2:
            _side_by_side(waiting)
            waiting = []
    _side_by_side(waiting)


def _side_by_side(fields: list[dataclasses.Field]) -> None:
    for column, field in zip(st.columns(2, vertical_alignment="bottom") if fields else [], fields, strict=False):
        with column:
            _widget(field)


def _widget(field: dataclasses.Field) -> None:
    facts, key = field.metadata, session.setting_key(field.name)
    if facts["choices"]:
        st.selectbox(
            facts["label"],
            facts["choices"],
            format_func=facts["choices"].get,
            key=key,
            help=facts["help"],
            on_change=_bring_blocks if field.name == "architecture" else None,
        )
    elif _is_list(field):
        bounds = f" From {facts['low']} to {facts['high']} blocks a stage." if field.name == "blocks" else ""
        example = None if field.default else "numbers, e.g. 3, 5"
        st.text_input(facts["label"], key=key, help=facts["help"] + bounds, max_chars=80, placeholder=example)
    else:
        unit = f" {facts['unit']}" if facts["unit"] else ""
        whole = field.type is int
        st.number_input(
            facts["label"],
            min_value=field.type(facts["low"]),
            max_value=field.type(facts["high"]),
            step=field.type(facts["step"]),
            format="%d" if whole else "%g",
            key=key,
            help=f"{facts['help']} From {facts['low']:,g} to {facts['high']:,g}{unit}.",
        )


def _bring_blocks() -> None:
    """Another architecture comes with the blocks that it is known for."""
    session.set_blocks(ARCHITECTURES[session.setting_value("architecture")].blocks)
