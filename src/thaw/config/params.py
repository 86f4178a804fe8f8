"""All sections of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from thaw.config.data_sections import Augment, Data, Prepare
from thaw.config.model_sections import Backbone, Head
from thaw.config.promotion_sections import Promote
from thaw.config.result_sections import Evaluate, Tracking
from thaw.config.search_sections import Search
from thaw.config.section import Section
from thaw.config.training_sections import FoldBn, Launch, Regularize, Unfreeze, WarmupHead


class Params(Section):
    """The whole of ``params.yaml``."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    data: Data
    prepare: Prepare
    backbone: Backbone
    head: Head
    augment: Augment
    regularize: Regularize
    launch: Launch
    warmup_head: WarmupHead
    unfreeze: Unfreeze
    fold_bn: FoldBn
    evaluate: Evaluate
    promote: Promote
    search: Search
    tracking: Tracking
