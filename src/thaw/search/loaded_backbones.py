"""Backbones in the memory of a worker, and untrained classifiers for its trials from them."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thaw.model.head import build, input_width
from thaw.registry.starting_model import begin, head_spec

if TYPE_CHECKING:
    from thaw.config.params import Params
    from thaw.data.prepared import Prepared
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec


@dataclass
class LoadedBackbones:
    """The backbones of the trials: one copy for each of them and each setting of ``head.taps``.

    ``parent`` is the URI of the registered version to start from, "" for a backbone of the zoo.
    """

    data: Prepared
    parent: str
    _originals: dict[str, tuple[Classifier, ModelSpec]] = field(default_factory=dict)

    def original(self, params: Params) -> tuple[Classifier, ModelSpec]:
        """Return the classifier with backbone and taps of ``params``, and its spec.

        It must not be trained. Its head is that of the first trial with this backbone and taps.
        """
        key = json.dumps([params.backbone.model_dump(), params.head.taps])
        if key not in self._originals:
            self._originals[key] = begin(params, params.head, self.data, self.parent)
        return self._originals[key]

    def new_classifier(self, params: Params) -> Classifier:
        """Return a copy of the backbone with a new head, as the head warm-up starts from it.

        Blocks that ``params`` does not unfreeze are shared with the original.
        """
        original, spec = self.original(params)
        shared = [original.head, *original.blocks[: _frozen_blocks(original, params)]]
        classifier = copy.deepcopy(original, {id(module): module for module in shared})
        head, classes = head_spec(params.head), len(spec.classes)
        classifier.head = build(head, input_width(original.head), classes, params.seed)
        return classifier


def _frozen_blocks(classifier: Classifier, params: Params) -> int:
    """Return the number of blocks, from the first, that certainly stay frozen."""
    depth = params.unfreeze.depth
    if params.unfreeze.blocks or depth == "auto":
        return 0
    return max(0, len(classifier.blocks) - depth)
