"""All sections of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from thaw.config.data_sections import Augment, Data
from thaw.config.model_sections import Backbone, Head
from thaw.config.parameter import parameter
from thaw.config.prepare_section import Prepare
from thaw.config.process_sections import Launch, Resources
from thaw.config.promotion_sections import Promote
from thaw.config.regularize_section import Regularize
from thaw.config.result_sections import Evaluate, Tracking
from thaw.config.search_sections import Search
from thaw.config.section import Section
from thaw.config.training_sections import FoldBn, Unfreeze, WarmupHead


class Params(Section):
    """The whole of ``params.yaml``, in the order in which a user needs the sections."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = parameter(
        0, "Seed of data order, augmentation, dropout and splits."
    )
    data: Data = Data()
    prepare: Prepare = Prepare()
    backbone: Backbone = Backbone()
    head: Head = Head()
    augment: Augment = Augment()
    regularize: Regularize = Regularize()
    warmup_head: WarmupHead = WarmupHead()
    unfreeze: Unfreeze = Unfreeze()
    fold_bn: FoldBn = FoldBn()
    evaluate: Evaluate = Evaluate()
    tracking: Tracking = Tracking()
    promote: Promote = Promote()
    search: Search = Search()
    launch: Launch = Launch()
    resources: Resources = Resources()
