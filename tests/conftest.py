from __future__ import annotations

import torch

# Tests work on tiny tensors: a second thread only waits, and on busy cores it waits long.
torch.set_num_threads(1)
