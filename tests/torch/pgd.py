#!/usr/bin/python3
"""What PGD makes of three images with PyTorch, for train/attack_test.c to compare with.

    pgd.py OUT

OUT is a weights file of the network resnet8 (three residual blocks of 16, 32, 64 channels), with random weights and running
statistics, and holds besides
    test.x                 images in [0,1], (N,H,W,C)
    test.running.up|down   after 10 signed steps of 2/255 up (down) each image's cross entropy, within 8/255 of the image and
                           0..1; batch norms use the running statistics
    test.batch.up|down     the same with the batch's own statistics
All in double precision, so that the differences are ours.
"""
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import stfile

SIDE, CLASSES, LABEL = 12, 4, [2, 0, 3]
EPS, STEP, STEPS = 8 / 255, 2 / 255, 10


class Block(nn.Module):
    def __init__(self, c, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        same = stride == 1 and c == o
        self.downsample = None if same else nn.Sequential(nn.Conv2d(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2))
        self.layer3 = nn.Sequential(Block(32, 64, 2))
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


def pgd(net, clean, label, sign):
    x = clean.clone()
    for _ in range(STEPS):
        x.requires_grad_(True)
        (g,) = torch.autograd.grad(F.cross_entropy(net(x), label, reduction="sum"), x)
        x = x.detach() + sign * STEP * g.sign()
        x = torch.min(torch.max(x, clean - EPS), clean + EPS).clamp(0, 1)
    return x


def main():
    torch.manual_seed(4)
    net = Net().double()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = 0.0
            m.running_mean.uniform_(-0.3, 0.3)
            m.running_var.uniform_(0.5, 2)
    for p in net.state_dict().values():  # exact in f32
        if p.dtype == torch.float64:
            p.copy_(p.float().double())
    clean = torch.rand(len(LABEL), 3, SIDE, SIDE).double()
    label = torch.tensor(LABEL)
    out = {k: v.float().numpy() for k, v in net.state_dict().items() if v.dtype == torch.float64}
    nhwc = lambda v: np.ascontiguousarray(v.detach().float().permute(0, 2, 3, 1).numpy())
    out["test.x"] = nhwc(clean)
    for mode in "running", "batch":
        net.train(mode == "batch")
        for way, sign in ("up", 1), ("down", -1):
            out[f"test.{mode}.{way}"] = nhwc(pgd(net, clean, label, sign))
    tensors = {k: ("F32", v.shape, struct.pack(f"<{v.size}f", *v.ravel())) for k, v in out.items()}
    stfile.write(sys.argv[1], tensors, {})


main()
