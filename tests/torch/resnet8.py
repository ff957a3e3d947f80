"""The network resnet8, three residual blocks of 16, 32, 64 channels, with PyTorch; and files of it that C tests read."""
import struct

import torch
import torch.nn as nn
import torch.nn.functional as F

import stfile


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
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2))
        self.layer3 = nn.Sequential(Block(32, 64, 2))
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


def new(classes):
    """One of random weights and running statistics, in doubles that are exact in f32."""
    net = Net(classes).double()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = 0.0
            m.running_mean.uniform_(-0.3, 0.3)
            m.running_var.uniform_(0.5, 2)
    for p in net.state_dict().values():
        if p.dtype == torch.float64:
            p.copy_(p.float().double())
    return net


def tensors(net):
    return {k: v.float().numpy() for k, v in net.state_dict().items() if v.dtype == torch.float64}


def write(path, arrays, meta):
    stfile.write(path, {k: ("F32", v.shape, struct.pack(f"<{v.size}f", *v.ravel())) for k, v in arrays.items()}, meta)
