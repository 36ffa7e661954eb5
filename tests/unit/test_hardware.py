import os
import subprocess
import sys

import pytest
import torch

from dbd_ray.errors import ConfigError
from dbd_ray.hardware import choose_device, choose_training_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("requested", ["auto", "float32"])
def test_cpus_train_in_float32_and_say_why(requested: str) -> None:
    precision = choose_training_precision(CPU, requested)  # type: ignore[arg-type]
    assert precision.dtype == torch.float32
    assert "float32" in precision.reason
    assert "CPU" in precision.reason


def test_bfloat16_training_on_a_cpu_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(ConfigError, match=r"precision=bfloat16: .*use float32"):
        choose_training_precision(CPU, "bfloat16")


def test_float32_means_no_autocast() -> None:
    with choose_training_precision(CPU).autocast(CPU):
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(("requested", "expected"), [("cpu", "cpu"), ("cpu:0", "cpu:0")])
def test_a_named_cpu_is_taken(requested: str, expected: str) -> None:
    assert choose_device(requested) == torch.device(expected)


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("auto") == choose_device()


def test_a_gpu_that_is_not_there_is_refused_with_the_number_there_are() -> None:
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ConfigError, match=rf"device={absent}: torch sees {torch.cuda.device_count()} GPU"):
        choose_device(absent)


@pytest.mark.parametrize("requested", ["gpu", "", "cuda:x", "cuda:-1", "tpu:0"])
def test_an_unknown_device_is_refused_with_the_known_ones(requested: str) -> None:
    with pytest.raises(ConfigError, match="use auto, cpu, cuda or cuda:N"):
        choose_device(requested)


@pytest.mark.parametrize("requested", ["meta", "mps", "xpu"])
def test_devices_that_torch_knows_and_this_package_does_not_are_refused(requested: str) -> None:
    with pytest.raises(ConfigError, match=f"device={requested}: .*use auto, cpu, cuda or cuda:N"):
        choose_device(requested)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpus_train_in_what_they_multiply_natively_and_say_so() -> None:
    gpu = torch.device("cuda")
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    precision = choose_training_precision(gpu)
    assert precision.dtype == (torch.bfloat16 if native else torch.float32)
    assert torch.cuda.get_device_name(gpu) in precision.reason
    assert choose_training_precision(gpu, "float32").reason == "float32: as configured"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a matter of Linux")
def test_engines_take_no_more_threads_than_the_process_may_use() -> None:
    script = """
import os, torch
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
torch.set_num_threads(8)
from dbd_ray.hardware import engine_threads, usable_processors
print(engine_threads(), usable_processors())
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.split() == ["1", "1"]
