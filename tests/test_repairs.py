from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from flyball.inference.vllm import repairs


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.int64])
def test_each_value_is_repeated_once_per_draft(dtype: torch.dtype) -> None:
    output = torch.full((6,), -7).to(dtype)
    values, ends = torch.tensor([3, 0, 5]).to(dtype), torch.tensor([2, 2, 6], dtype=torch.int32)
    repairs.expand(output, values, ends, 5, 1)
    assert output.tolist() == [3, 3, 1, 1, 1, 1]


AS_IN_A_WORKER = """
import torch
from flyball.inference.vllm import repairs
from vllm.platforms.cpu import CpuPlatform
from vllm.v1.sample import rejection_sampler

CpuPlatform.import_kernels()
repairs.register()
CpuPlatform.register_triton_kernel_overrides()
for dirt in (0.0, 9.0):
    spoiled = [torch.full((6,), dirt) for _ in range(64)]
    del spoiled
    found = rejection_sampler.expand_batch_to_tokens(
        torch.tensor([0.7, 0.0, 1.3]), torch.tensor([2, 3, 6], dtype=torch.int32), 6, 0, 1
    )
    assert torch.allclose(found, torch.tensor([0.7, 0.7, 1.0, 1.3, 1.3, 1.3])), found
print("as it was given")
"""


def test_vllm_divides_the_logits_of_drafts_by_the_temperature_it_was_given() -> None:
    """The sampler as a worker sets it up: plug-ins first, then the platform's kernels.

    In a process of its own, as vLLM looks through all modules that are loaded when it does that.
    """
    done = subprocess.run(
        [sys.executable, "-c", AS_IN_A_WORKER],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "as it was given" in done.stdout, done.stderr
