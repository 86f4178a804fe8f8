from __future__ import annotations

import pytest
import torch

from thaw.errors import ThawError
from thaw.system.devices import choose_device, gpu_count, visible_name


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auto", "cuda:0"),
        ("cpu", "cpu"),
        ("cuda", "cuda:0"),
        ("cuda:0", "cuda:0"),
        ("cuda:1", "cuda:1"),
    ],
)
@pytest.mark.usefixtures("two_gpus")
def test_a_device_is_chosen_by_its_name(name: str, expected: str) -> None:
    assert choose_device(name) == torch.device(expected)


@pytest.mark.usefixtures("two_gpus")
def test_a_refusal_names_what_gave_the_device() -> None:
    with pytest.raises(ThawError, match=r"^device cuda:2: there is no such GPU"):
        choose_device("cuda:2", "device")


@pytest.mark.usefixtures("no_gpu")
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert choose_device() == choose_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:2", "cuda:17", "cuda:9999"])
@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(ThawError, match=f"--device {name}: .*: choose from cuda:0, cuda:1$"):
        choose_device(name)


@pytest.mark.parametrize(
    "name",
    ["gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1.0", "cuda: 1", "cuda:\u0661", "", "mps", "1"],
)
@pytest.mark.usefixtures("two_gpus")
def test_another_name_is_refused_with_the_possible_ones(name: str) -> None:
    with pytest.raises(ThawError, match="choose auto, cpu, cuda or cuda:N"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
@pytest.mark.usefixtures("no_gpu")
def test_a_torch_without_cuda_is_named_as_the_reason(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(ThawError, match=f"--device {name}: the installed torch .* for CPUs only"):
        choose_device(name)


@pytest.mark.usefixtures("no_gpu")
def test_hidden_gpus_are_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ThawError, match="CUDA_VISIBLE_DEVICES is ''"):
        choose_device("cuda")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(ThawError, match="nvidia-smi"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["0", "1"]),
        ("", ["0", "1"]),
        ("2, 3", ["2", "3"]),
        ("GPU-a,GPU-b", ["GPU-a", "GPU-b"]),
    ],
)
def test_the_name_for_a_new_process_is_that_among_the_visible_gpus(
    visible: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [visible_name(0), visible_name(1)] == expected


@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_counted() -> None:
    assert gpu_count() == 2


@pytest.mark.gpu
def test_the_device_cuda_computes_on_a_gpu() -> None:
    assert torch.ones(2, device=choose_device("cuda")).sum().item() == 2
