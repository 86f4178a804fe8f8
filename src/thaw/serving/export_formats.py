"""A model as a graph for other runtimes: one file, any batch size."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import os
import warnings
from contextlib import contextmanager, redirect_stdout
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from thaw.errors import ThawError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thaw.model.predictor import Predictor

Format = Literal["onnx", "torch-export"]
PACKAGES: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "torch-export": (),
}
_INPUT, _OUTPUT, _ABOUT = "images", "probabilities", "thaw"


class Graph(nn.Module):
    """What is exported: resized images, uint8 (N, 3, S, S) in RGB -> probabilities (N, classes)."""

    mean: Tensor
    std: Tensor

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.classifier = predictor.classifier
        preprocessing = predictor.spec.preprocessing
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalise, classify, softmax."""
        inputs = (images.float() / 255 - self.mean) / self.std
        probabilities: Tensor = self.classifier(inputs).softmax(dim=1)
        return probabilities


def need(kind: Format, option: str) -> None:
    """Check that what ``kind`` takes is installed; ``option`` is what asks for it.

    Raises:
        ThawError: names the packages, and the extra that brings them.
    """
    missing = [name for name in PACKAGES[kind] if importlib.util.find_spec(name) is None]
    if missing:
        raise ThawError(
            f"{option} needs {', '.join(missing)}: pip install --editable '.[export]' in "
            "thaw's folder"
        )


def written(predictor: Predictor, kind: Format, about: dict[str, Any]) -> bytes:
    """The file, with ``about`` inside it as JSON under the key ``thaw``."""
    size = predictor.spec.preprocessing.image_size
    # Two images: of one, the exporter would make a constant.
    example = (torch.zeros(2, 3, size, size, dtype=torch.uint8),)
    shapes = {"images": {0: torch.export.Dim("batch", min=1, max=4096)}}
    with _quiet(), torch.no_grad():
        program = torch.export.export(Graph(predictor).eval(), example, dynamic_shapes=shapes)
        return (_onnx if kind == "onnx" else _torch)(program, json.dumps(about))


def runner(kind: Format, content: bytes, threads: int) -> Callable[[Tensor], Tensor]:
    """What computes the file that :func:`written` made: images -> probabilities."""
    if kind == "torch-export":
        module = torch.export.load(io.BytesIO(content)).module()

        def compute(images: Tensor) -> Tensor:
            with torch.inference_mode():
                probabilities: Tensor = module(images)
            return probabilities

        return compute
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(
        session.run([_OUTPUT], {_INPUT: images.contiguous().numpy()})[0]
    )


def _onnx(program: torch.export.ExportedProgram, about: str) -> bytes:
    import onnx

    exported = torch.onnx.export(
        program,
        dynamo=True,
        input_names=[_INPUT],
        output_names=[_OUTPUT],
        verbose=False,
    )
    assert exported is not None
    # One file: by default the weights come to lie beside it.
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")  # noqa: PTH118
        exported.save(path, external_data=False)
        model = onnx.load(path)
    onnx.helper.set_model_props(model, {_ABOUT: about})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _torch(program: torch.export.ExportedProgram, about: str) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={f"{_ABOUT}.json": about})
    return buffer.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters tell their steps, and warn of what they then do right."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
