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
import sys

import numpy as np
import torch
import torch.nn.functional as F

import resnet8

SIDE, CLASSES, LABEL = 12, 4, [2, 0, 3]
EPS, STEP, STEPS = 8 / 255, 2 / 255, 10


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
    net = resnet8.new(CLASSES)
    clean = torch.rand(len(LABEL), 3, SIDE, SIDE).double()
    label = torch.tensor(LABEL)
    out = resnet8.tensors(net)
    nhwc = lambda v: np.ascontiguousarray(v.detach().float().permute(0, 2, 3, 1).numpy())
    out["test.x"] = nhwc(clean)
    for mode in "running", "batch":
        net.train(mode == "batch")
        for way, sign in ("up", 1), ("down", -1):
            out[f"test.{mode}.{way}"] = nhwc(pgd(net, clean, label, sign))
    resnet8.write(sys.argv[1], out, {})


main()
