"""Damaged and odd PNG and JPEG files, and what PIL and OpenCV make of them.

    image_damage.py make DIR [N]     writes DIR/src: every kind of damage below, and N files with random damage
    image_damage.py check DIR        compares DIR/pixels and DIR/out (image/clients_test.c recode-odd) with what PIL and
                                     OpenCV read of DIR/src

Where PIL gives an image without an error, our pixels are PIL's; where only OpenCV does, they are OpenCV's. What both
refuse we may refuse. (OpenCV shows a JPEG that is cut short partly grey without an error; there PIL decides.) What we
write is turned by each of them as it turns the source.
"""
import io
import os
import random
import re
import struct
import sys
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

try:
    os.environ["OPENCV_LOG_LEVEL"] = "OFF"
    import cv2
except ImportError:
    cv2 = None

warnings.simplefilter("ignore")
W, H = 27, 18


def scene(width=W, height=H):
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.RandomState(3).randint(-12, 12, (height, width, 3))
    planes = [np.sin(x / 9) * 80 + 120, np.cos(y / 8) * 70 + 110, (x * 3 + y) * 2.0]
    return np.clip(np.stack(planes, 2) + noise, 0, 255).astype(np.uint8)


# ---- PNG ----

def chunk(name, data=b""):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_chunks(data):
    at, found = 8, []
    while at + 12 <= len(data):
        n = struct.unpack(">I", data[at:at + 4])[0]
        found.append((data[at + 4:at + 8], data[at + 8:at + 8 + n]))
        at += 12 + n
    return found


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(chunks):
    """Each chunk is a name and data, or bytes as they are."""
    return SIGNATURE + b"".join(c if isinstance(c, bytes) else chunk(*c) for c in chunks)


def ihdr(color, depth, width=W, height=H, compression=0, filters=0, interlace=0):
    return (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, compression, filters, interlace))


SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def raw_rows(color, depth, interlaced, seed=1, width=W, height=H):
    """Filtered rows of a random image: any byte is a legal sample, any of the five a filter."""
    rng = random.Random(seed)
    rows = []
    for x0, y0, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
        n = (width - x0 + dx - 1) // dx
        if n <= 0:
            continue
        size = (n * SAMPLES[color] * depth + 7) // 8
        for _ in range(y0, height, dy):
            rows.append(bytes([rng.randrange(5)]) + bytes(rng.randrange(256) for _ in range(size)))
    return rows


PALETTE = (b"PLTE", bytes((i * 37 + c * 11) % 256 for i in range(256) for c in range(3)))
KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (4, 16), (6, 8),
         (6, 16)]


def base_png(color, depth, interlaced=False, between=(), behind=(), data=None, **header):
    data = zlib.compress(b"".join(raw_rows(color, depth, interlaced))) if data is None else data
    head = [ihdr(color, depth, interlace=int(interlaced), **header)]
    palette = [PALETTE] if color == 3 else []
    return png(head + palette + list(between) + [(b"IDAT", data)] + list(behind) + [(b"IEND", b"")])


def stored(raw, size):
    """A stream of stored blocks of `size` bytes; deflate can then end with a row."""
    out = b"\x78\x01"
    for i in range(0, len(raw), size):
        part = raw[i:i + size]
        out += struct.pack("<BHH", i + size >= len(raw), len(part), 0xffff ^ len(part)) + part
    return out + struct.pack(">I", zlib.adler32(raw))


