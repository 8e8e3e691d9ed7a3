"""From the name that from_pretrained() gets to a folder on this machine. Nothing is ever downloaded."""
from __future__ import annotations

import os
from pathlib import Path

from ._errors import NotFoundError

_HERE = Path(__file__).resolve().parent
GET_MINILM = Path("tools") / "get-minilm"


def resolve(name: str | os.PathLike[str]) -> Path:
    """The model folder that a name stands for.

    In this order, which is also the program's: a path that exists; ROOT/name for the roots in $DEEPSEEK_MODELS (separated
    by colons); the package's own models/name, or the checkout's when the package lies in one;
    $XDG_DATA_HOME/deepseek/models/name (without XDG_DATA_HOME ~/.local/share). "deepseek/base-model" comes with the
    package and the checkout.

    Raises NotFoundError (a FileNotFoundError) that lists where it looked.
    """
    text = os.fspath(name)
    places = _places(text)
    for place in places:
        if place.is_dir():
            return place
    lines = "".join(f"\n  {place}" for place in places)
    raise NotFoundError(f"there is no model {text!r} here. Looked for the folders{lines}")


def _places(name: str) -> list[Path]:
    places = [Path(name).expanduser()]
    if not name or Path(name).is_absolute():
        return places
    places += [Path(root) / name for root in os.environ.get("DEEPSEEK_MODELS", "").split(":") if root]
    places.append(_HERE / "models" / name)
    checkout = _checkout()
    if checkout:
        places.append(checkout / "models" / name)
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    places.append(Path(data).expanduser() / "deepseek" / "models" / name)
    return places


def _checkout() -> Path | None:
    """The checkout that this package lies in: its sources, or an environment that was made inside of it."""
    return next((folder for folder in _HERE.parents if (folder / GET_MINILM).is_file()), None)
