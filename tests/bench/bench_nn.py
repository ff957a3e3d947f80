#!/usr/bin/python3
"""The networks of bench_nn.c in PyTorch, f32, channels_last and contiguous (the faster one counts).

    bench_nn.py [THREADS]      one JSON line per network
"""
import json
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

RUNS = 5


def groups(c):
    return 4 if c % 32 else min(32, c // 4)


def embedding(t, dim):
    half = dim // 2
    rate = torch.exp(torch.arange(half) * -(9.210340371976184 / (half - 1)))
    return torch.cat([(t[:, None] * rate).sin(), (t[:, None] * rate).cos()], 1)


class Block(nn.Module):
    def __init__(self, c, o, temb):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups(c), c), nn.GroupNorm(groups(o), o)
        self.conv1, self.conv2 = nn.Conv2d(c, o, 3, padding=1), nn.Conv2d(o, o, 3, padding=1)
        self.temb = nn.Linear(temb, o)
        self.skip = nn.Conv2d(c, o, 1) if c != o else nn.Identity()

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x))) + self.temb(temb)[:, :, None, None]
        return self.conv2(F.silu(self.norm2(h))) + self.skip(x)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(groups(c), c)
        self.q, self.k, self.v, self.out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2) for f in (self.q, self.k, self.v))
        w = torch.bmm(q.transpose(1, 2), k).mul(x.shape[1] ** -0.5).softmax(-1)
        return self.out(torch.bmm(v, w.transpose(1, 2)).reshape(x.shape)) + x


class UNet(nn.Module):
    def __init__(self, ch):
        super().__init__()
        self.ch, t, mult = ch, 4 * ch, (1, 2, 2)
        self.t0, self.t1 = nn.Linear(ch, t), nn.Linear(t, t)
        self.conv_in = nn.Conv2d(3, ch, 3, padding=1)
        self.down, self.up, skips, c = nn.ModuleList(), nn.ModuleList(), [ch], ch
        for level, m in enumerate(mult):
            for _ in range(2):
                self.down.append(nn.ModuleList([Block(c, ch * m, t), Attention(ch * m) if level == 1 else None]))
                c = ch * m
                skips.append(c)
            if level < 2:
                self.down.append(nn.ModuleList([nn.Conv2d(c, c, 3, 2, 1)]))
                skips.append(c)
        self.mid0, self.mid1, self.mid2 = Block(c, c, t), Attention(c), Block(c, c, t)
        for level in (2, 1, 0):
            for _ in range(3):
                o = ch * mult[level]
                self.up.append(nn.ModuleList([Block(c + skips.pop(), o, t), Attention(o) if level == 1 else None]))
                c = o
            if level:
                self.up.append(nn.ModuleList([nn.Conv2d(c, c, 3, padding=1)]))
        self.norm, self.conv_out = nn.GroupNorm(groups(c), c), nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, x, t):
        temb = F.silu(self.t1(F.silu(self.t0(embedding(t, self.ch)))))
        h = self.conv_in(x)
        skips = [h]
        for stage in self.down:
            if len(stage) == 1:
                h = stage[0](h)
            else:
                h = stage[0](h, temb)
                h = stage[1](h) if stage[1] is not None else h
            skips.append(h)
        h = self.mid2(self.mid1(self.mid0(h, temb)), temb)
        for stage in self.up:
            if len(stage) == 1:
                h = stage[0](F.interpolate(h, scale_factor=2, mode="nearest"))
            else:
                h = stage[0](torch.cat([h, skips.pop()], 1), temb)
                h = stage[1](h) if stage[1] is not None else h
        return self.conv_out(F.silu(self.norm(h)))


class Basic(nn.Module):
    def __init__(self, c, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.skip = nn.Identity()
        if stride != 1 or c != o:
            self.skip = nn.Sequential(nn.Conv2d(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.skip(x))


class ResNet18(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        c, blocks = width, []
        for level in range(4):
            for i in range(2):
                o = width << level
                blocks.append(Basic(c, o, 2 if level and not i else 1))
                c = o
        self.blocks, self.fc = nn.Sequential(*blocks), nn.Linear(c, 10)

    def forward(self, x):
        return self.fc(self.blocks(F.relu(self.bn(self.conv(x)))).mean((2, 3)))


def median_ms(step):
    """-> milliseconds by the clock, milliseconds of CPU time"""
    for _ in range(2):
        step()
    wall, cpu = [], []
    for _ in range(RUNS):
        start, cpu_start = time.perf_counter(), time.process_time()
        step()
        wall.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.process_time() - cpu_start))
    return sorted(wall)[RUNS // 2], sorted(cpu)[RUNS // 2]


def forward_only(f):
    def step():
        with torch.no_grad():
            f()
    return step


def with_gradients(net, f):
    def step():
        net.zero_grad()
        f().backward()
    return step


def measure(unet, batch, width, train, layout):
    net = (UNet(width) if unet else ResNet18(width)).to(memory_format=layout)
    net.train(train)
    x = torch.randn(batch, 3, 32, 32).contiguous(memory_format=layout)
    if unet:
        t = torch.arange(batch, dtype=torch.float32)
        run = (lambda: net(x, t).square().mean()) if train else (lambda: net(x, t))
    else:
        labels = torch.arange(batch) % 10
        run = (lambda: F.cross_entropy(net(x), labels)) if train else (lambda: net(x))
    return median_ms(with_gradients(net, run) if train else forward_only(run))


def main():
    if len(sys.argv) > 1 and int(sys.argv[1]) > 0:
        torch.set_num_threads(int(sys.argv[1]))
    for name, unet, batch, width, train in (
            ("unet128 forward", True, 4, 128, False), ("unet32 forward", True, 16, 32, False),
            ("unet32 train", True, 16, 32, True), ("resnet18 forward", False, 32, 64, False),
            ("resnet18 train", False, 32, 64, True)):
        ms, cpu = min(measure(unet, batch, width, train, layout)
                      for layout in (torch.contiguous_format, torch.channels_last))
        print(json.dumps({"name": name, "batch": batch, "ms": round(ms, 2), "cpu_ms": round(cpu, 2),
                          "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
