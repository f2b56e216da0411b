"""Packages that only some exports need: those of requirements-export.txt."""

from importlib import import_module
from types import ModuleType

from core.exchange.archives import UploadError


class PackageMissing(UploadError):
    """An export that needs a package which is not installed."""


def needed(module: str) -> ModuleType:
    """A module of such a package. Raises PackageMissing, which says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise PackageMissing(
            f"this export needs the package {module.partition('.')[0]}, which is not installed; "
            "install it with: .venv/bin/python -m pip install -r requirements-export.txt"
        ) from error
