"""Convert a model to one file for another runtime; the file accepts any batch size."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import os
import warnings
from contextlib import contextmanager, redirect_stdout
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thaw.errors import ThawError
from thaw.model.calibration import CalibratedSoftmax
from thaw.serving.input_graph import InputGraph
from thaw.serving.output_names import ONNX, TORCH_EXPORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thaw.literals import ExportFormat
    from thaw.model.predictor import Predictor

ENDINGS: dict[ExportFormat, str] = {"onnx": ONNX, "torch-export": TORCH_EXPORT}
PACKAGES: dict[ExportFormat, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "torch-export": (),
}
_MOST_SIDE = 65_536  # pixels
_INPUT, _OUTPUT, _ABOUT = "images", "probabilities", "thaw"


class NetworkGraph(nn.Module):
    """The computation after the preprocessing: images (N, 3, S, S), 0..255, to probabilities."""

    mean: Tensor
    std: Tensor

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.classifier = predictor.classifier
        self.softmax = CalibratedSoftmax(predictor.spec.calibration)
        preprocessing = predictor.spec.preprocessing
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalise, classify, calibrate and apply softmax; returns (N, classes)."""
        inputs = (images.float() / 255 - self.mean) / self.std
        probabilities: Tensor = self.softmax(self.classifier(inputs))
        return probabilities


class WholeGraph(nn.Module):
    """The whole computation: upright RGB images of any size to probabilities."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.input = InputGraph(predictor.spec.preprocessing)
        self.network = NetworkGraph(predictor)

    def forward(self, images: Tensor) -> Tensor:
        """Return the probabilities (N, classes) of images (N, 3, H, W) of type uint8."""
        probabilities: Tensor = self.network(self.input(images))
        return probabilities


def check_packages(kind: ExportFormat, option: str) -> None:
    """Check that the packages that ``kind`` needs are installed.

    ``option`` is the command-line option that needs them.

    Raises:
        ThawError: packages are missing; the message names them and the extra to install.
    """
    missing = [name for name in PACKAGES[kind] if importlib.util.find_spec(name) is None]
    if missing:
        raise ThawError(f"{option} needs {', '.join(missing)}: pip install 'thaw-vision[export]'")


def export(
    predictor: Predictor, kind: ExportFormat, about: dict[str, Any], *, any_size: bool = True
) -> bytes:
    """Return the content of the file; ``about`` is in it as JSON under the key ``thaw``.

    The file accepts upright images of any size, or without ``any_size`` only images that are
    resized and framed already.
    """
    network = (WholeGraph(predictor) if any_size else NetworkGraph(predictor)).eval()
    size = predictor.spec.preprocessing.image_size
    # Two images, because the exporter would make a batch size of one a constant.
    height, width = (size + 1, size + 2) if any_size else (size, size)
    example = (torch.zeros(2, 3, height, width, dtype=torch.uint8),)
    shape = {0: torch.export.Dim("batch", min=1, max=4096)}
    if any_size:
        shape |= {
            axis: torch.export.Dim(name, min=1, max=_MOST_SIDE)
            for axis, name in ((2, "height"), (3, "width"))
        }
    with _quiet(), torch.no_grad():
        program = torch.export.export(network, example, dynamic_shapes={"images": shape})
        return (_onnx if kind == "onnx" else _torch_export)(program, json.dumps(about))


def load_exported(kind: ExportFormat, content: bytes, threads: int) -> Callable[[Tensor], Tensor]:
    """Return a function that computes what :func:`export` wrote: images to probabilities."""
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
    # By default the weights are written to a second file.
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")  # noqa: PTH118
        exported.save(path, external_data=False)
        model = onnx.load(path)
    onnx.helper.set_model_props(model, {_ABOUT: about})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _torch_export(program: torch.export.ExportedProgram, about: str) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={f"{_ABOUT}.json": about})
    return buffer.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters: they log their steps, and warn of cases that they handle."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
