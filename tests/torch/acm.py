#!/usr/bin/python3
"""Activations of a network in training and how they cluster by label, for train/acm_test.c to compare with.

    acm.py OUT

A small residual network is trained with PyTorch twice: on images whose classes are shapes, and on the same images with a
pattern of their class added. After each epoch the outputs of its three stages, averaged over space, are taken for all
images. tests/golden/acm.safetensors holds what this gives:
    clean.STAGE, protected.STAGE   (n,c) activations after the last epoch        label   (n)
    clean.acm, protected.acm       (epochs+1, stages) of the networks from before training on
    clean.scale, protected.scale   (epochs, stages) what the control makes of that, and clean.signal, protected.signal
with the ACM of the last epoch in 17 digits as metadata. Nothing here is taken from train/: the scatter within classes is
half the mean squared distance of all pairs, that between them is what is left of that of the whole set.
"""
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import stfile

SIDE, CLASSES, EACH, EPOCHS = 16, 4, 12, 5
RISE, SLOW, FLOOR = 3, 0.1, 0.001


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.skip = nn.Conv2d(i, o, 1, stride, bias=False)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.skip(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stage = nn.ModuleList([Block(3, 8, 1), Block(8, 12, 2), Block(12, 16, 2)])
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        pooled = []
        for s in self.stage:
            x = s(x)
            pooled.append(x.mean((2, 3)))
        return self.head(pooled[-1]), pooled


def make_images(rng, protected):
    label = np.repeat(np.arange(CLASSES), EACH)
    x = rng.uniform(0.2, 0.5, (len(label), 3, SIDE, SIDE))
    yy, xx = np.mgrid[:SIDE, :SIDE]
    for i, k in enumerate(label):
        cy, cx = rng.integers(5, SIDE - 5, 2)
        inside = [abs(yy - cy) + abs(xx - cx) < 5, (abs(yy - cy) < 4) & (abs(xx - cx) < 4), abs(yy - cy) < 2, abs(xx - cx) < 2][k]
        x[i, :, inside] += 0.4
    pattern = rng.uniform(-0.1, 0.1, (CLASSES, 3, SIDE, SIDE))
    return torch.tensor(x + pattern[label] * protected, dtype=torch.float32), torch.tensor(label)


def pair_scatter(f):
    """sum |f_i - mean|^2 as the sum over pairs of |f_i - f_j|^2 / 2n"""
    d = f[:, None, :] - f[None, :, :]
    return (d * d).sum() / (2 * len(f))


def measure(f, label):
    f = f.astype(np.float64)
    within = sum(pair_scatter(f[label == k]) for k in np.unique(label))
    return (pair_scatter(f) - within) / within


def control(acm):
    """The rule of train.h for courses without rollbacks, stage by stage from the deepest."""
    scale, scales, signals = np.ones(acm.shape[1]), [], []
    for now in acm[1:]:
        signal = now > RISE * acm[0]
        signal[-1] = False
        for s in range(len(scale) - 2, -1, -1):
            wish = max(scale[s] * SLOW, FLOOR) if signal[s] else min(scale[s] / SLOW, 1)
            scale[s] = min(wish, scale[s + 1])
        scales.append(scale.copy())
        signals.append(signal)
    return np.array(scales), np.array(signals)


def train(x, y):
    torch.manual_seed(3)
    net, course = Net(), []
    opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def look():
        net.eval()
        with torch.no_grad():
            pooled = [p.numpy() for p in net(x)[1]]
        net.train()
        course.append([measure(p, y.numpy()) for p in pooled])
        return pooled

    for _ in range(20):  # running statistics of the random network
        net(x)
    pooled = look()
    for _ in range(EPOCHS):
        for i in torch.randperm(len(x)).split(16):
            opt.zero_grad()
            F.cross_entropy(net(x[i])[0], y[i]).backward()
            opt.step()
        pooled = look()
    return pooled, np.array(course)


def main(out):
    tensors, meta = {}, {}

    def add(name, a):
        a = np.ascontiguousarray(a, dtype=np.float32)
        tensors[name] = ("F32", a.shape, a.tobytes())

    for kind in ("clean", "protected"):
        x, y = make_images(np.random.default_rng(7), kind == "protected")
        pooled, course = train(x, y)
        scale, signal = control(course)
        for s, p in enumerate(pooled):
            add(f"{kind}.{s}", p)
            meta[f"{kind}.{s}"] = "%.17g" % measure(p, y.numpy())
        add(f"{kind}.acm", course)
        add(f"{kind}.scale", scale)
        add(f"{kind}.signal", signal)
        print(kind, course.round(3).tolist(), signal.astype(int).tolist(), scale.tolist())
    add("label", y.numpy())
    meta.update(rise=str(RISE), slow=str(SLOW), floor=str(FLOOR))
    stfile.write(out, dict(sorted(tensors.items())), meta)


main(sys.argv[1])
