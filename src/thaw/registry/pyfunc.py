"""The model that MLflow serves: base64 images in, labels and probabilities out.

MLflow imports this module from the installed package; no file of a downloaded model is
imported, unpickled or executed. A string in the input is base64 and nothing else: it is
never opened as a path or a URL.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Map

from thaw.data.base64_images import decode_base64
from thaw.data.decode_error import DecodeError
from thaw.system.devices import AUTO
from thaw.training.strict_predictor import strict_predictor

if TYPE_CHECKING:
    import pandas as pd

INPUT = "image"
_DEVICE = "MLFLOW_DEFAULT_PREDICTION_DEVICE"  # MLflow's own variable


def signature() -> ModelSignature:
    """Return the signature: column ``image`` (base64) to label, probability and probabilities."""
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, INPUT)]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "label"),
                ColSpec(DataType.double, "probability"),
                ColSpec(Map(DataType.double), "probabilities"),
            ]
        ),
    )


class ServedClassifier:
    """A model directory with the interface that MLflow calls.

    It computes in float32 on the device that the variable ``MLFLOW_DEFAULT_PREDICTION_DEVICE``
    names (``auto``, ``cpu``, ``cuda``, ``cuda:N``); without it, on a GPU if there is one.
    """

    def __init__(self, folder: Path) -> None:
        # The model_config of MLflow could name it, too, but an earlier version of thaw does not
        # load a model that was logged with one.
        self._predictor = strict_predictor(folder, os.environ.get(_DEVICE) or AUTO, f"{_DEVICE}:")

    def predict(
        self,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002  (MLflow's signature)
    ) -> list[dict[str, Any]]:
        """Return a dictionary for each image in the column ``image``.

        Raises:
            MlflowException: an image is not base64 or cannot be decoded (HTTP status 400).
        """
        images = [_bytes(place, text) for place, text in enumerate(model_input[INPUT])]
        try:
            probabilities = self._predictor.probabilities(images)
        except DecodeError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
        classes = self._predictor.classes
        return [
            {
                "label": classes[int(row.argmax())],
                "probability": float(row.max()),
                "probabilities": dict(zip(classes, row.tolist(), strict=True)),
            }
            for row in probabilities
        ]


def _bytes(place: int, text: Any) -> bytes:
    try:
        return decode_base64(text)
    except ValueError as error:
        raise MlflowException(
            f"image {place}: {error}", error_code=INVALID_PARAMETER_VALUE
        ) from None


def _load_pyfunc(path: str) -> ServedClassifier:
    """Load the model directory ``path``; MLflow calls this function of its ``loader_module``."""
    return ServedClassifier(Path(path))
