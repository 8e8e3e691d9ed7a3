"""config.json as an object."""
from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from ._errors import Error, NotFoundError


class PretrainedConfig:
    """The members of config.json as attributes, and what follows from them.

    id2label: {0: "LABEL_0", ...} with integer keys; label2id: the other way round; num_labels: how many there are.
    """

    id2label: dict[int, str]
    label2id: dict[str, int]
    problem_type: str | None

    def __init__(self, **members: Any) -> None:
        members = copy.deepcopy(members)
        labels = members.pop("id2label", None)
        ids = members.pop("label2id", None)
        count = members.pop("num_labels", None)
        self.problem_type = members.pop("problem_type", None)
        if labels is None:
            self.num_labels = 2 if count is None else int(count)
            self._labels_given = count is not None
        else:
            self.set_labels({int(key): str(name) for key, name in labels.items()}, ids)
        for name, value in members.items():
            setattr(self, name, value)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "PretrainedConfig":
        """Reads FOLDER/config.json. Raises NotFoundError without one, and Error where it is no JSON object."""
        path = Path(folder) / "config.json"
        try:
            members = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFoundError(f"{path} does not exist, so {folder} is no model folder") from None
        except ValueError as error:
            raise Error(f"{path} is no JSON: {error}", "DS_BAD_FORMAT") from None
        if not isinstance(members, dict):
            raise Error(f"{path} is no JSON object", "DS_BAD_FORMAT")
        return cls(**members)

    @property
    def num_labels(self) -> int:
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        self.set_labels({i: f"LABEL_{i}" for i in range(count)})

    def set_labels(self, id2label: dict[int, str], label2id: dict[str, int] | None = None) -> None:
        self._labels_given = True
        self.id2label = dict(sorted(id2label.items()))
        self.label2id = dict(label2id) if label2id else {name: i for i, name in id2label.items()}

    def to_dict(self) -> dict[str, Any]:
        """What config.json is to hold; keys are strings as JSON has them."""
        members = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        if members["problem_type"] is None:
            del members["problem_type"]
        if self._labels_given:
            members["id2label"] = {str(i): name for i, name in self.id2label.items()}
        else:  # two unnamed labels are what a configuration without labels means
            del members["id2label"], members["label2id"]
        return copy.deepcopy(members)

    def __repr__(self) -> str:
        return f"PretrainedConfig {json.dumps(self.to_dict(), indent=2, ensure_ascii=False)}"
