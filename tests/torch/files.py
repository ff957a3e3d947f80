#!/usr/bin/python3
"""One object as torch.save writes it, in both formats, for nn/file/torch_file_test.c: files.py OUTDIR"""
import collections
import os
import sys

import torch

out = sys.argv[1]
weight = torch.arange(12.0).reshape(3, 4)
state = collections.OrderedDict()
state["weight"] = weight
state["turned"] = weight.t()  # the same storage, other strides
state["part"] = weight[1:, 1:3]
state["half"] = torch.tensor([1.5, -2.25]).half()
state["brain"] = torch.tensor([1.5, -2.25]).bfloat16()
state["whole"] = torch.tensor([1, 2, -3])
state["scalar"] = torch.tensor(7.0)
state["empty"] = torch.zeros(0, 3)
thing = {
    "epoch": -3,
    "lr": 0.1,
    "large": 2**70,
    "state": state,
    "list": [torch.ones(1), None, {"parameter": torch.nn.Parameter(torch.ones(2, 2))}, True],
    7: torch.zeros(1),
}
torch.save(thing, os.path.join(out, "torch_zip.pt"))
torch.save(thing, os.path.join(out, "torch_old.pt"), _use_new_zipfile_serialization=False)
