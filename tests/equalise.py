"""What purifier equalise does to an image, by numpy's transforms: for purifiers.bats."""
import numpy as np

SIDE, RADIUS = 32, 8
LAGS = [(0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (1, 2), (1, -2), (2, 1), (2, -1), (2, 2), (2, -2)]
ANGLE = 2 * np.pi * np.fft.fftfreq(SIDE)
V, U = np.meshgrid(ANGLE, ANGLE, indexing="ij")
COSINES = np.stack([np.cos(a * V + b * U) for a, b in LAGS], -1)
COUNTS = np.abs(V) + np.abs(U) > .6
FIT = np.linalg.pinv(np.concatenate([np.ones_like(V)[..., None], COSINES], -1)[COUNTS])
HANN = np.hanning(SIDE + 2)[1:-1]


def mirrored(i, n):
    i = np.abs(i) % max(2 * (n - 1), 1)
    return np.where(i < n, i, 2 * (n - 1) - i)


def begins(n):
    return [max(min(k * SIDE, n - SIDE), 0) for k in range((n + SIDE - 1) // SIDE)]


def equalise(image, across=1.83, diagonal=.28, limit=12):
    """image: (H,W) or (H,W,3) of 8 bits; returns floats before rounding."""
    x = image.reshape(*image.shape[:2], -1).astype(float)
    height, width = x.shape[:2]
    luma = x[..., 0] if x.shape[2] == 1 else x @ np.array([.299, .587, .114])
    found = []
    for top in begins(height):
        for left in begins(width):
            square = luma[mirrored(top + np.arange(SIDE), height)][:, mirrored(left + np.arange(SIDE), width)]
            square = (square - square.mean()) * HANN[:, None] * HANN
            power = np.log(np.abs(np.fft.fft2(square)) ** 2 + 30)
            found.append((FIT @ power[COUNTS])[1:])
    target = np.array([across] * 2 + [diagonal] * 2 + [0] * 8)
    gain = (COSINES - 1) @ (target - np.mean(found, 0)) / 2
    most = limit * np.log(10) / 20
    kernel = np.fft.ifft2(np.exp(np.clip(gain, -most, most))).real
    around = np.arange(-RADIUS, RADIUS + 1)
    kernel = kernel[around][:, around]
    kernel /= kernel.sum()
    out = np.zeros_like(x)
    for a in around:
        for b in around:
            out += kernel[a + RADIUS, b + RADIUS] * x[mirrored(np.arange(height) + a, height)][:, mirrored(np.arange(width) + b, width)]
    return out.reshape(image.shape)
