"""What all trials of a search stand on: data, backbone, activations; opened once a worker."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from thaw.data.prepared import Prepared
from thaw.model import head as heads
from thaw.model.frozen_part import FrozenPart
from thaw.registry.starting_model import begin, head_spec, parent_of
from thaw.search.cached_views import Views
from thaw.system import provenance
from thaw.system.code_digests import code_digests
from thaw.system.files import write_whole
from thaw.training.activation_cache import FOLDER, Cache, cache_of, cached
from thaw.training.phase_inputs import PhaseInputs, phase_inputs
from thaw.training.runtime import start

if TYPE_CHECKING:
    import torch

    from thaw.config.data_sections import Augment
    from thaw.config.model_sections import Head
    from thaw.config.params import Params
    from thaw.data.loading import ImageSource
    from thaw.model.classifier import Classifier
    from thaw.model.spec import ModelSpec
    from thaw.training.runtime import Runtime

_OPEN = 4  # inputs that stay open: a file that is removed keeps its disk as long as it is mapped
HEADS = Path(".thaw/search/heads")


@dataclass(frozen=True)
class _Noting(Cache):
    """The cache, with a note of the files that were used."""

    files: list[Path] = field(default_factory=list)

    def note_use(self, path: Path) -> None:
        """As in the cache."""
        super().note_use(path)
        self.files.append(path)


@dataclass(frozen=True)
class _Opened:
    """Inputs that are mapped into memory, and the files that they are mapped from."""

    inputs: PhaseInputs
    files: list[Path]

    def note_use(self) -> None:
        """The least recently used files go first: these were used just now."""
        for path in self.files:
            with contextlib.suppress(FileNotFoundError):  # removed, and still mapped
                os.utime(path)


@dataclass
class Ground:
    """The data, the backbone, and what was computed from them, for one worker."""

    params: Params
    runtime: Runtime
    data: Prepared
    parent: str
    _begun: dict[str, tuple[Classifier, ModelSpec]] = field(default_factory=dict)
    _opened: dict[str, _Opened] = field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        """What ``params.yaml`` itself would train."""
        return self.begun(self.params.head)[1]

    @property
    def cache(self) -> Cache:
        """Where activations are kept."""
        gigabytes = self.params.resources.cache_gb
        return cache_of(FOLDER, self.data, self.spec.preprocessing, gigabytes)

    def begun(self, head: Head) -> tuple[Classifier, ModelSpec]:
        """The backbone as these taps cut it, with some head; never trained."""
        key = json.dumps(head.taps)
        if key not in self._begun:
            self._begun[key] = begin(self.params, head, self.data, self.parent)
        return self._begun[key]

    def classifier(self, params: Params) -> Classifier:
        """A copy of the backbone with the new head of ``params``, as the warm-up would begin.

        Blocks that do not train are the same modules in every copy.
        """
        whole, spec = self.begun(params.head)
        first = next(module for module in whole.head.modules() if isinstance(module, nn.Linear))
        depth, named = params.unfreeze.depth, params.unfreeze.blocks
        frozen = 0 if named or depth == "auto" else max(0, len(whole.blocks) - depth)
        shared = [whole.head, *whole.blocks[:frozen]]
        made = copy.deepcopy(whole, {id(module): module for module in shared})
        classes = len(spec.classes)
        made.head = heads.build(head_spec(params.head), first.in_features, classes, params.seed)
        return made

    def inputs(
        self, classifier: Classifier, cut: int, params: Params, augmentation: Augment | None
    ) -> PhaseInputs:
        """The inputs of what trains above ``cut``; those that were used last stay open."""
        if params.unfreeze.epochs == 0:
            augmentation = None  # of what is only scored
        train = self.data.images("train", self.spec.preprocessing, params.seed, augmentation)
        cut = classifier.outline.readable(cut)
        views = min(params.search.views, params.unfreeze.epochs)
        key = provenance.key(
            classifier.taps, cut, train.randomness if train.is_random else 0, views
        )
        found = self._opened.pop(key, None)
        if found is None:
            mixed = augmentation is not None and (augmentation.mixup or augmentation.cutmix)
            found = self._open(
                classifier, cut, train, views=0 if mixed else views, seed=params.seed
            )
        else:
            found.note_use()
        self._opened[key] = found  # the one that was used last stands last
        if len(self._opened) > _OPEN:
            del self._opened[next(iter(self._opened))]
        return found.inputs

    def _open(
        self, classifier: Classifier, cut: int, train: ImageSource, *, views: int, seed: int
    ) -> _Opened:
        """``train`` as it looks in so many epochs, and the validation images, at ``cut``.

        Where that is no one epoch's, or nothing is frozen, the images themselves.
        """
        plain = self.cache
        cache = _Noting(plain.folder, plain.limit, plain.data)
        val = self.data.images("val", self.spec.preprocessing)
        if not train.is_random or not views or cut == 0:
            inputs = phase_inputs(self.runtime, classifier, train, val, cut, cache)
            return _Opened(inputs, cache.files)
        lower, known = FrozenPart(classifier.part(0, cut)), dict[nn.Module, str]()
        found = [
            cached(self.runtime, lower, train, cache, "train", epoch, known)
            for epoch in range(1, views + 1)
        ]
        at_cut = cached(self.runtime, lower, val, cache, "val", known=known)
        inputs = PhaseInputs(Views(found, train.ids, seed), at_cut, cut)
        return _Opened(inputs, cache.files)

    def head_path(self, params: Params) -> Path:
        """The file of the head that the warm-up of ``params`` ends with."""
        backbone = self.spec.parents[-1].digest
        parts = (params.head, params.warmup_head, params.regularize)
        key = provenance.key(
            self.cache.data, params.seed, backbone, *(part.model_dump() for part in parts),
            params.backbone.model_dump(), params.launch.mixed_precision,
            code_digests()["warmup_head"],
        )  # fmt: skip
        return HEADS / f"{key[:40]}.safetensors"


def opened(params: Params, prepared: Path) -> Ground:
    """Open what ``params`` name, in this process or in as many as ``launch.processes``.

    Raises:
        ThawError: there is no prepared data, or no such backbone.
    """
    return Ground(
        params, start(params.launch, params.resources), Prepared(prepared), parent_of(params)
    )


def save_head(path: Path, head: nn.Module) -> None:
    """Keep a trained head."""
    state = {key: value.detach().cpu().contiguous() for key, value in head.state_dict().items()}
    write_whole(path, save_tensors(state))


def load_head(path: Path) -> dict[str, torch.Tensor] | None:
    """What :func:`save_head` kept; None where it is not there or damaged: it is trained again."""
    try:
        return dict(load_tensors(path.read_bytes()))
    except (FileNotFoundError, SafetensorError):
        return None
