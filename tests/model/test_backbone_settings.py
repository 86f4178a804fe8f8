from __future__ import annotations

import pytest

from tests import settings
from thaw.errors import ThawError
from thaw.model.backbone_settings import check_scratch_settings
from thaw.model.weights import PACKAGED


@pytest.mark.parametrize(
    ("change", "off"), [({"gabor": True}, "gabor: false"), ({"layerwise_epochs": 2}, "epochs: 0")]
)
def test_settings_for_training_from_scratch_are_refused_with_loaded_weights(
    change: dict[str, bool | int], off: str
) -> None:
    (key,) = change
    for weights in ("packaged", "models:/dev@champion"):
        with pytest.raises(ThawError, match=rf"params.yaml: backbone.{key}: .*{weights}.*{off}"):
            check_scratch_settings(settings.backbone(PACKAGED, weights=weights, **change))
    check_scratch_settings(settings.backbone(PACKAGED, weights="none", **change))
