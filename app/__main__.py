"""Starts the dashboard: python -m app [--data DIR] [--runs DIR] [--port N] [--share]."""

import argparse
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch, see app/main.py

import streamlit as st

from core import places, sources
from core.data import DataError


def main() -> int:
    """Prepares the data set if there is none, then serves the dashboard until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Opens the TripletLab dashboard.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the data set (default: mnist/)")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="the folder of runs (default: checkpoints/)")
    parser.add_argument("--port", type=int, default=8501, help="default: 8501")
    parser.add_argument("--share", action="store_true", help="let other computers of the network see the page")
    options = parser.parse_args()
    if options.data:
        os.environ["TRIPLETLAB_DATA"] = str(options.data.resolve())
    if options.runs:
        os.environ["TRIPLETLAB_RUNS"] = str(options.runs.resolve())
    try:
        found = sources.prepare(places.data_folder(), progress=lambda text: print(text, flush=True))
        print(f"Data set: {found.description}", flush=True)
    except DataError as error:  # the page says it as well, and what to do
        print(f"error: {error}", file=sys.stderr)
    print(f"TripletLab: http://127.0.0.1:{options.port}  (Ctrl-C ends it)", flush=True)
    address = "0.0.0.0" if options.share else "127.0.0.1"
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # not a line for every file of every page
    main_page = Path(__file__).resolve().parent / "main.py"
    st.App(main_page).run(config={"server.port": options.port, "server.address": address})
    return 0


if __name__ == "__main__":
    sys.exit(main())
