"""A button that copies an address of this lab to the clipboard, also where a page has no secure context."""

from urllib.parse import urlencode

import streamlit as st

_mount = st.components.v2.component(
    "tripletlab_copy_link",
    html='<button type="button" class="copy">Copy link</button>',
    css="""
    .copy { font: inherit; color: var(--st-text-color); background: none; border: 0; padding: 4px 2px; cursor: pointer;
            text-decoration: underline; text-underline-offset: 3px; }
    .copy:hover { color: var(--st-primary-color); }
    .copy:focus-visible { outline: 2px solid var(--st-primary-color); border-radius: 4px; }
    """,
    js="""
    const old = (text) => {
      const field = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    };
    export default ({ parentElement, data }) => {
      const button = parentElement.querySelector(".copy");
      button.title = "An address that fills in this form";
      button.onclick = async () => {
        const link = new URL(data.address, document.baseURI).href;
        try { await navigator.clipboard.writeText(link); } catch { old(link); }
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy link"; }, 1500);
      };
    };
    """,
)


def copy_link(form: dict[str, str]) -> None:
    """Draws the button for a form as app/exercise.py puts it into the address."""
    _mount(key="copy_link", data={"address": "train?" + urlencode(form, safe=",")})
