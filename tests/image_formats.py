"""What PIL and OpenCV make of WebP, BMP, TIFF and GIF files, against what we make of them.

    image_formats.py make DIR     writes DIR/src: files of each kind, by PIL, by OpenCV and by hand
    image_formats.py judge DIR    compares DIR/src, DIR/pixels and DIR/out (clients_test recode DIR)
"""
import os
import struct
import sys
import warnings

import numpy as np
from PIL import Image, ImageOps, ImageSequence

try:
    import cv2
except ImportError:
    cv2 = None

failures = 0


def expect(good, name, what):
    global failures
    if not good:
        failures += 1
        print(f"{name}: {what}")


# ---- sources ----

def scene(height, width, channels, seed=0):
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[:height, :width]
    planes = [120 + 70 * np.sin(x * 0.11 + c) * np.cos(y * 0.07) + rng.randint(-9, 9, (height, width))
              for c in range(channels)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def pil(array, mode=None):
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array, mode)


def make_webp(put):
    rgb, rgba = pil(scene(41, 60, 3)), pil(scene(41, 60, 4, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    icc = bytes(range(256)) * 3 + b"x"  # of odd length
    put("lossless.webp", rgb, lossless=True)
    put("lossless_alpha.webp", rgba, lossless=True, exact=True)
    put("lossy.webp", rgb, quality=80)
    put("lossy_alpha.webp", rgba, quality=80)
    put("one.webp", pil(scene(1, 1, 3)), lossless=True)
    put("meta.webp", rgb, quality=70, exif=exif.tobytes(), icc_profile=icc, xmp=b"<x/>")
    put("meta_alpha.webp", rgba, lossless=True, exif=exif.tobytes(), icc_profile=icc)
    frames = [pil(scene(41, 60, 4, i)) for i in range(3)]
    put("animated_alpha.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    frames = [pil(scene(41, 60, 3, i)) for i in range(3)]
    put("animated.webp", frames[0], save_all=True, append_images=frames[1:], quality=80)


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)


def webp_chunks(path):
    data, at, out = open(path, "rb").read(), 12, []
    while at + 8 <= len(data):
        n = struct.unpack("<I", data[at + 4:at + 8])[0]
        out.append((data[at:at + 4], data[at + 8:at + 8 + n]))
        at += 8 + n + (n & 1)
    return out


def small_frame_webp(folder, put_bytes, source, flags, name, width=60):
    """An animation whose first frame covers a part of the canvas."""
    image = [chunk(n, d) for n, d in webp_chunks(os.path.join(folder, source))
             if n in (b"VP8 ", b"VP8L", b"ALPH")]
    def u24(v):
        return struct.pack("<I", v)[:3]
    frame = u24(4 // 2) + u24(6 // 2) + u24(width - 1) + u24(40) + u24(100) + b"\0" + b"".join(image)
    body = b"WEBP" + chunk(b"VP8X", bytes([flags, 0, 0, 0]) + u24(79) + u24(69))
    body += chunk(b"ANIM", b"\0\0\0\0\0\0") + chunk(b"ANMF", frame) + chunk(b"ANMF", frame)
    put_bytes(name, b"RIFF" + struct.pack("<I", len(body)) + body)


def bmp(width, height, bits, rows, palette=b"", compression=0, masks=b"", head=40, colors=0, gap=0):
    if head == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", head, width, height, 1, bits, compression, len(rows), 0, 0,
                           colors, 0)
        info += masks if head > 40 else b""
        info += b"\0" * (head - len(info))
        info += masks if head == 40 else b""
    off = 14 + len(info) + len(palette) + gap
    return b"BM" + struct.pack("<IHHI", off + len(rows), 0, 0, off) + info + palette + b"\0" * gap + rows


def packed_rows(indices, bits):
    out = b""
    for row in indices:
        digits = "".join(f"{v:0{bits}b}" for v in row)
        digits += "0" * (-len(digits) % 32)
        out += int(digits, 2).to_bytes(len(digits) // 8, "big")
    return out


def make_bmp(put, put_bytes):
    rng = np.random.RandomState(5)
    rgb = scene(13, 21, 3)
    put("rgb.bmp", pil(rgb))
    put("grey.bmp", pil(scene(13, 21, 1)))
    put("rgba.bmp", pil(scene(13, 21, 4)))
    put("bilevel.bmp", pil(scene(13, 21, 1)).convert("1"))
    put("palette.bmp", pil(rgb).quantize(50))
    for bits in (1, 4, 8):
        indices = rng.randint(0, 1 << bits, (9, 11))
        colors = rng.randint(0, 256, (1 << bits, 4)).astype(np.uint8)
        put_bytes(f"palette{bits}.bmp", bmp(11, 9, bits, packed_rows(indices, bits), colors.tobytes()))
        put_bytes(f"palette{bits}_top.bmp",
                  bmp(11, -9, bits, packed_rows(indices, bits), colors.tobytes()))
        put_bytes(f"palette{bits}_os2.bmp",
                  bmp(11, 9, bits, packed_rows(indices, bits), colors[:, :3].tobytes(), head=12))
    few = rng.randint(0, 256, (10, 4)).astype(np.uint8)
    put_bytes("palette8_few.bmp", bmp(11, 9, 8, packed_rows(rng.randint(0, 10, (9, 11)), 8), few.tobytes(),
                                      colors=10))
    pixels16 = rng.randint(0, 65536, (9, 12)).astype("<u2").tobytes()
    put_bytes("rgb555.bmp", bmp(12, 9, 16, pixels16))
    put_bytes("rgb565.bmp", bmp(12, 9, 16, pixels16, compression=3,
                                masks=struct.pack("<III", 0xf800, 0x7e0, 0x1f)))
    pixels24 = rng.randint(0, 256, (9, 12 * 3)).astype(np.uint8).tobytes()
    put_bytes("os2.bmp", bmp(12, 9, 24, pixels24, head=12))
    put_bytes("top.bmp", bmp(12, -9, 24, pixels24))
    put_bytes("gap.bmp", bmp(12, 9, 24, pixels24, gap=77))
    pixels32 = rng.randint(0, 256, (9, 12, 4)).astype(np.uint8).tobytes()
    put_bytes("x888.bmp", bmp(12, 9, 32, pixels32))
    inside = bytearray(bmp(12, 9, 32, pixels32))
    inside[10] = 30  # the rows begin within the header
    put_bytes("inside.bmp", bytes(inside))
    for name, masks in {"bgra": (0xff0000, 0xff00, 0xff, 0xff000000),
                        "rgba": (0xff, 0xff00, 0xff0000, 0xff000000),
                        "abgr": (0xff000000, 0xff0000, 0xff00, 0xff),
                        "zero": (0, 0, 0, 0)}.items():
        put_bytes(f"masks_{name}.bmp", bmp(12, 9, 32, pixels32, compression=3, head=108,
                                           masks=struct.pack("<IIII", *masks)))
    put_bytes("masks40.bmp", bmp(12, 9, 32, pixels32, compression=3,
                                 masks=struct.pack("<III", 0xff0000, 0xff00, 0xff)))
    colors = rng.randint(0, 256, (256, 4)).astype(np.uint8).tobytes()
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, 1).tobytes()
    rle8 = b"\x05\x07\x03\x09\0\0" + b"\0\x05ABCDE\0\x03\x01\0\0" + b"\x08\x11\0\0" + b"\x08\x22\0\1"
    put_bytes("rle8.bmp", bmp(8, 4, 8, rle8, colors, compression=1))
    put_bytes("rle8_grey.bmp", bmp(8, 4, 8, rle8, greys, compression=1))
    rle4 = b"\x05\x12\x03\x34\0\0" + b"\0\x04\x12\x34\x04\x56\0\0" + b"\x08\x9a\0\1"
    put_bytes("rle4.bmp", bmp(8, 3, 4, rle4, colors[:64], compression=2))


def make_tiff(put, put_bytes):
    icc = bytes(range(256)) * 3 + b"x"
    kinds = {"grey": pil(scene(37, 50, 1)), "rgb": pil(scene(37, 50, 3)), "rgba": pil(scene(37, 50, 4)),
             "la": pil(scene(37, 50, 2), "LA"), "cmyk": pil(scene(37, 50, 4), "CMYK")}
    for name, image in kinds.items():
        for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
            put(f"{name}_{compression or 'raw'}.tiff", image, compression=compression)
    put("rgb_jpeg.tiff", kinds["rgb"], compression="jpeg", quality=90)
    put("grey_jpeg.tif", kinds["grey"], compression="jpeg", quality=90)
    put("rgb_zstd.tif", kinds["rgb"], compression="zstd")
    put("rgb_icc.tif", kinds["rgb"], compression="tiff_lzw", icc_profile=icc)
    put("orientation.tif", kinds["rgb"], tiffinfo={274: 6})
    put("orientation_lzw.tif", kinds["grey"], tiffinfo={274: 3}, compression="tiff_lzw")
    put("label_bilevel.tif", kinds["grey"].convert("1"), compression="group4")
    put("label_palette.tif", kinds["rgb"].quantize(60), compression="tiff_lzw")
    put("label_16.tif", Image.fromarray(np.arange(1850, dtype=np.uint16).reshape(37, 50) * 30))
    put("refused_float.tif", Image.fromarray(scene(9, 9, 1)[..., 0].astype(np.float32)))
    put("refused_32.tif", Image.fromarray(scene(9, 9, 1)[..., 0].astype(np.int32)))
    frames = [pil(scene(37, 50, 3, i)) for i in range(3)]
    put("pages.tif", frames[0], save_all=True, append_images=frames[1:], compression="tiff_lzw")
    tiff_by_hand(put_bytes)


def tiff(order, tags, blocks):
    """tags: {tag: (type, values)}; blocks: the strips' or tiles' bytes, whose offsets go to 273 or 324."""
    o = "<" if order == b"II" else ">"
    size = {1: "B", 3: "H", 4: "I"}
    tiled = 322 in tags
    tags = dict(tags)
    tags[325 if tiled else 279] = (4, [len(b) for b in blocks])
    offsets, at = [], 8
    for b in blocks:
        offsets.append(at)
        at += len(b)
    tags[324 if tiled else 273] = (4, offsets)
    ifd, extra = struct.pack(o + "H", len(tags)), b""
    extra_at = at + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, values = tags[tag]
        data = struct.pack(o + size[kind] * len(values), *values)
        ifd += struct.pack(o + "HHI", tag, kind, len(values))
        if len(data) > 4:
            ifd += struct.pack(o + "I", extra_at + len(extra))
            extra += data + b"\0" * (len(data) & 1)
        else:
            ifd += data + b"\0" * (4 - len(data))
    return order + struct.pack(o + "HI", 42, at) + b"".join(blocks) + ifd + b"\0\0\0\0" + extra


def tiff_by_hand(put_bytes):
    rgb, rgba = scene(37, 50, 3), scene(37, 50, 4)

    def tags(array, photometric, **more):
        n = array.shape[2]
        return {256: (4, [50]), 257: (4, [37]), 258: (3, [8] * n), 259: (3, [1]), 262: (3, [photometric]),
                277: (3, [n]), 278: (4, [37]), 284: (3, [1]), **{int(k[1:]): v for k, v in more.items()}}

    def planes(array):
        return [array[..., c].tobytes() for c in range(array.shape[2])]
    for order in (b"II", b"MM"):
        name = order.decode()
        put_bytes(f"{name}.tif", tiff(order, tags(rgb, 2), [rgb.tobytes()]))
        put_bytes(f"{name}_planes.tif", tiff(order, tags(rgb, 2, t284=(3, [2])), planes(rgb)))
        strips = [rgb[y:y + 8].tobytes() for y in range(0, 37, 8)]
        put_bytes(f"{name}_strips.tif", tiff(order, tags(rgb, 2, t278=(4, [8])), strips))
    put_bytes("white.tif", tiff(b"II", tags(rgb[..., :1], 0), [rgb[..., :1].tobytes()]))
    put_bytes("alpha_planes.tif", tiff(b"II", tags(rgba, 2, t284=(3, [2]), t338=(3, [2])), planes(rgba)))
    put_bytes("premultiplied.tif", tiff(b"II", tags(rgba, 2, t338=(3, [1])), [rgba.tobytes()]))
    put_bytes("four.tif", tiff(b"II", tags(rgba, 2), [rgba.tobytes()]))
    put_bytes("refused_unknown.tif", tiff(b"II", tags(rgba, 2, t338=(3, [0])), [rgba.tobytes()]))
    put_bytes("refused_raw.tif", tiff(b"II", tags(rgb, 2, t254=(4, [1])), [rgb.tobytes()]))
    padded = np.zeros((48, 64, 3), np.uint8)
    padded[:37, :50] = rgb
    tiles = [padded[y:y + 16, x:x + 32].tobytes() for y in range(0, 48, 16) for x in range(0, 64, 32)]
    tile_tags = tags(rgb, 2, t322=(3, [32]), t323=(3, [16]))
    del tile_tags[278]
    put_bytes("tiles.tif", tiff(b"II", tile_tags, tiles))


def make_gif(put, put_bytes):
    rgb = pil(scene(41, 60, 3))
    put("palette.gif", rgb.quantize(200))
    put("few.gif", rgb.quantize(5), interlace=1)
    put("grey.gif", pil(scene(41, 60, 1)))
    put("plain.gif", rgb.quantize(64), interlace=0)
    put("transparent.gif", rgb.quantize(100), transparency=7)
    put("animated.gif", rgb.quantize(90), save_all=True,
        append_images=[pil(scene(41, 60, 3, i)).quantize(90) for i in (1, 2)], comment=b"hello" * 200)
    put("one.gif", pil(scene(1, 1, 3)).quantize(2))
    # the frame is moved on a larger screen, with and without transparency, and over its edge
    for name, source, at, screen in (("offset.gif", "plain.gif", (5, 7), (80, 60)),
                                     ("offset_transparent.gif", "transparent.gif", (5, 7), (80, 60)),
                                     ("over.gif", "plain.gif", (30, 20), (61, 42))):
        data = bytearray(put.read(source))
        frame = data.index(b",", 13 + (3 << ((data[10] & 7) + 1)))
        data[6:10] = struct.pack("<HH", *screen)
        data[frame + 1:frame + 5] = struct.pack("<HH", *at)
        put_bytes(name, bytes(data))
    data = put.read("palette.gif")
    put_bytes("no_trailer.gif", data[:-1])
    colors = 3 << ((data[10] & 7) + 1)
    frame = data.index(b",", 13 + colors)
    local = data[:10] + bytes([data[10] & 0x70]) + data[11:13] + data[13 + colors:frame + 9]
    local += bytes([data[frame + 9] | 0x80 | (data[10] & 7)]) + data[13:13 + colors] + data[frame + 10:]
    put_bytes("local.gif", local)
    none = data[:10] + bytes([data[10] & 0x70]) + data[11:13] + data[13 + colors:]
    put_bytes("no_palette.gif", none)


def make(folder):
    src = os.path.join(folder, "src")
    os.makedirs(src)

    class Put:
        def __call__(self, name, image, **options):
            image.save(os.path.join(src, name), **options)

        def read(self, name):
            with open(os.path.join(src, name), "rb") as file:
                return file.read()

    def put_bytes(name, data):
        with open(os.path.join(src, name), "wb") as file:
            file.write(data)
    put = Put()
    make_webp(put)
    small_frame_webp(src, put_bytes, "lossless_alpha.webp", 0x12, "part_alpha.webp")
    small_frame_webp(src, put_bytes, "lossy.webp", 0x02, "part.webp")
    small_frame_webp(src, put_bytes, "lossy.webp", 0x02, "part_odd.webp", width=9)
    make_bmp(put, put_bytes)
    make_tiff(put, put_bytes)
    make_gif(put, put_bytes)
    if cv2:
        cv2.imwrite(os.path.join(src, "cv.webp"), scene(30, 40, 3))
        cv2.imwrite(os.path.join(src, "cv.bmp"), scene(30, 40, 3))
        cv2.imwrite(os.path.join(src, "cv.tiff"), scene(30, 40, 3))
    return 0


# ---- judgement ----

def as_shown(path):
    """What a training reader makes of a file: RGB, or RGBA where there is transparency."""
    with Image.open(path) as image:
        next(iter(ImageSequence.Iterator(image)))
        if image.mode.startswith("I;16"):  # of which PIL cuts off what is over 255
            return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, 2)
        alpha = "A" in image.getbands() or "transparency" in image.info
        return np.asarray(image.convert("RGBA" if alpha else "RGB"))


def judge_file(folder, name):
    src, out, pixels = (os.path.join(folder, sub, name) for sub in ("src", "out", "pixels"))
    if name.startswith("refused"):
        expect(not os.path.exists(out), name, "is not refused")
        return
    if not os.path.exists(out):
        expect(False, name, "is refused")
        return
    want, shown = as_shown(src), as_shown(out)
    turned = name.startswith("orientation")  # PIL turns a TIFF when it loads it
    expect(turned or np.array_equal(want, as_shown(pixels + ".png")), name, "other pixels are decoded")
    expect(np.array_equal(want, shown), name, f"is shown otherwise {want.shape} {shown.shape}")
    expect(os.path.getsize(out) >= os.path.getsize(src), name, "is shown smaller than it is")
    with Image.open(src) as a, Image.open(out) as b:
        expect(b.format == ("PNG" if name.endswith("gif") else a.format), name, f"is {b.format}")
        expect(a.info.get("exif") == b.info.get("exif"), name, "EXIF differs")
        expect(a.getexif().get(0x0112, 1) == b.getexif().get(0x0112, 1), name, "orientation differs")
        expect(a.mode == "CMYK" or a.info.get("icc_profile") == b.info.get("icc_profile"), name, "ICC differs")
        expect(np.array_equal(np.asarray(ImageOps.exif_transpose(a).convert("RGB")),
                              np.asarray(ImageOps.exif_transpose(b).convert("RGB")))
               or "A" in b.getbands() or "transparency" in a.info or "_16" in name,
               name, "is turned otherwise")
    judge_opencv(out, pixels + ".png", name)


def judge_opencv(out, pixels, name):
    if not cv2:
        return
    ours = cv2.imread(out, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    want = cv2.imread(pixels, cv2.IMREAD_UNCHANGED)
    expect(ours is not None, name, "OpenCV does not read it")
    if ours is None or name.startswith("orientation"):
        return
    if want.ndim == 2 and ours.ndim == 3:
        want = np.repeat(want[..., None], 3, 2)
    if want.shape[-1] == 4 and "tif" in name:
        return  # OpenCV multiplies a TIFF's alpha in
    if ours.ndim == 3 and ours.shape[-1] == 4 and want.ndim == 3 and want.shape[-1] == 3:
        ours = ours[..., :3]
    expect(ours.shape == want.shape and np.array_equal(ours, want), name, "OpenCV sees other pixels")


def judge(folder):
    names = sorted(os.listdir(os.path.join(folder, "src")))
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                judge_file(folder, name)
        except Exception as error:
            expect(False, name, f"{type(error).__name__}: {error}")
    print(f"{len(names)} files, {failures} complaints")
    return 1 if failures or len(names) < 60 else 0


if __name__ == "__main__":
    sys.exit({"make": make, "judge": judge}[sys.argv[1]](sys.argv[2]))
