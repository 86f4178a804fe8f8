"""The first ``params.yaml`` of a project: the values that depend on its images, and its names."""

from __future__ import annotations

import re
import unicodedata
from io import StringIO
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from thaw.config.params import Params
from thaw.config.schema import SCHEMA_FILE

if TYPE_CHECKING:
    from thaw.config.data_sections import Data
    from thaw.projects.image_survey import Survey

_HEADER = f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
# The parameters of this project. All others have a default: `thaw params` lists and explains them.
# To try a value without editing: `dvc exp run -S unfreeze.depth=3`.
"""
# The keys that are written although they may have their default: people vary them.
_SHOWN = (
    "seed", "data.source", "data.path", "data.root", "backbone.name", "backbone.weights",
    "backbone.image_size", "backbone.crop_pct", "augment.crop", "augment.flip",
    "warmup_head.epochs", "warmup_head.lr", "unfreeze.depth", "unfreeze.epochs", "unfreeze.lr",
    "tracking.experiment", "tracking.registered_model",
)  # fmt: skip
_SMALLEST, _MULTIPLE = 64, 32  # pixels; networks halve their input about five times


def initial_params(name: str, data: Data, found: Survey | None) -> Params:
    """Return the parameters of a new project with the registered model ``name``."""
    defaults = Params()
    tracking = defaults.tracking.model_copy(update={"registered_model": name, "experiment": name})
    backbone = defaults.backbone
    side = found.median_side if found else None
    if side is not None and side < backbone.image_size:
        # Larger inputs cost time and show nothing more; the border of small images counts.
        size = max(_SMALLEST, -(-side // _MULTIPLE) * _MULTIPLE)
        size = min(size, backbone.image_size)
        backbone = backbone.model_copy(update={"image_size": size, "crop_pct": 1.0})
    return defaults.model_copy(update={"data": data, "tracking": tracking, "backbone": backbone})


def params_text(params: Params) -> str:
    """Return ``params`` as the text of ``params.yaml``: the keys that people vary.

    Every section is there, empty where all of it has its default: DVC needs those in dvc.yaml. The
    text has the form in which `dvc exp run -S` writes it, so that this changes single lines.
    """
    values = params.model_dump()
    content: dict[str, Any] = {}
    for section in Params.model_fields:
        keys = [key.partition(".")[2] for key in _SHOWN if key.partition(".")[0] == section]
        if section in _SHOWN:
            content[section] = values[section]
        else:
            content[section] = {key: _scalar(values[section][key]) for key in keys}
    stream = StringIO()
    YAML().dump(content, stream)  # the form in which DVC writes it
    return _HEADER + stream.getvalue()


def _scalar(value: object) -> object:
    """Return ``value`` so that YAML keeps it: line ends such as U+0085 are lost without escapes."""
    if isinstance(value, str) and not value.isprintable():
        return DoubleQuotedScalarString(value)
    return value


def model_name(folder_name: str) -> str:
    """Return ``folder_name`` as a name that MLflow accepts for a registered model."""
    kept = [char if _is_word(char) or char in ".-" else "-" for char in folder_name]
    return re.sub("-+", "-", "".join(kept)).strip("-.") or "classifier"


def _is_word(char: str) -> bool:
    r"""Return whether ``\w`` of pydantic matches ``char``; that of Python matches more (U+00BC)."""
    category = unicodedata.category(char)
    return category[0] in "LM" or category in {"Nd", "Pc"}
