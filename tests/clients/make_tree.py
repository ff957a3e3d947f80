"""make_tree.py DIR: a small tree with every kind of file a mount may meet."""
import json
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image

root = sys.argv[1]
rng = np.random.RandomState(1)


def path(*parts):
    full = os.path.join(root, *parts)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    return full


def pixels(h, w, *c):
    y, x = np.mgrid[0:h, 0:w]
    base = (np.sin(x / 5) + np.cos(y / 7)) * 60 + 128
    a = np.repeat(base[..., None], c[0], 2) if c else base
    return np.clip(a + rng.randint(-20, 20, a.shape), 0, 255).astype(np.uint8)


rgb = Image.fromarray(pixels(20, 24, 3))
grey = Image.fromarray(pixels(17, 16))
exif = Image.Exif()
exif[0x0112] = 6
icc = bytes(rng.randint(0, 255, 500, np.uint8))
rgb.save(path("png", "rgb.png"))
grey.save(path("png", "grey.png"))
Image.fromarray(pixels(16, 16, 4), "RGBA").save(path("png", "rgba.png"))
Image.fromarray(pixels(9, 31, 2), "LA").save(path("png", "la.png"))
rgb.quantize(16).save(path("png", "palette.png"))
grey.convert("1").save(path("png", "bits.png"))
Image.fromarray(pixels(16, 16).astype(np.uint16) * 257).save(path("png", "deep.png"))
rgb.save(path("png", "exif.png"), exif=exif, icc_profile=icc)
Image.fromarray(pixels(1, 1, 3)).save(path("png", "one pixel.png"))
rgb.save(path("jpeg", "rgb.jpg"), quality=75)
rgb.save(path("jpeg", "progressive.jpg"), progressive=True)
rgb.save(path("jpeg", "exif.jpg"), exif=exif, icc_profile=icc)
grey.save(path("jpeg", "grey.jpg"))
rgb.convert("CMYK").save(path("jpeg", "cmyk.jpg"))
Image.fromarray(pixels(70, 50, 3)).save(path("jpeg", "larger.jpeg"))
rgb.save(path("other", "image.bmp"))
rgb.save(path("other", "image.gif"))
for i in range(12):
    Image.fromarray(pixels(16, 16, 3)).save(path("classes", "cat" if i % 2 else "dog", "%d.png" % i))

with open(path("label.txt"), "w") as f:
    f.write("cat\ndog\n")
with open(path("meta", "labels.json"), "w") as f:
    json.dump({"a": [1, 2, 3]}, f)
open(path("meta", "empty"), "w").close()
open(path("meta", "empty.png"), "w").close()
with open(path("meta", "large.bin"), "wb") as f:
    f.write(rng.bytes(300001))
data = open(path("jpeg", "rgb.jpg"), "rb").read()
with open(path("jpeg", "cut.jpg"), "wb") as f:
    f.write(data[: len(data) // 2])
data = open(path("png", "rgb.png"), "rb").read()
with open(path("png", "cut.png"), "wb") as f:
    f.write(data[: len(data) // 2])
with open(path("png", "head only.png"), "wb") as f:
    f.write(data[:20])
with open(path("names", "new\nline and \u00e4.png"), "wb") as f:
    f.write(data)
with open(os.path.join(os.fsencode(root), b"names", b"\xff\xfe.png"), "wb") as f:
    f.write(data)
os.symlink("../png/rgb.png", path("names", "link.png"))
os.symlink("nowhere", path("names", "dangling"))
os.symlink("../png", path("names", "dir"))
os.link(path("png", "rgb.png"), path("names", "hard.png"))
os.mkfifo(path("names", "fifo"))
os.chmod(path("png", "grey.png"), 0o640)
os.makedirs(path("deep", *["d"] * 20, "x"))
with open(path("deep", *["d"] * 20, "x", "x.png"), "wb") as f:
    f.write(data)


# A header and an end that are right, and damage between them: only decoding shows it.
def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


if len(sys.argv) > 2:
    bad = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
    bad += chunk(b"IDAT", b"this is no deflate stream") + chunk(b"IEND", b"")
    with open(path("png", "damaged.png"), "wb") as f:
        f.write(bad)

# Old enough that nothing counts as just changed.
for here, dirs, files in os.walk(root, topdown=False):
    for name in files + dirs:
        os.utime(os.path.join(here, name), (1.6e9, 1.6e9 + 0.25), follow_symlinks=False)
os.utime(root, (1.6e9, 1.6e9))
