#!/usr/bin/python3
"""PyTorch's side of bench_nn: the networks and rows of bench_nn.c, as fast as PyTorch runs them.

    bench_nn.py ROW [THREADS]      ROW: "NETWORK forward|train bBATCH f32|bf16"

First one JSON line that describes the row, with the form that was fastest; then, for each line of standard input, which is
a number of seconds, one with the median milliseconds of the steps that were done in about that time. The forms:

    memory format    contiguous, channels_last
    bf16             autocast; without training also the network itself in bfloat16

Whatever raises an exception is left out; if that is every form the first line says why, and it is the last.
"""
import json
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

TRIALS = 5   # of each form; the fastest of them counts
LONG_MS = 3000  # a step that takes longer needs no more than one


class GroupNorm(nn.GroupNorm):
    """Before PyTorch 2.0 input and parameters must be of one type, which under autocast they are not."""

    mixed_types = int(torch.__version__.split(".")[0]) >= 2

    def __init__(self, c):
        super().__init__(4 if c % 32 else min(32, c // 4), c, eps=1e-6)

    def forward(self, x):
        # Casting the parameters instead works too, and is slower.
        return super().forward(x if self.mixed_types else x.to(self.weight.dtype))


def embedding(t, dim):
    half = dim // 2
    rate = torch.exp(torch.arange(half) * -(9.210340371976184 / (half - 1)))
    return torch.cat([(t[:, None] * rate).sin(), (t[:, None] * rate).cos()], 1)


class Block(nn.Module):
    def __init__(self, c, o, temb):
        super().__init__()
        self.norm1, self.norm2 = GroupNorm(c), GroupNorm(o)
        self.conv1, self.conv2 = nn.Conv2d(c, o, 3, padding=1), nn.Conv2d(o, o, 3, padding=1)
        self.temb = nn.Linear(temb, o)
        self.skip = nn.Conv2d(c, o, 1) if c != o else nn.Identity()

    def forward(self, x, temb):
        h = self.conv1(F.silu(self.norm1(x))) + self.temb(temb)[:, :, None, None]
        return self.conv2(F.silu(self.norm2(h))) + self.skip(x)


class Attention(nn.Module):
    """Written out: scaled_dot_product_attention of PyTorch 2.6 takes several times as long for one wide head."""

    def __init__(self, c):
        super().__init__()
        self.norm = GroupNorm(c)
        self.q, self.k, self.v, self.out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2) for f in (self.q, self.k, self.v))
        w = torch.bmm(q.transpose(1, 2) * x.shape[1] ** -0.5, k).softmax(-1)
        return self.out(torch.bmm(v, w.transpose(1, 2)).reshape(x.shape)) + x


class UNet(nn.Module):
    def __init__(self, ch, levels):
        super().__init__()
        self.ch, t, mult = ch, 4 * ch, (1, 2, 2, 2)[:levels]
        self.t0, self.t1 = nn.Linear(ch, t), nn.Linear(t, t)
        self.conv_in = nn.Conv2d(3, ch, 3, padding=1)
        self.down, self.up, skips, c = nn.ModuleList(), nn.ModuleList(), [ch], ch
        for level, m in enumerate(mult):
            for _ in range(2):
                self.down.append(nn.ModuleList([Block(c, ch * m, t), Attention(ch * m) if level == 1 else None]))
                c = ch * m
                skips.append(c)
            if level < levels - 1:
                self.down.append(nn.ModuleList([nn.Conv2d(c, c, 3, 2, 1)]))
                skips.append(c)
        self.mid0, self.mid1, self.mid2 = Block(c, c, t), Attention(c), Block(c, c, t)
        for level in reversed(range(levels)):
            for _ in range(3):
                o = ch * mult[level]
                self.up.append(nn.ModuleList([Block(c + skips.pop(), o, t), Attention(o) if level == 1 else None]))
                c = o
            if level:
                self.up.append(nn.ModuleList([nn.Conv2d(c, c, 3, padding=1)]))
        self.norm, self.conv_out = GroupNorm(c), nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, x, t):
        temb = embedding(t, self.ch).to(self.t0.weight.dtype)
        temb = F.silu(self.t1(F.silu(self.t0(temb))))
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


class Mobile(nn.Module):
    def __init__(self, width):
        super().__init__()
        c, layers = width, self.layer(3, width, 3)
        for level in range(1, 4):
            for i in range(2):
                o = width << level
                layers += self.layer(c, c, 3, 2 if level > 1 and not i else 1, c) + self.layer(c, o, 1)
                c = o
        self.layers, self.fc = nn.Sequential(*layers), nn.Linear(c, 10)

    @staticmethod
    def layer(c, o, kernel, stride=1, groups=1):
        conv = nn.Conv2d(c, o, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(o), nn.ReLU6()]

    def forward(self, x):
        return self.fc(self.layers(x).mean((2, 3)))


