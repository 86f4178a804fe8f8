from __future__ import annotations

from functools import partial

import pytest
import torch

from thaw.data import device_stream
from thaw.data.device_stream import SideStream, free_bytes


@pytest.mark.gpu
def test_work_on_the_side_is_complete_for_work_that_waits_for_its_mark() -> None:
    device = torch.device("cuda")
    side = SideStream(device)

    def make() -> torch.Tensor:
        torch.cuda._sleep(100_000_000)  # type: ignore[no-untyped-call]
        return side.copied(torch.ones(1000)).cumsum(0)

    made, mark = side.run(make)
    side.hand_over([made], mark)
    assert made.sum().item() == 500_500


@pytest.mark.gpu
def test_the_result_does_not_depend_on_the_order_of_later_work() -> None:
    side = SideStream(torch.device("cuda"))
    found = []
    for number in range(50):
        made, mark = side.run(partial(side.copied, torch.full((1 << 20,), number)))
        side.hand_over([made], mark)
        found.append(made.max())
    assert [int(value) for value in found] == list(range(50))


@pytest.mark.gpu
def test_the_memory_for_copies_is_page_locked() -> None:
    assert SideStream(torch.device("cuda")).allocate(7).is_pinned()
    assert free_bytes(torch.device("cuda")) > 0


def test_every_pass_over_data_uses_the_same_stream_of_a_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Show it without a GPU; torch would keep memory for each stream."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: [device])  # there is no GPU
    device_stream._stream_beside.cache_clear()
    try:
        one, same, other = (SideStream(torch.device("cuda", n))._stream for n in (0, 0, 1))
        assert one is same
        assert one is not other
    finally:
        device_stream._stream_beside.cache_clear()
