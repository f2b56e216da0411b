"""Widgets -> RunConfig. Labels, bounds, defaults and help texts come from core.config."""

import dataclasses

import streamlit as st

from app import state
from core.config import (
    DEFAULT_BLOCKS,
    GROUPS,
    PRESETS,
    ConfigError,
    RunConfig,
    applies,
    parse_value,
    settings,
)


def run_form() -> RunConfig | None:
    """The preset picker and a widget for every setting that has an effect; None, with the reason, while they clash."""
    st.selectbox(
        "Preset",
        PRESETS,
        format_func=lambda name: PRESETS[name].title,
        key="form_preset",
        on_change=lambda: state.fill_form(state.recall("form_preset")),
        help="A recipe that fills in all settings below. Change what you like.",
    )
    preset = state.recall("form_preset")
    st.caption(PRESETS[preset].expect)
    held = {field.name: state.setting_value(field.name) for field in settings()}
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
        values = {field.name: state.setting_value(field.name) for field in settings()}
        values["blocks"] = parse_value("blocks", values["blocks"])[1]
        return RunConfig(preset=preset, **values)
    except ConfigError as error:
        st.error(str(error))
        return None


def _widgets(fields: list[dataclasses.Field], held: dict) -> None:
    """A widget for each field that applies; short ones side by side."""
    shown = [field for field in fields if applies(field, held)]
    wide = [field for field in shown if field.metadata["choices"] or field.name == "blocks"]
    for field in wide:
        _widget(field)
    numbers = [field for field in shown if field not in wide]
    for row in range(0, len(numbers), 2):
        for column, field in zip(st.columns(2), numbers[row : row + 2], strict=False):
            with column:
                _widget(field)


def _widget(field: dataclasses.Field) -> None:
    facts, key = field.metadata, state.setting_key(field.name)
    if facts["choices"]:
        blocks = state.set_blocks if field.name == "architecture" else None
        st.selectbox(
            facts["label"],
            facts["choices"],
            format_func=facts["choices"].get,
            key=key,
            help=facts["help"],
            on_change=(lambda: blocks(DEFAULT_BLOCKS[state.setting_value("architecture")])) if blocks else None,
        )
    elif field.name == "blocks":
        bounds = f" From {facts['low']} to {facts['high']} blocks a stage."
        st.text_input(facts["label"], key=key, help=facts["help"] + bounds, max_chars=40)
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
