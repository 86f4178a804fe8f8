"""Print as JSON the seconds of 20 training steps of the packaged backbone at 64 pixels."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import torch
from torch import nn

from benchmarks.command_line import parser
from thaw.config.loading import load
from thaw.config.params import Params
from thaw.model import zoo

_STEPS, _BATCH = 20, 16


def main() -> None:
    """Measure and print one line of JSON."""
    parser(__doc__).parse_args()
    backbone, _ = zoo.load(load(Params, Path("params.yaml")).backbone.fixed())
    network = nn.Sequential(*backbone.blocks).to(memory_format=torch.channels_last).train()
    images = torch.randn(_BATCH, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())
    taken = []
    for _ in range(_STEPS + 1):
        begun = time.perf_counter()
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()
        taken.append(time.perf_counter() - begun)
    print(json.dumps({"median": statistics.median(taken[1:]), "total": sum(taken[1:])}))


if __name__ == "__main__":
    main()
