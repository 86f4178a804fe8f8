from __future__ import annotations

from tests import settings
from thaw.model.backbone_settings import BackboneSettings
from thaw.model.weights import PACKAGED


def test_the_section_backbone_has_every_setting_that_the_zoo_reads() -> None:
    section: BackboneSettings = settings.backbone(PACKAGED, image_size=32)
    read = {name for name in vars(BackboneSettings) if not name.startswith("_")}
    assert read == {"name", "weights", "init", "gabor", "layerwise_epochs", "image_size"}
    assert all(hasattr(section, name) for name in read)
