#!/usr/bin/env python3
"""Prints the golden numbers of networks_test.c from the PyTorch networks in tests/torch. Weights are the same formula on
both sides: parameter number j in the order of names, element i."""
import math
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/torch"))
from networks import Percept, UNet

torch.set_default_dtype(torch.float64)


def fill(module):
    for j, (name, p) in enumerate(sorted(module.named_parameters())):
        fan = p[0].numel() if p.dim() > 1 else 1
        i = torch.arange(p.numel(), dtype=torch.float64)
        v = torch.sin(0.37 * i + 1.7 * j) / math.sqrt(fan)
        if p.dim() == 1:
            v = 0.1 * v + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        p.data = v.reshape(p.shape)


def wave(shape, phase):
    n = math.prod(shape)
    return torch.sin(0.1 * torch.arange(n) + phase).reshape(shape)


def show(name, values):
    print(f"{name}: " + ", ".join(f"{v:.9g}" for v in values))


full = UNet(128, (1, 2, 2, 2), 2, (16,), 32, 32)
print("published:", len(list(full.parameters())), sum(p.numel() for p in full.parameters()))
net = UNet(8, (1, 2, 3), 2, (8,), 16, 4)
fill(net)
print("small:", len(list(net.parameters())), sum(p.numel() for p in net.parameters()))
with torch.no_grad():
    y = net(wave((2, 16, 16, 3), 0.3).permute(0, 3, 1, 2), torch.tensor([3.0, 150.0])).permute(0, 2, 3, 1)
flat = y.reshape(-1)
show("unet", [flat[k].item() for k in range(0, flat.numel(), 191)] + [flat.abs().mean().item()])
percept = Percept((6, 10), 5)
fill(percept)
a = wave((2, 8, 8, 3), 0.0).requires_grad_()
b = wave((2, 8, 8, 3), 1.0)
nchw = lambda x: x.permute(0, 3, 1, 2)
show("logits", percept.logits(nchw(a)).reshape(-1).tolist())
d = percept.distance(nchw(a), nchw(b))
show("distance", d.tolist())
(g,) = torch.autograd.grad(d.sum(), a)
flat = g.reshape(-1)
show("gradient", [flat[k].item() for k in range(0, flat.numel(), 47)] + [flat.abs().mean().item()])
