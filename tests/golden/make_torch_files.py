"""Writes torch_zip.bin and torch_legacy.bin: small state dicts of PyTorch.

    python -m tests.golden.make_torch_files

Needs the extra `peers`; what it writes is read without it.
"""

import collections
import pathlib

import torch


def main():
    """Writes the files beside this one."""
    table = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    state = collections.OrderedDict(
        table=table,
        turned=table.t(),  # shares the numbers, with other strides
        row=table[1],
        half=torch.tensor([0.5, -1.5], dtype=torch.float16),
        counts=torch.tensor([[1, -2]], dtype=torch.int64),
        scalar=torch.tensor(3.25, dtype=torch.float64),
        parameter=torch.nn.Parameter(torch.tensor([1.0, 2.0])),
    )
    folder = pathlib.Path(__file__).parent
    torch.save(state, folder / "torch_zip.bin")
    torch.save(state, folder / "torch_legacy.bin", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
