"""The settings of the next run: a field for each that has an effect. What it holds: app/exercise.py."""

import streamlit as st

from app import session
from app.components.copy_link import copy_link
from app.parts import messages, rate_test
from core.settings.choices import ARCHITECTURES
from core.settings.config import GROUPS, RunConfig, applies
from core.settings.in_words import FIELDS, label, shown, tidy
from core.settings.presets import PRESETS, changes, from_preset
from core.settings.setting import IDS, LIST, Setting

_SHORT = 12  # characters that half a column shows


def preset_picker() -> None:
    """The preset, what to expect of it, and what has been changed since."""
    form = session.form()
    if "preset" in form.hide:
        return
    session.show("form_preset", form.preset)
    st.selectbox(
        "Preset",
        PRESETS,
        list(PRESETS).index(form.preset),
        format_func=lambda name: PRESETS[name].title,
        key="form_preset",
        on_change=session.whole(lambda: take(from_preset(session.recall("form_preset")))),
        disabled="preset" in form.lock,
        help="A recipe that fills in all settings below. Change what you like.",
    )
    st.caption(PRESETS[form.preset].expect)


def take(config: RunConfig) -> None:
    """Fills the form with the settings of a preset or a run."""
    session.form().fill(config)


def fields(wrong: dict[str, str]) -> None:
    """A field for every setting that has an effect, with the reason beneath where its text has no value."""
    form = session.form()
    values, _ = form.read()
    before = from_preset(form.preset)
    for group, name in GROUPS.items():
        here = [each for each in FIELDS.values() if each.group == group and each.name not in form.hide]
        here = [each for each in here if applies(each, values)]
        if not here:
            continue
        if often := [each for each in here if not each.rare]:
            st.caption(f"**{name}**")
            _in_pairs(often, wrong)
        if rare := [each for each in here if each.rare]:
            with st.container(key=f"rare_{group}"):
                fold = st.expander(f"More of {name.lower()}" if often else name, key=f"fold_{group}", on_change="rerun")
            told = [each for each in rare if each.name in wrong or form.fixed(each.name)]
            told += [each for each in rare if values[each.name] != getattr(before, each.name)]
            if fold.open or told:  # half of all fields: closed, they would only make each drawing of the page slower
                with fold:
                    _in_pairs(rare, wrong)


def changed(config: RunConfig | None) -> None:
    """What differs from the preset, each with the way back; and the link to this form."""
    form = session.form()
    different = changes(config) if config else {}
    with st.container():  # always there, so that the fields below keep their place, and with it what is being typed
        if different:
            _marks(different)
            before = from_preset(form.preset)
            with st.container(horizontal=True, gap="small", key="changed"):
                for name, now in different.items():
                    told = f"↺ {label(name)} {shown(name, now)}"
                    back = f"Back to the preset’s: {shown(name, getattr(before, name))}"
                    options = {"type": "tertiary", "help": messages.plain(back), "disabled": form.fixed(name)}
                    text = tidy(getattr(before, name))
                    st.button(
                        messages.plain(told),
                        key=f"back_{name}",
                        on_click=session.whole(form.typed),
                        args=(name, text),
                        **options,
                    )
    with st.container(horizontal=True, vertical_alignment="center"):
        copy_link({"preset": form.preset} | form.address())
        rate_test.button(config)
        if different:
            st.button(
                "Back to the preset", on_click=session.whole(take), args=(from_preset(form.preset),), type="tertiary"
            )


def _marks(different: dict[str, object]) -> None:
    """A dot behind the label of each field that differs from the preset, and behind the group that it is folded in."""
    groups = {FIELDS[name].group for name in different if FIELDS[name].rare}
    places = [f".st-key-set_{name} label p::after" for name in different]
    places += [f".st-key-rare_{group} summary p::after" for group in groups]
    st.html(f'<style>{", ".join(places)} {{ content: " ●"; color: var(--lab-mark); }}</style>')


def _is_list(field: Setting) -> bool:
    return field.type in (LIST, IDS)


def _is_short(field: Setting) -> bool:
    """Whether half a column is enough for it."""
    choices = field.choices
    return not _is_list(field) and (not choices or max(map(len, choices.values())) <= _SHORT)


def _in_pairs(here: list[Setting], wrong: dict[str, str]) -> None:
    """The fields in their order; short ones side by side, waiting for each other."""
    waiting: list[Setting] = []
    for field in here:
        if not _is_short(field):
            with st.container():
                _field(field, wrong)
            continue
        waiting.append(field)
        if len(waiting) == 2:
            _side_by_side(waiting, wrong)
            waiting = []
    _side_by_side(waiting, wrong)


def _side_by_side(here: list[Setting], wrong: dict[str, str]) -> None:
    for column, field in zip(st.columns(2) if here else [], here, strict=False):
        with column:
            _field(field, wrong)


def _field(field: Setting, wrong: dict[str, str]) -> None:
    name, form = field.name, session.form()
    key, disabled = f"set_{name}", name in form.lock
    options = {
        "key": key,
        "help": _help(field),
        "disabled": disabled,
        "on_change": session.whole(_typed),
        "args": (name, key),
    }
    if field.choices:
        session.show(key, field.type(form.texts[name]))
        place = list(field.choices).index(session.recall(key))
        st.selectbox(field.label, field.choices, place, format_func=field.choices.get, **options)
        return
    session.show(key, form.texts[name])
    example = "numbers, e.g. 3, 5" if field.default == () else None
    longest = 80
    if field.type == IDS:
        example, longest = "ids, as Mistakes shows them", None
    # Its text is its default as well: what `show` sends is lost where this drawing gives way to the next one
    st.text_input(field.label, form.texts[name], max_chars=longest, placeholder=example, **options)
    if name in wrong:
        st.caption(f":red[{messages.plain(f'{label(name)}: {wrong[name]}')}]")


def _help(field: Setting) -> str:
    """What a setting does, and what its field accepts."""
    if field.choices:
        return field.help
    if _is_list(field):
        return field.help + f" From {field.low} to {field.high} blocks a stage." * (field.name == "blocks")
    unit = f" {field.unit}" if field.unit else ""
    return f"{field.help} From {field.low:,g} to {field.high:,g}{unit}."


def _typed(name: str, key: str) -> None:
    """Takes what a field holds now; another architecture comes with the blocks that it is known for."""
    form, value = session.form(), session.recall(key)
    form.typed(name, str(value))
    if name == "architecture" and not form.fixed("blocks"):
        form.texts["blocks"] = ", ".join(map(str, ARCHITECTURES[value].blocks))