class ViT(nn.Module):
    def __init__(self, width, side=32, patch=4, layers=6):
        super().__init__()
        self.conv = nn.Conv2d(3, width, patch, patch)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, width // 64, 4 * width, dropout=0, activation="gelu", layer_norm_eps=1e-6,
                                           batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width, eps=1e-6))
        self.fc = nn.Linear(width, 10)

    def forward(self, x):
        x = self.conv(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.to(x.dtype).expand(len(x), -1, -1), x], 1) + self.position.to(x.dtype)
        return self.fc(self.layers(x)[:, 0])


NETWORKS = {"ddpm": lambda: UNet(128, 4), "unet32": lambda: UNet(32, 3), "resnet18": lambda: ResNet18(64),
            "mobile": lambda: Mobile(32), "vit": lambda: ViT(192)}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Step:
    """One form of a row: what is called is a forward pass or a training step."""

    def __init__(self, row, layout, bf16):
        network, work, batch, _ = row.split()
        batch = int(batch[1:])
        self.train, self.autocast = work == "train", bf16 == "autocast"
        dtype = torch.bfloat16 if bf16 == "bfloat16" else torch.float32
        torch.manual_seed(1)
        self.net = NETWORKS[network]().to(dtype=dtype, memory_format=FORMATS[layout]).train(self.train)
        image = torch.randn(batch, 3, 32, 32).contiguous(memory_format=FORMATS[layout])
        if isinstance(self.net, UNet):
            self.inputs = image.to(dtype), torch.arange(batch, dtype=torch.float32)
            self.target, self.loss = torch.randn_like(image), F.mse_loss
            self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-4)
        else:
            self.inputs = (image.to(dtype),)
            self.target, self.loss = torch.arange(batch) % 10, F.cross_entropy
            self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)

    def __call__(self):
        if not self.train:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
                self.net(*self.inputs)
            return
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            y = self.net(*self.inputs)
        self.loss(y.float(), self.target).backward()
        self.optimizer.step()


def milliseconds(step):
    """-> by the clock, of CPU time"""
    start, cpu_start = time.perf_counter(), time.process_time()
    step()
    return 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - cpu_start)


def forms(row):
    _, work, _, precision = row.split()
    for layout in FORMATS:
        if precision == "f32":
            yield layout, None
        else:
            yield layout, "autocast"
            if work == "forward":
                yield layout, "bfloat16"


def uses_reference_blas():
    with open("/proc/self/maps", encoding="utf-8") as f:
        maps = f.read()
    return "/blas/libblas.so" in maps and "openblas" not in maps


def fastest(row):
    """-> the step in its fastest form (None if there is none), and the description"""
    steps, tried, errors = {}, {}, {}
    for form in forms(row):
        name = " ".join(filter(None, form))
        try:
            steps[name] = Step(row, *form)
            tried[name] = min(milliseconds(steps[name])[0] for _ in range(2))  # the first prepares
        except Exception as e:
            steps.pop(name, None)
            errors[name] = f"{type(e).__name__}: {e}".splitlines()[0]
    for _ in range(TRIALS - 1):
        for name, step in steps.items():
            if tried[name] < LONG_MS:
                tried[name] = min(tried[name], milliseconds(step)[0])
    about = {"name": row, "torch": torch.__version__}
    if uses_reference_blas():
        about["note"] = "its matrix products use the reference BLAS; libopenblas0 makes them faster"
    if errors:
        about["errors"] = errors
    if not steps:
        return None, {**about, "error": next(iter(errors.values()))}
    best = min(tried, key=tried.get)
    parameters = sum(p.numel() for p in steps[best].net.parameters())
    return steps[best], {**about, "parameters": parameters, "form": best,
                         "tried": {name: round(ms, 2) for name, ms in tried.items()}}


def turn(step, seconds, last_ms):
    """The first run after the other side's turn finds its caches cold: it is not counted unless runs are very long."""
    if last_ms < LONG_MS:
        step()
    runs, end = [], time.perf_counter() + seconds
    while not runs or time.perf_counter() < end:
        runs.append(milliseconds(step))
    return [statistics.median(column) for column in zip(*runs)]


def main():
    row = sys.argv[1]
    if len(sys.argv) > 2 and int(sys.argv[2]) > 0:
        torch.set_num_threads(int(sys.argv[2]))
    step, about = fastest(row)
    print(json.dumps(about), flush=True)
    if step is None:
        return
    ms = about["tried"][about["form"]]
    for line in sys.stdin:
        ms, cpu = turn(step, float(line), ms)
        print(json.dumps({"ms": round(ms, 3), "cpu_ms": round(cpu, 3)}), flush=True)


if __name__ == "__main__":
    main()
