#!/usr/bin/env python3
"""Prints the golden numbers of lpips_test.c: LPIPS 0.1 in evaluation mode, written again with PyTorch from the paper
and from what torchvision's networks consist of, in double precision. Weights and images are the same formula on both
sides: a hash of element i and of the parameter's rank j in the order of names."""
import math

import numpy as np
import torch
import torch.nn as nn

torch.set_default_dtype(torch.float64)


def uniform(n, j):
    """n numbers in [0,1): the finaliser of MurmurHash3 over i and j"""
    h = (np.arange(n, dtype=np.uint32) + np.uint32((j * 0x9E3779B9) & 0xFFFFFFFF)).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return (h ^ (h >> np.uint32(16))) / 2.0**32


def values(name, shape, j):
    u = uniform(math.prod(shape), j)
    if name.startswith("lin."):
        v = u  # of a distance: not below 0
    elif len(shape) == 1:
        v = 0.1 * (2 * u - 1)
    else:
        v = math.sqrt(6 / math.prod(shape[1:])) * (2 * u - 1)  # keeps the size of activations (He et al. 2015)
    return torch.from_numpy(v.astype(np.float32).astype(np.float64)).reshape(shape)


def image(n, side, channels, j):
    """Multiples of 1/128, so that both sides begin with the same numbers"""
    v = np.floor(256 * uniform(n * side * side * channels, j)) / 128 - 1
    return torch.from_numpy(v).reshape(n, side, side, channels).permute(0, 3, 1, 2)


class Fire(nn.Module):
    def __init__(self, i, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(i, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.expand1x1(x)), torch.relu(self.expand3x3(x))], 1)


def conv(i, o, kernel, stride, pad):
    return [nn.Conv2d(i, o, kernel, stride, pad), nn.ReLU()]


def alexnet():
    return [*conv(3, 64, 11, 4, 2), nn.MaxPool2d(3, 2), *conv(64, 192, 5, 1, 2), nn.MaxPool2d(3, 2),
            *conv(192, 384, 3, 1, 1), *conv(384, 256, 3, 1, 1), *conv(256, 256, 3, 1, 1)]


def vgg16():
    layers, i = [], 3
    for o in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512):
        layers += conv(i, o, 3, 1, 1) if o else [nn.MaxPool2d(2)]
        i = o or i
    return layers


def squeezenet():
    halve = nn.MaxPool2d(3, 2, ceil_mode=True)
    return [*conv(3, 64, 3, 2, 0), halve, Fire(64, 16, 64), Fire(128, 16, 64), halve, Fire(128, 32, 128),
            Fire(256, 32, 128), halve, Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)]


# The ends of LPIPS's slices of `features`
NETS = {
    "alexnet": (alexnet, (2, 5, 8, 10, 12), (64, 192, 384, 256, 256)),
    "vgg16": (vgg16, (4, 9, 16, 23, 30), (64, 128, 256, 512, 512)),
    "squeezenet1_1": (squeezenet, (2, 5, 8, 10, 11, 12, 13), (64, 128, 256, 384, 384, 512, 512)),
}


class Lpips(nn.Module):
    def __init__(self, name):
        super().__init__()
        layers, self.ends, widths = NETS[name]
        self.features = nn.Sequential(*layers())
        self.lin = nn.ModuleList()
        for w in widths:
            self.lin.append(nn.Module())
            self.lin[-1].weight = nn.Parameter(torch.zeros(w))

    def fill(self):
        for j, (name, p) in enumerate(sorted(self.named_parameters())):
            p.data = values(name, tuple(p.shape), j)

    def compared(self, x):
        x = x.expand(-1, 3, -1, -1)
        x = (x - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[:, None, None]
        out = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i + 1 in self.ends:
                out.append(x)
        return out

    def forward(self, a, b):
        d = 0
        for fa, fb, lin in zip(self.compared(a), self.compared(b), self.lin):
            ua, ub = (f / ((f * f).sum(1, keepdim=True).sqrt() + 1e-10) for f in (fa, fb))
            d = d + ((ua - ub) ** 2 * lin.weight[:, None, None]).sum(1).mean((1, 2))
        return d


def images(side, channels):
    a = image(2, side, channels, 1000)
    return a, (a + image(2, side, channels, 1001)) / 2


def run(net, side, channels):
    """-> mean of each depth's features of a, distances, gradient for a (N,H,W,C)"""
    a, b = images(side, channels)
    a.requires_grad_()
    d = net(a, b)
    (g,) = torch.autograd.grad(d.sum(), a)
    return [f.mean().item() for f in net.compared(a)], d.tolist(), g.permute(0, 2, 3, 1).reshape(-1)


def row(values):
    return "{" + ", ".join(f"{v:.9g}" for v in values) + "}"


if __name__ == "__main__":
    cases = [("alexnet", 31, 3), ("alexnet", 32, 3), ("alexnet", 64, 3), ("alexnet", 32, 1), ("vgg16", 16, 3), ("vgg16", 32, 3),
             ("vgg16", 64, 3), ("squeezenet1_1", 17, 3), ("squeezenet1_1", 32, 3), ("squeezenet1_1", 64, 3), ("squeezenet1_1", 32, 1)]
    for name, side, channels in cases:
        net = Lpips(name)
        net.fill()
        feature, d, g = run(net, side, channels)
        some = [g[(2 * k + 1) * len(g) // 16].item() for k in range(8)]
        print(f"{{PURIFY_LPIPS_{name.split('1_')[0].upper()}, {side}, {channels}, {row(feature)}, {row(d)}, {row(some)}, "
              f"{g.abs().mean().item():.9g}, {g.abs().max().item():.9g}}},")
