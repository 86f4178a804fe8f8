"""The first ``params.yaml`` of a project: the values that depend on its images, and its names."""

from __future__ import annotations

import re
import unicodedata
from io import StringIO
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from thaw.config.parameter_values import CHOSEN_KEYS, with_values
from thaw.config.params import Params
from thaw.config.result_values import differing
from thaw.config.schema import SCHEMA_FILE
from thaw.config.section import AUTO

if TYPE_CHECKING:
    from thaw.config.data_sections import Data

_HEADER = f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
# The parameters of this project. All others have a default: `thaw params` lists and explains them.
# To try a value without editing: `dvc exp run -S unfreeze.depth=3 -S unfreeze.epochs=5`.
"""
# The keys that are written although they may have their default: people vary them.
_SHOWN = (
    "seed", "data.source", "data.path", "data.root", "prepare.jpeg_pixels", "backbone.name",
    "backbone.weights", "backbone.image_size", "backbone.framing", "head.taps", "augment.crop",
    "augment.flip", "regularize.label_smoothing", "regularize.calibration", "warmup_head.fit",
    "unfreeze.depth", "unfreeze.epochs", "unfreeze.lr", "unfreeze.interpolate",
    "tracking.experiment", "tracking.registered_model",
)  # fmt: skip
# Other values that the stages decide. Their defaults keep the results of projects that were created
# before the stages did.
_MEASURED = ("regularize.label_smoothing", "regularize.calibration", "unfreeze.interpolate")
_SHORT_SIDE = "prepare.short_side"


def initial_params(name: str, data: Data, short_side: int | None = None) -> Params:
    """Return the parameters of a new project with the registered model ``name``.

    What depends on the images is ``auto``: the stages choose it by comparisons on them. The packed
    images have this ``short_side`` in pixels, or the default one.
    """
    defaults = Params()
    tracking = {"tracking.registered_model": name, "tracking.experiment": name}
    chosen = dict.fromkeys((*CHOSEN_KEYS, *_MEASURED), AUTO)
    # With all pixels, exported models see what prepare has packed.
    params = with_values(defaults, {**tracking, **chosen, "prepare.jpeg_pixels": "all"})
    params = params.model_copy(update={"data": data})
    return params if short_side is None else with_values(params, {_SHORT_SIDE: short_side})


def params_text(params: Params) -> str:
    """Return ``params`` as the text of ``params.yaml``: the keys that people vary.

    ``prepare.short_side`` and other keys of the section ``data`` are written where they differ from
    their default.

    Every section is there, empty where all of it has its default: DVC needs those in dvc.yaml. The
    text has the form in which `dvc exp run -S` writes it, so that this changes single lines.
    """
    values = params.model_dump()
    others = [key for key in differing(params) if key.startswith("data.") or key == _SHORT_SIDE]
    shown = [*_SHOWN, *(key for key in others if key not in _SHOWN)]
    content: dict[str, Any] = {}
    for section in Params.model_fields:
        keys = [key.partition(".")[2] for key in shown if key.partition(".")[0] == section]
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
