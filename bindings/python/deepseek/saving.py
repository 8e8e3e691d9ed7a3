"""Writing model folders where something may stand already."""
from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable

from ._errors import InvalidArgumentError

COPIED = {".json", ".txt", ".safetensors", ".model"}


def write_into(folder: Path, write: Callable[[Path], None]) -> None:
    """Calls write(PATH) for a path that does not exist, and brings what it made to `folder`, replacing files there.

    A folder that does not exist appears whole. Weights of before that have other names are removed.
    """
    if folder.is_file():
        raise InvalidArgumentError(f"{folder} is a file, expected a folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        made = Path(temporary) / "folder"
        write(made)
        if not folder.exists() or not any(folder.iterdir()):
            made.replace(folder)
            return
        files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
        for old in folder.glob("model*.safetensors*"):
            if old.relative_to(folder) not in files:
                old.unlink()
        for path in files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).replace(folder / path)


def copy_model(source: Path, target: Path, weights: bool) -> None:
    """The files of a model folder and its sub-folders: configurations, tokenizer, and weights if asked for."""
    for path in source.rglob("*"):
        name = path.relative_to(source)
        is_weights = ".safetensors" in path.name
        wanted = path.suffix in COPIED and (weights and path.name.startswith("model") if is_weights else True)
        if path.is_file() and wanted and not any(part.startswith(".") for part in name.parts):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)


def update_config(folder: Path, members: dict[str, Any], removed: tuple[str, ...] = ()) -> None:
    """Sets members of FOLDER/config.json, and takes others out."""
    path = folder / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if all(content.get(name) == value for name, value in members.items()) and not any(name in content for name in removed):
        return
    content.update(members)
    for name in removed:
        content.pop(name, None)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, path)
