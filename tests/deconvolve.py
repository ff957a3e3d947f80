"""What purifier deconvolve does to an image, by numpy: for purifiers.bats."""
import json
import struct
import numpy as np

TYPES = {"F32": np.float32, "F16": np.float16}


def tensors(path):
    data = open(path, "rb").read()
    size, = struct.unpack("<Q", data[:8])
    head = json.loads(data[8:8 + size])
    meta = head.pop("__metadata__")
    read = {}
    for name, t in head.items():
        first, end = t["data_offsets"]
        read[name] = np.frombuffer(data[8 + size + first:8 + size + end], TYPES[t["dtype"]]).reshape(t["shape"]).astype(float)
    return meta, read


def conv(x, w, b, stride):
    """x (H,W,C), w (O,C,3,3): zeros beyond the edge."""
    x = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    height, width = x.shape[0] - 2, x.shape[1] - 2
    out = sum(x[i:i + height:stride, j:j + width:stride] @ w[:, :, i, j].T for i in range(3) for j in range(3))
    return np.maximum(out + b, 0)


def estimate(path, square):
    meta, p = tensors(path)
    x = square / 127.5 - 1
    for level in range(len(meta["width"].split(","))):
        x = conv(x, p["conv.%d.weight" % level], p["conv.%d.bias" % level], 2 if level else 1)
    side = int(meta["side"])
    return (p["head.weight"] @ x.reshape(-1) + p["head.bias"]).reshape(side, side)


def mirrored(i, n):
    i = np.abs(i) % max(2 * (n - 1), 1)
    return np.where(i < n, i, 2 * (n - 1) - i)


def correlate(x, k):
    half = k.shape[0] // 2
    height, width = x.shape
    x = np.pad(x, half)
    return sum(k[i, j] * x[i:i + height, j:j + width] for i in range(k.shape[0]) for j in range(k.shape[0]))


def solve(y, k, damping, steps=200):
    """Conjugate gradients on the whole plane, to their end."""
    back = k[::-1, ::-1]
    d = np.zeros_like(y)
    left = correlate(y - correlate(y, k), back)
    way, squares = left.copy(), (left * left).sum()
    for _ in range(steps):
        if squares < 1e-12:
            break
        product = correlate(correlate(way, k), back) + damping * way
        step = squares / (way * product).sum()
        d += step * way
        left = left - step * product
        now = (left * left).sum()
        way, squares = left + now / squares * way, now
    return y + d


def deconvolve(path, image, damping=.01, least=.3, size=32):
    """image: (H,W) or (H,W,3) of 8 bits; returns floats before rounding."""
    x = image.reshape(*image.shape[:2], -1).astype(float)
    height, width, channels = x.shape
    colour = x if channels == 3 else np.repeat(x, 3, 2)
    places = [mirrored(np.r_[:size // 2, n - size // 2:n], n) for n in (height, width)]
    k = estimate(path, colour[places[0]][:, places[1]])
    k /= k.sum()
    none = np.zeros_like(k)
    half = k.shape[0] // 2
    none[half, half] = 1
    if np.sqrt(((k - none) ** 2).sum()) < least:
        return image.astype(float)
    out = np.stack([solve(x[..., c], k, damping) for c in range(channels)], -1)
    inside = [np.arange(n) if n <= 2 * half else np.clip(np.arange(n), half, n - 1 - half) for n in (height, width)]
    out = out[inside[0]][:, inside[1]]
    return (out * min(1, 255 / out.max())).reshape(image.shape)
