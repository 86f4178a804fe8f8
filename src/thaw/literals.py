"""Closed sets of names that several layers share.

``params.yaml`` accepts the names, ``model.json`` stores some of them, and the layers above compute
what they mean. The sets are below ``config`` and ``model``, because neither may import the other.
Sets that one layer reads are defined there. Names of metrics and optimisers are the keys of their
registries, names of stages are in ``system/stage_names.py``.

A name that registered models store must stay: models are read by every later version.
"""

from __future__ import annotations

from typing import Literal

# The head: the activation after each hidden layer, and the normalisation before it.
Activation = Literal["relu", "gelu", "silu", "tanh"]
HeadNorm = Literal["none", "batch", "layer"]
# Distributions of initial weights: He et al. 2015, Glorot & Bengio 2010.
Init = Literal["he", "glorot"]
# How BatchNorm behaves in blocks that train; `model.freeze_plan.Plan` has the table.
BatchNormPolicy = Literal["train", "frozen", "fixed", "affine"]

# How an image becomes the square input.
Framing = Literal["crop", "pad", "squish"]
# Pixels of a large JPEG that are decoded.
JpegPixels = Literal["reduced", "all"]
# Rules for the range of sample values that becomes 0..255; `data.pixel_range` has one more, which
# only models of older formats use.
RangeRule = Literal["type", "image"]

# How a head is fitted: by gradient descent, or at once, as a linear map with or without a penalty.
PenalizedFit = Literal["logistic", "svm"]
LinearFit = Literal[PenalizedFit, "lda"]
HeadFit = Literal["gradient", LinearFit]
# Maps of the logits that are fitted after training.
CalibrationMap = Literal["temperature", "vector"]
# Precisions of training and serving.
PrecisionName = Literal["fp32", "tf32", "bf16", "fp16"]

# Stages whose learning rate `thaw find-lr` can test.
LrTestStage = Literal["warmup_head", "unfreeze"]
# What computes a model that is served, and the formats of an exported one. The command line reads
# them without importing torch.
ServingRuntime = Literal["torch", "onnx"]
ExportFormat = Literal["onnx", "torch-export"]
