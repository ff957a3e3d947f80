#!/usr/bin/python3
"""Sharpness-aware learnability of layers of a network with PyTorch, for train/sal_test.c to compare with.

    sal.py OUT

OUT is a weights file of the network resnet8 that was trained for some steps, in doubles, and holds besides
    test.x (N,H,W,C), test.label (N)
with the figures of some layers as metadata. A copy of a layer's weights walks down the loss, another up, by plain SGD over
the batches in the order of the images, and each is put back on the ball around its start after each pass.
"""
import copy
import sys

import numpy as np
import torch
import torch.nn.functional as F

import resnet8

SIDE, CLASSES, N, BATCH = 8, 4, 80, 40
LAYERS = "conv1", "layer2.0.conv1", "layer2.0.downsample.0", "fc"
STEP, PASSES, RADIUS = 0.1, 10, 0.05


def loss_of(net, x, y):
    with torch.no_grad():
        return F.cross_entropy(net(x), y).item()


def walk(net, name, x, y, sign):
    net = copy.deepcopy(net).eval()
    w = dict(net.named_parameters())[name]
    start, losses = w.detach().clone(), []
    sgd = torch.optim.SGD([w], lr=STEP)
    for _ in range(PASSES):
        for i in torch.arange(len(x)).split(BATCH):
            sgd.zero_grad()
            (sign * F.cross_entropy(net(x[i]), y[i])).backward()
            sgd.step()
        with torch.no_grad():
            far = torch.linalg.norm(w - start) / torch.linalg.norm(start)
            if far > RADIUS:
                w.copy_(start + (w - start) * (RADIUS / far))
        losses.append(loss_of(net, x, y))
    return losses


def main():
    torch.set_num_threads(1)
    torch.manual_seed(8)
    net = resnet8.new(CLASSES)
    x, y = torch.rand(N, 3, SIDE, SIDE).double(), torch.arange(N) % CLASSES
    x[torch.arange(N), y % 3] += 0.3 * (y > 0).double()[:, None, None]
    x = x.float().double()
    sgd = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(12):
        sgd.zero_grad()
        F.cross_entropy(net(x), y).backward()
        sgd.step()
    net = net.float().double().eval()
    here, meta = loss_of(net, x, y), {}
    for name in LAYERS:
        down, up = (walk(net, name + ".weight", x, y, sign) for sign in (1, -1))
        meta[name] = "%.17g" % max(max(up) - here, here - min(down), 0)
    out = resnet8.tensors(net)
    out["test.x"] = np.ascontiguousarray(x.float().permute(0, 2, 3, 1).numpy())
    out["test.label"] = y.float().numpy()
    print("loss %.4f" % here, meta)
    resnet8.write(sys.argv[1], out, meta)


main()
