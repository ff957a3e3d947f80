"""What bench_profiles.sh does with images.

    unpack ARCHIVE N DIR   the first N images of its train folder, balanced over the classes, as DIR/CLASS/NUMBER.png
    choose ALL N DIR       of each tree ALL/METHOD the same N images, balanced over the classes, as DIR/METHOD/...
    measure DIR OURS       the distances of DIR/purified/PROFILE/METHOD to DIR/clean: JSON lines to OURS, and a table
"""
import collections
import io
import json
import os
import shutil
import sys
import tarfile

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, "tests/torch")
import networks


def files(tree):
    return sorted(os.path.relpath(os.path.join(d, n), tree) for d, _, names in os.walk(tree) for n in names)


def balanced(names, count):
    """The first of every class, then the second of every class, ..."""
    seen, ranked = collections.Counter(), []
    for name in sorted(names):
        seen[os.path.dirname(name)] += 1
        ranked.append((seen[os.path.dirname(name)], name))
    return [name for _, name in sorted(ranked)][:count]


def unpack(archive, count, out):
    with tarfile.open(archive, "r|*") as tar:
        images = {m.name: tar.extractfile(m).read() for m in tar if m.name.endswith(".jpg") and "train/" in m.name}
    for name in balanced(images, int(count)):
        kind, file = name.split("/")[-2:]
        os.makedirs(f"{out}/{kind}", exist_ok=True)
        Image.open(io.BytesIO(images[name])).convert("RGB").save(f"{out}/{kind}/{file[:-4]}.png")


def choose(trees, count, out):
    for method in next(os.walk(trees))[1]:
        for name in balanced([n for n in files(f"{trees}/{method}") if n.endswith(".png")], int(count)):
            os.makedirs(os.path.dirname(f"{out}/{method}/{name}"), exist_ok=True)
            shutil.copy(f"{trees}/{method}/{name}", f"{out}/{method}/{name}")


def read(tree, names):
    """(N,3,H,W) in [-1,1]"""
    pixels = np.stack([np.asarray(Image.open(f"{tree}/{n}"), "f4") for n in names])
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2) / 127.5 - 1)


def distances(percept, clean, protected, x):
    mse = ((x - clean) ** 2).mean((1, 2, 3))
    added = protected - clean
    left = ((x - clean) * added).sum((1, 2, 3)) / (added**2).sum((1, 2, 3))
    return {
        "psnr": (10 * torch.log10(4 / mse)).mean().item(),
        "percept": percept.distance(x, clean).mean().item(),
        "residual": left.mean().item(),
    }


def cost(top, profile, images):
    with open(f"{top}/cost/{profile}.json") as f:
        shown = json.load(f)
    with open(f"{top}/cost/{profile}.cpu") as f:
        seconds = sum(float(v) for v in f.read().split()[-2:])
    return {"evaluations": shown["evaluations"], "ms": shown["ms_per_tile_bulk"], "cpu_ms": 1e3 * seconds / images}


def measure(top, ours):
    percept, _ = networks.load("models/percept.safetensors")
    methods = sorted(os.listdir(f"{top}/protected"))
    names = {m: files(f"{top}/protected/{m}") for m in methods}
    clean = {m: read(f"{top}/clean", names[m]) for m in methods}
    protected = {m: read(f"{top}/protected/{m}", names[m]) for m in methods}
    costs = {p: cost(top, p, sum(map(len, names.values()))) for p in sorted(os.listdir(f"{top}/purified"))}
    costs["protected"] = {"evaluations": 0, "ms": 0.0, "cpu_ms": 0.0}
    print(f"{'':20} {'evaluations':>11} {'ms':>7} {'cpu ms':>7}" + "".join(f" | {m:>9}: PSNR percept residual" for m in methods))
    with open(ours, "w") as out:
        for p in sorted(costs, key=lambda p: (costs[p]["evaluations"], p)):
            line = f"{p:20} {costs[p]['evaluations']:11} {costs[p]['ms']:7.1f} {costs[p]['cpu_ms']:7.1f}"
            for m in methods:
                x = protected[m] if p == "protected" else read(f"{top}/purified/{p}/{m}", names[m])
                d = distances(percept, clean[m], protected[m], x)
                out.write(json.dumps({"name": p, "protection": m, **costs[p], **d}) + "\n")
                line += f" | {d['psnr']:15.2f} {d['percept']:7.4f} {d['residual']:8.3f}"
            print(line)


if __name__ == "__main__":
    command, *args = sys.argv[1:]
    {"unpack": unpack, "choose": choose, "measure": measure}[command](*args)
