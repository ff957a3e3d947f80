#!/usr/bin/python3
"""What PyTorch makes of two small networks, for nn/torch_parity_test.c to compare with: a DDPM UNet and a ResNet.

    parity.py OUTDIR [--channels N] [--size N] [--batch N] [--seed N]

Writes OUTDIR/unet.safetensors, OUTDIR/resnet.safetensors and OUTDIR/adamw.safetensors, the ResNet again with another
optimiser. tests/golden holds what these defaults give. In each file
    in.*      the batch; images are (N,H,W,C)
    param.*   parameters and buffers before the first step, all of them exact in F16
    loss      (N) of each sample        grad.*  of the mean loss, for every parameter        grad_x
    after.*   running statistics after one forward pass
    steps     the mean loss before each of the first steps of the optimiser named in the metadata
Everything is computed in double precision, so that the differences are ours.
"""
import argparse
import os
import struct

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import stfile

STEPS = 4


# ---- the networks ----
def timestep_embedding(t, dim):
    half = dim // 2
    rate = torch.exp(torch.arange(half, dtype=t.dtype) * -(np.log(10000) / (half - 1)))
    angle = t[:, None] * rate[None, :]
    return torch.cat([angle.sin(), angle.cos()], 1)


class Block(nn.Module):
    def __init__(self, c, o, temb, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, c, eps=1e-6)
        self.conv1 = nn.Conv2d(c, o, 3, padding=1)
        self.temb = nn.Linear(temb, o)
        self.norm2 = nn.GroupNorm(groups, o, eps=1e-6)
        self.conv2 = nn.Conv2d(o, o, 3, padding=1)
        self.skip = nn.Conv2d(c, o, 1) if c != o else None

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x))) + self.temb(F.silu(temb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.skip(x) if self.skip else x) + h


class Attention(nn.Module):
    def __init__(self, c, groups, heads):
        super().__init__()
        self.norm = nn.GroupNorm(groups, c, eps=1e-6)
        self.q, self.k, self.v, self.out = (nn.Conv2d(c, c, 1) for _ in range(4))
        self.heads = heads

    def forward(self, x):
        n, c, height, width = x.shape
        h = self.norm(x)
        q, k, v = (f(h).reshape(n, self.heads, c // self.heads, -1) for f in (self.q, self.k, self.v))
        w = torch.einsum("nhci,nhcj->nhij", q, k) * (c // self.heads) ** -0.5
        a = torch.einsum("nhij,nhcj->nhci", w.softmax(-1), v).reshape(n, c, height, width)
        return x + self.out(a)


class UNet(nn.Module):
    """Two levels, one block each on the way down and two on the way up, attention on the lower level."""

    def __init__(self, c, groups):
        super().__init__()
        self.c = c
        t = 4 * c
        self.temb0, self.temb1 = nn.Linear(c, t), nn.Linear(t, t)
        self.conv_in = nn.Conv2d(3, c, 3, padding=1)
        self.down0 = Block(c, c, t, groups)
        self.shrink = nn.Conv2d(c, c, 3, stride=2)
        self.down1, self.down1_attn = Block(c, 2 * c, t, groups), Attention(2 * c, groups, 1)
        self.mid0, self.mid_attn = Block(2 * c, 2 * c, t, groups), Attention(2 * c, groups, 2)
        self.up1a, self.up1b = Block(4 * c, 2 * c, t, groups), Block(3 * c, 2 * c, t, groups)
        self.grow = nn.Conv2d(2 * c, 2 * c, 3, padding=1)
        self.up0a, self.up0b = Block(3 * c, c, t, groups), Block(2 * c, c, t, groups)
        self.norm_out = nn.GroupNorm(groups, c, eps=1e-6)
        self.conv_out = nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, x, t):
        temb = self.temb1(F.silu(self.temb0(timestep_embedding(t, self.c))))
        h0 = self.conv_in(x)
        h1 = self.down0(h0, temb)
        h2 = self.shrink(F.pad(h1, (0, 1, 0, 1)))
        h3 = self.down1_attn(self.down1(h2, temb))
        h = self.mid_attn(self.mid0(h3, temb))
        h = self.up1a(torch.cat([h, h3], 1), temb)
        h = self.up1b(torch.cat([h, h2], 1), temb)
        h = self.grow(F.interpolate(h, scale_factor=2, mode="nearest"))
        h = self.up0a(torch.cat([h, h1], 1), temb)
        h = self.up0b(torch.cat([h, h0], 1), temb)
        return self.conv_out(F.silu(self.norm_out(h)))


class Basic(nn.Module):
    def __init__(self, c, o, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.skip = None
        if stride != 1 or c != o:
            self.skip = nn.Conv2d(c, o, 1, stride, bias=False)
            self.skip_bn = nn.BatchNorm2d(o)

    def forward(self, x):
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(h + (self.skip_bn(self.skip(x)) if self.skip else x))


class ResNet(nn.Module):
    def __init__(self, c, classes):
        super().__init__()
        self.conv = nn.Conv2d(3, c, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(c)
        self.block0, self.block1 = Basic(c, c, 1), Basic(c, 2 * c, 2)
        self.fc = nn.Linear(2 * c, classes)

    def forward(self, x):
        h = F.max_pool2d(F.relu(self.bn(self.conv(x))), 3, 2, 1)
        return self.fc(self.block1(self.block0(h)).mean((2, 3)))


# ---- the files ----
def f32(t):
    a = np.ascontiguousarray(t.detach().numpy().astype("<f4"))
    return "F32", a.shape or (1,), a.tobytes()


def f16(t):
    a = np.ascontiguousarray(t.detach().numpy().astype("<f2"))
    return "F16", a.shape, a.tobytes()


def i32(t):
    return "I32", t.shape, struct.pack("<%di" % len(t), *t.tolist())


def nhwc(t):
    return t.permute(0, 2, 3, 1)


def halves(*shape):
    """Random numbers that F16 holds exactly."""
    return torch.from_numpy(np.random.standard_normal(shape).astype("<f2").astype("f8"))


def randomise(net):
    """Every parameter away from the special values it starts with, and exact in F16."""
    with torch.no_grad():
        for name, p in list(net.named_parameters()) + list(net.named_buffers()):
            if name.endswith("num_batches_tracked"):
                continue
            spread = (p.numel() / p.shape[0]) ** -0.5 if p.dim() > 1 else 0.2
            scale = p.dim() == 1 and name.endswith("weight")  # of a norm
            centre = 1.0 if scale or name.endswith("running_var") else 0.0
            v = np.random.standard_normal(p.shape) * spread + centre
            v = np.abs(v) + 0.1 if name.endswith("running_var") else v
            p.copy_(torch.from_numpy(np.asarray(v).astype("<f2").astype("f8")))


def counted(net):
    return {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}


def record(path, net, x, batch, loss_of, optimiser, lr, meta):
    net.double()
    randomise(net)
    out = {"param." + k: f16(v) for k, v in counted(net).items()}
    out.update(batch)
    out["in.x"] = f32(nhwc(x))
    x.requires_grad_()
    loss = loss_of(x)
    out["loss"] = f32(loss)
    net.zero_grad()
    loss.mean().backward()
    out["grad_x"] = f32(nhwc(x.grad))
    out.update({"grad." + k: f32(p.grad) for k, p in net.named_parameters()})
    out.update({"after." + k: f32(v) for k, v in counted(net).items() if "running" in k})
    losses = []
    for step in range(STEPS):
        loss = loss_of(x)
        losses.append(loss.mean())
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
    out["steps"] = f32(torch.stack(losses))
    stfile.write(path, out, {**meta, "lr": repr(lr), "torch": torch.__version__})


def main():
    a = argparse.ArgumentParser()
    a.add_argument("outdir")
    a.add_argument("--channels", type=int, default=4)
    a.add_argument("--size", type=int, default=8)
    a.add_argument("--batch", type=int, default=2)
    a.add_argument("--seed", type=int, default=1)
    o = a.parse_args()
    np.random.seed(o.seed)
    groups, classes = 2, 5
    meta = {"channels": str(o.channels), "size": str(o.size), "batch": str(o.batch)}

    net = UNet(o.channels, groups)
    x, target = halves(o.batch, 3, o.size, o.size), halves(o.batch, 3, o.size, o.size)
    t = torch.from_numpy(np.random.randint(0, 1000, o.batch).astype("f8"))
    record(os.path.join(o.outdir, "unet.safetensors"), net, x,
           {"in.t": f32(t), "in.target": f32(nhwc(target))},
           lambda v: ((net(v, t) - target) ** 2).mean((1, 2, 3)),
           torch.optim.Adam(net.parameters(), lr=1e-3), 1e-3, {**meta, "groups": str(groups), "optimiser": "adam"})

    sgd = dict(lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    adamw = dict(lr=1e-3, weight_decay=0.5)
    for name, kind, options in (("resnet", torch.optim.SGD, sgd), ("adamw", torch.optim.AdamW, adamw)):
        net = ResNet(2 * o.channels, classes)
        x = halves(2 * o.batch, 3, o.size, o.size)
        labels = torch.from_numpy(np.random.randint(0, classes, 2 * o.batch))
        record(os.path.join(o.outdir, name + ".safetensors"), net, x, {"in.labels": i32(labels)},
               lambda v: F.cross_entropy(net(v), labels, reduction="none"),
               kind(net.parameters(), **options), options["lr"],
               {**meta, "classes": str(classes), "optimiser": kind.__name__.lower()})


if __name__ == "__main__":
    main()
