"""The parameters that identify a study, so that studies of earlier versions stay usable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thaw.config.parameter import parameters
from thaw.config.params import Params
from thaw.config.result_values import value_of

if TYPE_CHECKING:
    from collections.abc import Iterable

# The sections on which a trial's result depends. Of `launch`, only the precision counts: the
# number of threads may differ from machine to machine.
_SECTIONS = ("seed", "data", "prepare", "backbone", "head", "augment", "regularize", "warmup_head",
             "unfreeze")  # fmt: skip
_TRAINING_0_1 = "epochs batch_size optimizer lr schedule warmup_fraction weight_decay patience"
# The parameters of thaw 0.1. The key of a study contains the values of all of them.
_NAMES_0_1 = {
    "data": "source path root",
    "prepare": "val_fraction test_fraction short_side near_duplicates encoding max_megapixels",
    "backbone": "name weights init gabor layerwise_epochs image_size crop_pct",
    "head": "taps hidden activation norm dropout",
    "augment": "crop flip rotate shift zoom brightness contrast saturation hue tint randaugment "
    "randaugment_magnitude noise mixup cutmix",
    "regularize": "label_smoothing clip_norm l1 l2_sp gradient_noise ema class_weights",
    "warmup_head": f"{_TRAINING_0_1} fit",
    "unfreeze": f"{_TRAINING_0_1} depth blocks gradual_epochs lr_decay batch_norm",
}


def identifying_values(params: Params, searched: Iterable[str]) -> dict[str, Any]:
    """Return the values, as nested mappings, that trials have in common.

    ``searched`` are the dotted keys of the search space, which are left out. A parameter that was
    added after thaw 0.1 is left out as long as it has its neutral value: adding a parameter does
    not separate a study from its trials.
    """
    values = params.model_dump(include=set(_SECTIONS))
    left_out = {*searched, *_new_and_neutral(values)}
    for key in left_out:
        *sections, name = key.split(".")
        del value_of(values, ".".join(sections))[name]
    return values


def _new_and_neutral(values: dict[str, Any]) -> set[str]:
    old = {f"{section}.{name}" for section, names in _NAMES_0_1.items() for name in names.split()}
    return {
        parameter.key
        for parameter in parameters(Params)
        if parameter.key.split(".")[0] in _NAMES_0_1
        and parameter.key not in old
        and value_of(values, parameter.key) == parameter.neutral
    }
