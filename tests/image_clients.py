"""Lets PIL and torchvision judge the corpus that image/clients_test.c writes.

    image_clients.py corpus DIR          every file opens without a warning and holds what it should
    image_clients.py tree DIR            ImageFolder's samples, one "CLASS PATH" a line
"""
import os
import sys
import warnings

import numpy as np
from PIL import Image

warnings.simplefilter("error")
failures = 0


def expect(good, name, what):
    global failures
    if not good:
        failures += 1
        print(f"{name}: {what}")


def to_8bit_rgb(image):
    """(H,W,3) as a reader of the source sees it, and how far off rounding may be."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.float64) / 257
        return np.repeat(grey[..., None], 3, axis=2), 1
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # PIL warns when asked for RGB at once
    return np.asarray(image.convert("RGB")).astype(np.float64), 0


def difference(a, b):
    return np.abs(a - b).max()


def check_file(folder, name):
    src, out, pixels = (os.path.join(folder, sub, name) for sub in ("src", "out", "pixels"))
    Image.open(out).verify()
    with Image.open(src) as a, Image.open(out) as b, Image.open(pixels + ".png") as p:
        source, rounding = to_8bit_rgb(a)
        if "16" in name or a.mode == "CMYK":
            rounding = 1  # PIL cuts 16 bits off where we round, and has its own CMYK arithmetic
        b.load()
        expect(b.size == a.size, name, f"size {b.size} instead of {a.size}")
        decoded = to_8bit_rgb(p)[0]
        worst = difference(source, decoded)
        expect(worst <= rounding, name, f"decoded pixels are off by {worst}")
        # noise is beyond what the size allows; there only the size is promised
        limit = 0 if name.endswith("png") else 255 if name[:5] in ("noise", "binar") else 40
        worst = difference(decoded, to_8bit_rgb(b)[0])
        expect(worst <= limit, name, f"written pixels are off by {worst}")
        if "A" in a.mode:
            same = np.array_equal(np.asarray(a)[..., -1], np.asarray(b)[..., -1])
            expect(same, name, "alpha differs")
        if a.mode == "P" and "transparency" in a.info:
            same = np.array_equal(np.asarray(a.convert("RGBA"))[..., 3], np.asarray(b)[..., 3])
            expect(same, name, "palette's alpha differs")
        expect(a.info.get("exif") == b.info.get("exif"), name, "EXIF differs")
        expect("exif" in b.info or name.startswith("size"), name, "EXIF is missing")
        if a.mode != "CMYK":
            expect(a.info.get("icc_profile") == b.info.get("icc_profile"), name, "ICC differs")
        check_torchvision(out, name, b)


def check_torchvision(path, name, image):
    try:
        from torchvision.io import read_image
    except ImportError:
        return
    tensor = read_image(path).numpy().transpose(1, 2, 0)
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    expect(np.array_equal(tensor, array), name, "torchvision sees other pixels than PIL")


def corpus(folder):
    names = sorted(os.listdir(os.path.join(folder, "out")))
    for name in names:
        try:
            check_file(folder, name)
        except Exception as error:  # a refusal or a warning of the client is a result, not a crash
            expect(False, name, f"{type(error).__name__}: {error}")
    print(f"{len(names)} files, {failures} complaints")
    return 1 if failures or len(names) < 20 else 0


def tree(folder):
    from torchvision.datasets import ImageFolder
    for path, index in ImageFolder(folder).samples:
        print(index, os.path.relpath(path, folder))
    return 0


if __name__ == "__main__":
    sys.exit({"corpus": corpus, "tree": tree}[sys.argv[1]](sys.argv[2]))
