#!/usr/bin/python3
"""JCDP once more: plain PyTorch, written from the papers' formulas and from what purify/purify.h and purify/jcdp.h promise.

    jcdp.py images N DIR                    writes N made-up images of 32x32, as PNG
    jcdp.py compare PROFILE.ini ID SRC DST  purifies SRC/*.png by the profile and compares with DST, which `relearn purify`
                                            wrote; prints the figures, fails when a pixel differs by more than one grey level

The profile names every field, takes every step of the chain (steps = t_start, eta = 1) and one sample. ID is what
`relearn profile show` says; it keys the noise, and is computed here as well. Only networks.py is shared with others.
"""
import configparser
import hashlib
import math
import os
import sys

import numpy as np
import torch
from PIL import Image

import networks

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../models")
FIELDS = ("model", "t_start", "rounds", "steps", "eta", "average", "variance", "guidance", "pixel_scale",
          "perceptual_scale", "percept", "overlap")
JUMP, REFERENCE, STEP = range(3)  # what a stream of noise is for


# ---- identity ----
def weights_path(name):
    return os.path.join(MODELS, name + ".safetensors")


def sha256_file(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def profile_id(p):
    """SHA-256 of the canonical form: what has no effect is none or 0, weights are their files' digests."""
    canonical = {k: p[k] for k in FIELDS}
    canonical["model"] = sha256_file(weights_path(p["model"]))
    for key in ("eta", "pixel_scale", "perceptual_scale"):
        canonical[key] = "%.9g" % np.float32(p[key])
    if p["guidance"] == "none":
        canonical.update(pixel_scale="0", perceptual_scale="0", percept="none")
    else:
        canonical["percept"] = sha256_file(weights_path(p["percept"]))
    text = "relearnfs jcdp 1\n" + "".join(f"{k}={canonical[k]}\n" for k in FIELDS)
    return hashlib.sha256(text.encode()).digest()


def noise_key(image, identity):
    height, width, channels = image.shape
    shape = np.array([width, height, channels], "<u4").tobytes()
    pixels = hashlib.sha256(shape + image.tobytes()).digest()
    return int.from_bytes(hashlib.sha256(pixels + identity).digest()[:8], "little")


# ---- noise ----
def philox(key, stream, blocks):
    """Philox 4x32-10 (Salmon et al. 2011): (blocks,4) words, the counter being {block (64 bits), stream (64 bits)}."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    word = lambda v: np.full(blocks, v & 0xFFFFFFFF, np.uint64)
    at = np.arange(blocks, dtype=np.uint64)
    c = [at & low, at >> half, word(stream), word(stream >> 32)]
    k = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(q >> half) ^ c[1] ^ np.uint64(k[0]), q & low, (p >> half) ^ c[3] ^ np.uint64(k[1]), p & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, 1)


def normals(key, stream, shape):
    """Box and Muller on words 2i and 2i+1; 31 bits of the first are its radius."""
    words = philox(key, stream, math.prod(shape) // 4).reshape(-1, 2)
    radius = np.sqrt(-2 * np.log(((words[:, 0] >> np.uint64(1)) + 0.5) / 2**31))
    angle = 2 * np.pi * words[:, 1] / 2**32
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(shape)


# ---- JCDP ----
def nchw(a):
    return torch.from_numpy(np.ascontiguousarray(a.transpose(0, 3, 1, 2), dtype="f4"))


def purify(images, p, identity):
    """(N,H,W,3) bytes -> floats, in grey levels, neither clipped nor rounded."""
    t_start, rounds = int(p["t_start"]), int(p["rounds"])
    pixel_scale, perceptual_scale = float(p["pixel_scale"]), float(p["perceptual_scale"])
    assert int(p["steps"]) == t_start and float(p["eta"]) == 1 and p["average"] == "1" and p["variance"] == "fixedlarge"
    unet, meta = networks.load(weights_path(p["model"]))
    percept, _ = networks.load(weights_path(p["percept"]))
    assert meta["beta"] == "linear" and images.shape[1] == images.shape[2] == int(meta["size"])
    keys = [noise_key(image, identity) for image in images]

    def noise(purpose, i, t):
        return nchw(np.stack([normals(key, i << 8 | t << 16 | purpose << 32, images.shape[1:]) for key in keys]))

    beta = np.linspace(1e-4, 0.02, int(meta["timesteps"]))
    abar = np.cumprod(1 - beta)
    before = np.concatenate([[1], abar[:-1]])
    variance = beta.copy()
    variance[0] = beta[1] * (1 - before[1]) / (1 - abar[1])

    def diffused(x, t, n):
        return math.sqrt(abar[t]) * x + math.sqrt(1 - abar[t]) * n

    def pull(x, y, t):
        """The gradient of what guides step t, scaled: eq. 16-20, or one distance at a time as released."""
        x = x.clone().requires_grad_()
        d = 0
        if p["guidance"] == "joint" or t > 10:
            d = d - pixel_scale * ((x - y) ** 2).mean((1, 2, 3)).sum()
        if p["guidance"] == "joint" or t <= 10:
            d = d - perceptual_scale * percept.distance(x, y).sum()
        (gradient,) = torch.autograd.grad(d, x)
        return math.sqrt(1 - abar[t]) / math.sqrt(abar[t]) * gradient

    protected = nchw(images / 127.5 - 1)
    z = protected
    for i in range(rounds):
        x = diffused(z, t_start - 1, noise(JUMP, i, t_start - 1))
        for t in reversed(range(t_start)):
            with torch.no_grad():
                eps = unet(x, torch.full((len(x),), float(t)))
            x0 = ((x - math.sqrt(1 - abar[t]) * eps) / math.sqrt(abar[t])).clamp(-1, 1)
            # Ho et al. 2020, eq. 7
            mean = (math.sqrt(before[t]) * beta[t] * x0 + math.sqrt(1 - beta[t]) * (1 - before[t]) * x) / (1 - abar[t])
            if p["guidance"] != "none":
                mean = mean + variance[t] * pull(x, diffused(protected, t, noise(REFERENCE, i, t)), t)
            x = mean + math.sqrt(variance[t]) * noise(STEP, i, t) if t > 0 else mean
        z = x
    return ((z + 1) * 127.5).numpy().transpose(0, 2, 3, 1)


# ---- the program ----
def make_image(rng):
    """Slow waves of colour, a few discs and half-planes, and a little sensor noise."""
    v, u = np.mgrid[0:32, 0:32] / 32
    waves = [s * np.sin(6 * (a * u + b * v) + c) for a, b, c, s in rng.uniform(-1, 1, (3, 4))]
    pixels = 128 + 60 * np.stack(waves, -1)
    for k in range(4):
        a, b, c = rng.uniform(0, 1, 3)
        inside = (u - a) ** 2 + (v - b) ** 2 < c * c / 8 if k % 2 else (u - a) * (b - 0.5) > (v - c) / 3
        pixels[inside] = pixels[inside] / 2 + rng.uniform(-20, 160, 3)
    return (pixels + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8)


def make_images(count, out):
    rng = np.random.default_rng(1)
    for i in range(count):
        Image.fromarray(make_image(rng)).save(os.path.join(out, f"{i:03}.png"))


def read_images(folder):
    names = sorted(n for n in os.listdir(folder) if n.endswith(".png"))
    return np.stack([np.asarray(Image.open(os.path.join(folder, n))) for n in names])


def compare(ini, said_id, source, target):
    config = configparser.ConfigParser()
    config.read(ini)
    p = config["purify"]
    identity = profile_id(p)
    assert identity.hex() == said_id, f"the profile's id is {said_id}, not {identity.hex()}"
    images, ours = read_images(source), read_images(target)
    exact = purify(images, p, identity)
    theirs = np.rint(exact.clip(0, 255)).astype(int)
    off = np.abs(ours - theirs)
    print(f"{len(images)} images, {off.size} values: {(off > 0).sum()} differ, by at most {off.max()} grey levels, "
          f"{np.abs(ours - exact.clip(0, 255)).max():.5f} before PyTorch's are rounded; "
          f"purification moved them by {np.abs(ours - images.astype(int)).mean():.2f} on average")
    return off.max() <= 1


if __name__ == "__main__":
    command, *args = sys.argv[1:]
    if command == "images":
        make_images(int(args[0]), args[1])
    elif command == "compare":
        sys.exit(0 if compare(*args) else 1)
    else:
        sys.exit(__doc__)