def exif(orientation, order=">", kind=3):
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *((orientation, 0) if kind == 3 else (orientation,)))
    return (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IHHHI", 8, 1, 0x112, kind, 1) + value + b"\0" * 4


def raw_profile(orientation):
    data = b"Exif\0\0" + exif(orientation)
    return b"\nexif\n%8d\n" % len(data) + b"\n".join(data.hex().encode()[i:i + 72] for i in range(0, 2 * len(data), 72)) + b"\n"


def xmp(orientation, attribute=True):
    tag = '<rdf:Description tiff:Orientation="%d"/>' if attribute else "<tiff:Orientation>%d</tiff:Orientation>"
    return ("<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + tag % orientation + "</x:xmpmeta>").encode()


def itxt(key, value, packed=False):
    return (b"iTXt", key + b"\0" + bytes([packed, 0]) + b"en\0x\0" + (zlib.compress(value) if packed else value))


def png_orientations():
    profile, key = b"Raw profile type exif", b"XML:com.adobe.xmp"
    ways = {
        "exif": (b"eXIf", exif(6)), "exif_little": (b"eXIf", exif(8, "<")), "exif_long": (b"eXIf", exif(3, ">", 4)),
        "exif_prefixed": (b"eXIf", b"Exif\0\0" + exif(6)), "exif_9": (b"eXIf", exif(9)), "exif_none": (b"eXIf", exif(1)),
        "profile_text": (b"tEXt", profile + b"\0" + raw_profile(6)),
        "profile_packed": (b"zTXt", profile + b"\0\0" + zlib.compress(raw_profile(5))),
        "profile_itxt": itxt(profile, raw_profile(7), True), "exif_text": (b"tEXt", b"exif\0" + exif(6)),
        "xmp": itxt(key, xmp(6)), "xmp_packed": itxt(key, xmp(8, False), True), "xmp_9": itxt(key, xmp(9)),
        "xmp_none": itxt(key, b"tiff:Orientation"), "xmp_bad": (b"iTXt", key + b"\0\1\0\0\0xyz"),
    }
    for a, way in ways.items():
        yield a + "_before", base_png(2, 8, between=[way])
        yield a + "_behind", base_png(2, 8, behind=[way])
        yield a + "_behind_parts", split_idat(base_png(0, 8, behind=[(b"tIME", bytes(7)), way]), 40)
        for b, other in ways.items():
            yield a + "_before_" + b, base_png(6, 8, between=[way, other])
            yield a + "_then_" + b, base_png(2, 8, between=[way], behind=[other])


def split_idat(data, size, more=()):
    out = []
    for name, body in png_chunks(data):
        parts = [(name, body[i:i + size]) for i in range(0, len(body), size)] if name == b"IDAT" else [(name, body)]
        out += parts[:1] + list(more if name == b"IDAT" else ()) + parts[1:]
    return png(out)


def bad_crc(data, name):
    at = data.index(name)
    n = struct.unpack(">I", data[at - 4:at])[0]
    return data[:at + 4 + n] + bytes([data[at + 4 + n] ^ 1]) + data[at + 5 + n:]


def pngs():
    for color, depth in KINDS:
        for interlaced in (False, True):
            k = f"{color}_{depth}_{'i' if interlaced else 'n'}"
            p = base_png(color, depth, interlaced)
            rows = raw_rows(color, depth, interlaced)
            raw = b"".join(rows)
            z = zlib.compress(raw)
            yield "plain_" + k, p
            yield "idat_crc_" + k, bad_crc(p, b"IDAT")
            yield "no_iend_" + k, p[:-12]
            yield "iend_cut_" + k, p[:-4]
            yield "idat_no_crc_" + k, p[:-16]
            yield "adler_" + k, base_png(color, depth, interlaced, data=z[:-4] + b"abcd")
            yield "no_adler_" + k, base_png(color, depth, interlaced, data=z[:-4])
            yield "extra_in_idat_" + k, base_png(color, depth, interlaced, data=z + b"extra")
            yield "extra_rows_" + k, base_png(color, depth, interlaced, data=zlib.compress(raw + raw))
            yield "extra_idat_" + k, base_png(color, depth, interlaced, behind=[(b"IDAT", b"more")])
            yield "parts_" + k, split_idat(p, 31)
            yield "empty_parts_" + k, split_idat(p, 31, [(b"IDAT", b"")])
            yield "parted_" + k, split_idat(p, 31, [(b"tEXt", b"a\0b")])
            yield "other_parts_" + k, split_idat(p, 31, [(b"DDAT", b"")])
            yield "after_" + k, p + b"trailing garbage"
            yield "window_" + k, base_png(color, depth, interlaced, data=b"\x08\x1d" + z[2:])
            yield "cinfo_" + k, base_png(color, depth, interlaced, data=b"\x88\x1c" + z[2:])
            yield "few_rows_" + k, base_png(color, depth, interlaced, data=zlib.compress(b"".join(rows[:-2])))
            yield "few_stored_" + k, base_png(color, depth, interlaced, data=stored(b"".join(rows[:-2]), 65535))
            yield "within_row_" + k, base_png(color, depth, interlaced, data=zlib.compress(raw[:-2]))
            yield "filter_" + k, base_png(color, depth, interlaced, data=zlib.compress(b"\x07" + raw[1:]))
            yield "compression_" + k, base_png(color, depth, interlaced, compression=1)
            yield "filters_" + k, base_png(color, depth, interlaced, filters=1)
            head, rest = png_chunks(p)[0], png_chunks(p)[1:]
            yield "interlace_2_" + k, png([(b"IHDR", head[1][:12] + b"\2")] + rest)
            yield "ihdr_long_" + k, png([(b"IHDR", head[1] + b"xyz")] + rest)
            yield "ihdr_twice_" + k, png([head, head] + rest)
            yield "ihdr_other_" + k, png([ihdr(0, 8, 5, 5), head] + rest)
            yield "ihdr_crc_" + k, bad_crc(p, b"IHDR")
            yield "ihdr_second_" + k, png([(b"tEXt", b"a\0b"), head] + rest)
            yield "idat_length_" + k, png([head] + rest[:-2]) + b"\xff\xff\xff\xff" + chunk(*rest[-2])[4:]
            for n in (0, 1, 2, 3, 5, 6, 8, 200, 256, 300, 5000):
                yield f"trns_{n}_" + k, base_png(color, depth, interlaced, between=[(b"tRNS", bytes(range(256)) * 20)][:1] if n == 5000 else [(b"tRNS", (bytes(range(256)) * 2)[:n])])
            trns = (b"tRNS", b"\0\1\0\2\0\3")
            yield "trns_first_" + k, png([head, trns] + rest)
            yield "trns_very_first_" + k, png([trns, head] + rest)
            yield "trns_twice_" + k, base_png(color, depth, interlaced, between=[trns, (b"tRNS", b"\0\5\0\6\0\7")])
            yield "trns_crc_" + k, bad_crc(base_png(color, depth, interlaced, between=[trns]), b"tRNS")
            yield "trns_behind_" + k, base_png(color, depth, interlaced, behind=[trns])
    for n in (0, 1, 2, 3, 4, 5, 30, 31, 767, 769, 770, 771, 900):
        for color in (2, 3, 0):
            p = png_chunks(base_png(color, 8))
            palette = (b"PLTE", (PALETTE[1] * 2)[:n])
            yield f"plte_{n}_{color}", png([p[0], palette] + p[-2:])
            yield f"plte_{n}_{color}_trns", png([p[0], palette, (b"tRNS", bytes(range(60)))] + p[-2:])
    p = base_png(3, 8)
    c = png_chunks(p)
    yield "plte_none", png([c[0]] + c[2:])
    yield "plte_twice", png([c[0], (b"PLTE", b"abcdef")] + c[1:])
    yield "plte_crc", bad_crc(p, b"PLTE")
    yield "plte_first", png([c[1], c[0]] + c[2:])
    c = png_chunks(base_png(2, 8))
    for name, body in [(b"iCCP", b"x\0\0notzlib"), (b"iCCP", b"x\0\7" + zlib.compress(b"p")), (b"iCCP", b"x"), (b"iCCP", b""),
                       (b"sBIT", b"\0\0\0"), (b"sBIT", b"\x20" * 3), (b"sBIT", b""), (b"gAMA", b""), (b"gAMA", bytes(4)),
                       (b"cHRM", b"x" * 5), (b"pHYs", b"x"), (b"sRGB", b""), (b"sRGB", b"\x09"), (b"tIME", b""),
                       (b"bKGD", b"x"), (b"hIST", b"x"), (b"sPLT", b""), (b"tEXt", b""), (b"tEXt", b"\0"), (b"zTXt", b"a"),
                       (b"zTXt", b"a\0\1xx"), (b"zTXt", b"a\0\0xx"), (b"iTXt", b"a\0\1"), (b"eXIf", b""), (b"eXIf", b"xx"),
                       (b"acTL", b""), (b"acTL", struct.pack(">II", 1, 0)), (b"fcTL", b""), (b"UNKN", b"critical"),
                       (b"unKn", b"private"), (b"a1_b", b"odd"), (b"vpAg", b"x"), (b"CgBI", bytes(4)), (b"DDAT", b"")]:
        yield f"with_{name.decode()}_{len(body)}", png(c[:1] + [(name, body)] + c[1:])
        yield f"twice_{name.decode()}_{len(body)}", png(c[:1] + [(name, body)] * 2 + c[1:])
        yield f"crc_{name.decode()}_{len(body)}", bad_crc(png(c[:1] + [(name, body)] + c[1:]), name)
        yield f"behind_{name.decode()}_{len(body)}", png(c[:2] + [(name, body)] + c[2:])
        yield f"cut_{name.decode()}_{len(body)}", png(c[:2] + [(name, body)])[:-3]
        yield f"length_{name.decode()}_{len(body)}", png(c[:1] + [struct.pack(">I", 1 << 31) + chunk(name, body)[4:]] + c[1:])
    yield "only_fdat", png([c[0], (b"fdAT", bytes(4) + c[1][1]), c[2]])
    yield "fdat_parts", png([c[0], (b"fdAT", bytes(4) + c[1][1][:99]), (b"fdAT", b"\0\0\0\1" + c[1][1][99:]), c[2]])
    yield "apng", png([c[0], (b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", struct.pack(">IIIIIHHBB", 0, W, H, 0, 0, 1, 9, 0, 0)),
                       c[1], (b"fcTL", struct.pack(">IIIIIHHBB", 1, W, H, 0, 0, 1, 9, 0, 0)), (b"fdAT", b"\0\0\0\2" + c[1][1]), c[2]])
    yield "no_idat", png([c[0], c[2]])
    yield "not_a_name", png([c[0], (b"a-b ", b"")] + c[1:])
    yield "far_distances", base_png(2, 8, width=300, height=200, data=b"\x08\x1d" + zlib.compress(
        b"".join(r for r in raw_rows(2, 8, False, 5, 300, 100)) * 2, 9)[2:])
    yield from png_orientations()


# ---- JPEG ----

def save_jpeg(array, **options):
    out = io.BytesIO()
    mode = options.pop("mode", None)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(out, "JPEG", **options)
    return out.getvalue()


def restart_jpeg(interval):
    return cv2.imencode(".jpg", scene(), [cv2.IMWRITE_JPEG_RST_INTERVAL, interval])[1].tobytes()


def segments(data):
    """The header's segments (marker and bytes, as they are) up to the image data, and the rest."""
    at, found = 2, []
    while data[at + 1] != 0xda:
        n = 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
        found.append((data[at + 1], data[at:at + n]))
        at += n
    return found, data[at:]


def segment(marker, body):
    return bytes([0xff, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_bases():
    grey = np.asarray(Image.fromarray(scene()).convert("L"))
    yield "grey", save_jpeg(grey, quality=90)
    yield "grey_prog", save_jpeg(grey, quality=90, progressive=True)
    yield "444", save_jpeg(scene(), quality=90, subsampling=0)
    yield "422", save_jpeg(scene(), quality=90, subsampling=1)
    yield "420", save_jpeg(scene(), quality=90, subsampling=2)
    yield "prog", save_jpeg(scene(), quality=90, progressive=True)
    yield "opt", save_jpeg(scene(), quality=60, optimize=True)
    yield "cmyk", save_jpeg(scene(), quality=90, mode="CMYK")
    yield "cmyk_prog", save_jpeg(scene(), quality=90, mode="CMYK", progressive=True)
    if cv2:
        yield "rst1", restart_jpeg(1)
        yield "rst2", restart_jpeg(2)


def adobe(transform):
    return segment(0xee, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform))


def jpegs():
    for k, j in jpeg_bases():
        head, rest = segments(j)
        first = b"".join(s for _, s in head[:1])
        later = b"".join(s for _, s in head[1:]) + rest
        yield "plain_" + k, j
        yield "no_eoi_" + k, j[:-2]
        yield "half_eoi_" + k, j[:-1]
        yield "after_" + k, j + b"trailing garbage \xff\xd8\xff\xe0"
        yield "zeros_for_eoi_" + k, j[:-2] + bytes(300)
        for n in (3, 4, 6, 10, 40, 200):
            yield f"cut_{n}_" + k, j[:-n]
            yield f"cut_{n}_eoi_" + k, j[:-n] + b"\xff\xd9"
            yield f"cut_{n}_sos_" + k, j[:-n] + b"\xff\xda"
            yield f"zero_{n}_" + k, j[:-n] + bytes(n - 2) + b"\xff\xd9"
            yield f"ones_{n}_" + k, j[:-n] + b"\xff\0" * ((n - 2) // 2) + b"\xff\xd9"
            yield f"rst_{n}_" + k, j[:-n] + b"\xff\xd3" + j[-n:]
            yield f"tem_{n}_" + k, j[:-n] + b"\xff\x01" + j[-n:]
            yield f"res_{n}_" + k, j[:-n] + b"\xff\x44" + j[-n:]
            yield f"com_{n}_" + k, j[:-n] + segment(0xfe, b"x") + j[-n:]
            yield f"stray_{n}_" + k, j[:-n] + b"\x12\x34\x56" + j[-n:]
        for i, junk in enumerate((b"\x12\x34", b"\xff\0", b"\xff\xff\xff", b"\0" * 5000, b"\xff\x01", b"\xff\xd5", b"\xff\x44", b"\xff\xd8",
                                  b"\xff\xd9", b"\xff\xc8\0\2", b"\xff\xf0\0\2", b"\xff\xfd\0\2", b"\xff\xde\0\2", b"\xff\xdc\0\4\0\5",
                                  b"\xff\xe5\0\0", b"\xff\xfe\0\1", b"\xff\xe1\0\0", b"\xff\xe0\0\2", b"\xff\xee\0\2", b"\xff\xe2\0\x10ICC_PROFILE\0\1\1")):
            yield f"junk_{i}_" + k, j[:2] + first + junk + later
            yield f"junk_first_{i}_" + k, j[:2] + (junk if junk[0] == 0xff else b"\xff" + junk) + first + later
        yield "no_jfif_" + k, j[:2] + later
        yield "no_dht_" + k, j[:2] + b"".join(s for m, s in head if m != 0xc4) + rest
        yield "no_dqt_" + k, j[:2] + b"".join(s for m, s in head if m != 0xdb) + rest
        yield "dht_twice_" + k, j[:2] + b"".join(s * (2 if m == 0xc4 else 1) for m, s in head) + rest
        yield "sof_twice_" + k, j[:2] + b"".join(s * (2 if 0xc0 <= m <= 0xc2 else 1) for m, s in head) + rest
        yield "no_app_" + k, j[:2] + b"".join(s for m, s in head if m < 0xe0) + rest
        for transform in (0, 1, 2, 7):
            yield f"adobe_{transform}_" + k, j[:2] + adobe(transform) + b"".join(s for m, s in head if m < 0xe0) + rest
            yield f"adobe_jfif_{transform}_" + k, j[:2] + first + adobe(transform) + b"".join(s for m, s in head[1:] if m < 0xe0) + rest
        yield "adobe_short_" + k, j[:2] + segment(0xee, b"Adobe") + later
        yield "jfif_2_" + k, j[:2] + segment(0xe0, b"JFIF\0\3\1\1\0\1\0\1\0\0") + later
        yield "dri_" + k, j[:2] + first + b"\xff\xdd\0\4\0\0" + later
        yield "dri_wrong_" + k, j[:2] + first + b"\xff\xdd\0\4\0\1" + later
        ids = bytes([0xff, 0xc0]) if b"\xff\xc0" in j else bytes([0xff, 0xc2])
        at = j.index(ids)
        n = j[at + 9]
        for what, names in (("rgb", b"RGBA"), ("zero", b"\0\1\2\3"), ("odd", b"\x21\x22\x23\x24"), ("same", b"\1\1\1\1")):
            b = bytearray(j)
            old = [b[at + 10 + 3 * i] for i in range(n)]
            for i in range(n):
                b[at + 10 + 3 * i] = names[i]
            p = at
            while (p := bytes(b).find(b"\xff\xda", p + 1)) >= 0:
                for i in range(b[p + 4]):
                    if b[p + 5 + 2 * i] in old:
                        b[p + 5 + 2 * i] = names[old.index(b[p + 5 + 2 * i])]
            yield f"ids_{what}_" + k, bytes(b)
            yield f"ids_{what}_no_jfif_" + k, bytes(b[:2]) + bytes(b[2 + len(first):])
        for o in (1, 3, 6, 8, 9):
            app1 = segment(0xe1, b"Exif\0\0" + exif(o))
            yield f"exif_{o}_" + k, j[:2] + app1 + first + later
            yield f"exif_{o}_after_" + k, j[:2] + first + later[:-len(rest)] + app1 + rest
            yield f"exif_{o}_twice_" + k, j[:2] + app1 + segment(0xe1, b"Exif\0\0" + exif(5)) + first + later
            yield f"exif_{o}_xmp_" + k, j[:2] + segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(7)) + app1 + first + later
            yield f"xmp_{o}_" + k, j[:2] + segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(o)) + first + later
            yield f"exif_{o}_behind_" + k, j[:-2] + app1 + j[-2:]
        yield "exif_long_" + k, j[:2] + segment(0xe1, b"Exif\0\0" + exif(6, "<", 4)) + first + later
        yield "exif_other_first_" + k, j[:2] + segment(0xe1, b"other") + segment(0xe1, b"Exif\0\0" + exif(6)) + first + later
        yield "exif_short_" + k, j[:2] + segment(0xe1, b"Exif\0\0II*") + segment(0xe1, b"Exif\0\0" + exif(6)) + first + later
        yield "exif_one_zero_" + k, j[:2] + segment(0xe1, b"Exif\0x" + exif(6)) + first + later
        if "prog" in k:
            for i in [i for i in range(len(j) - 1) if j[i] == 0xff and j[i + 1] == 0xda][1:]:
                yield f"scans_{i}_" + k, j[:i] + b"\xff\xd9"
                yield f"scans_{i}_cut_" + k, j[:i]
                yield f"scans_{i}_part_" + k, j[:i + 20] + b"\xff\xd9"


# ---- random damage ----

def damage(data, rng):
    d = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, n = rng.randrange(len(d)), rng.choice((1, 1, 2, 4, 9))
        how = rng.randrange(7)
        if how == 0:
            d[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            d[at] = rng.choice((0, 0xff, 0x7f, 0xd9, rng.randrange(256)))
        elif how == 2:
            del d[at:at + n]
        elif how == 3:
            d[at:at] = bytes(rng.choice((0, 0xff, 0xd0, rng.randrange(256))) for _ in range(n))
        elif how == 4:
            d[at:at + n] = bytes(rng.randrange(256) for _ in range(n))
        elif how == 5:
            d[at:at] = d[at:at + 12 * n]
        elif len(d) > 100:
            del d[rng.randrange(len(d) - 60, len(d)):]
        if len(d) < 40:
            break
    return bytes(d)


def make(folder, n):
    src = os.path.join(folder, "src")
    os.makedirs(src, exist_ok=True)
    png_files = [(name + ".png", data) for name, data in pngs()]
    jpeg_files = [(name + ".jpg", data) for name, data in jpegs()]
    rng = random.Random(int(os.environ.get("SEED", "1")))
    sound = [f for f in png_files + jpeg_files if "plain" in f[0] or "parts" in f[0]]
    files = png_files + jpeg_files
    for i in range(n):
        name, data = rng.choice(sound)
        files.append((f"random_{i}_{name}", damage(data, rng)))
    for name, data in files:
        with open(os.path.join(src, name), "wb") as f:
            f.write(data)
    print(len(files), "files")
    return 0


# ---- judges ----

def to_rgb(image):
    """As a loader does it; 16-bit grey, which PIL has no 8-bit reading of, by its upper bits."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB")).astype(int)


def pil(path):
    try:
        with Image.open(path) as image:
            image.load()
            try:
                turned = ImageOps.exif_transpose(image)
                orientation = to_rgb(turned if turned is not None else image)
            except Exception:
                orientation = None  # what this version fails at, another may read
            return to_rgb(image), orientation, None
    except Exception as error:
        return None, None, str(error)


def opencv(path, flags):
    if not cv2:
        return None
    try:
        image = cv2.imread(path, flags)
        return None if image is None else image[..., ::-1].astype(int)
    except cv2.error:
        return None


def same(a, b, limit):
    return a.shape == b.shape and np.abs(a - b).max() <= limit


def place(a):
    """Which way up an image is: as seen from the means of its quarters, so that what encoding changes does not count."""
    h, w = a.shape[:2]
    return a.shape, [a[:h // 2, :w // 2].mean(), a[:h // 2, w // 2:].mean(), a[h // 2:, :w // 2].mean(), a[h // 2:, w // 2:].mean()]


def same_way_up(a, b):
    if b is None:
        return False
    (sa, ma), (sb, mb) = place(a), place(b)
    return sa == sb and np.abs(np.array(ma) - np.array(mb)).max() < 12


# What an index beyond the palette is differs between PIL's versions.
BEYOND_PALETTE = re.compile(r"plte_(\d+_3|none|first)")


def check_file(folder, name):
    src, pixels, out = (os.path.join(folder, sub, name) for sub in ("src", "pixels", "out"))
    want, turned, error = pil(src)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION if cv2 else 0
    theirs = opencv(src, flags)
    ours = to_rgb(Image.open(pixels + ".png")) if os.path.exists(pixels + ".png") else None
    is_jpeg = name.endswith("jpg")
    limit = 2 if is_jpeg else 0
    if want is not None:
        if ours is None:
            return "PIL reads it, we do not"
        if not same(want, ours, limit) and not BEYOND_PALETTE.match(name):
            return f"PIL sees other pixels, by {np.abs(want - ours).max() if want.shape == ours.shape else (want.shape, ours.shape)}"
    elif theirs is not None and not (is_jpeg and "truncated" in error):
        if ours is None:
            return f"OpenCV reads it (PIL: {error}), we do not"
        if not same(theirs, ours, 2 if is_jpeg else 0):
            return f"OpenCV sees other pixels (PIL: {error}), by {np.abs(theirs - ours).max() if theirs.shape == ours.shape else (theirs.shape, ours.shape)}"
    if ours is None:
        return None
    if os.path.getsize(out) < os.path.getsize(src):
        return "what we write is smaller than the source"
    mine, mine_turned, mine_error = pil(out)
    if want is not None and mine is None:
        return f"PIL does not read what we write: {mine_error}"
    comparable = want is not None and turned is not None and not BEYOND_PALETTE.match(name)
    if comparable and not same_way_up(turned, mine_turned):
        return "PIL turns what we write another way"
    if theirs is not None and same(theirs, ours, limit):
        a, b = opencv(src, cv2.IMREAD_COLOR), opencv(out, cv2.IMREAD_COLOR)
        if not same_way_up(a, b):
            return "OpenCV turns what we write another way"
    return None


def check(folder):
    names = sorted(os.listdir(os.path.join(folder, "src")))
    complaints = both = ours = 0
    for name in names:
        complaint = check_file(folder, name)
        ours += os.path.exists(os.path.join(folder, "pixels", name + ".png"))
        if complaint:
            complaints += 1
            print(f"{name}: {complaint}")
    print(f"{len(names)} files, {ours} of them read by us, {complaints} complaints")
    return 1 if complaints or ours < len(names) // 4 else 0


if __name__ == "__main__":
    if sys.argv[1] == "make":
        sys.exit(make(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0))
    sys.exit(check(sys.argv[2]))
