"""Safetensors in plain Python (struct and json), written from the format's description as a second opinion on nn/file/safetensors*.c.

As a program:  stfile.py again IN OUT    reads IN and writes the same tensors in another order and another JSON style
               stfile.py samples OUT     writes one tensor of several types with known contents
"""
import json
import struct
import sys

SIZE = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8, "I32": 4, "U8": 1}


def read(path):
    """-> ({name: (dtype, shape, bytes)}, metadata)"""
    with open(path, "rb") as f:
        raw = f.read()
    (n,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + n].decode("utf-8"))
    data = raw[8 + n :]
    meta = header.pop("__metadata__", {})
    spans = sorted(v["data_offsets"] for v in header.values())
    at = 0
    for begin, end in spans:
        assert begin == at and end >= begin, "holes or overlaps"
        at = end
    assert at == len(data), "bytes after the last tensor"
    tensors = {}
    for name, v in header.items():
        begin, end = v["data_offsets"]
        count = 1
        for d in v["shape"]:
            count *= d
        assert end - begin == count * SIZE[v["dtype"]], name
        tensors[name] = (v["dtype"], v["shape"], data[begin:end])
    return tensors, meta


def write(path, tensors, meta=None, indent=None, ascii_only=False):
    header, at = {}, 0
    if meta:
        header["__metadata__"] = meta
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, indent=indent, ensure_ascii=ascii_only).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            f.write(data)


def again(source, target):
    tensors, meta = read(source)
    write(target, dict(reversed(list(tensors.items()))), meta, indent=1, ascii_only=True)


def samples(target):
    write(target, {
        "f16": ("F16", [2, 2], struct.pack("<4e", 1.5, -2.0, 65504.0, 6e-8)),
        "bf16": ("BF16", [2], struct.pack("<2H", 0x3FC0, 0xC000)),
        "i64": ("I64", [1], struct.pack("<q", -3)),
        "scalar": ("F32", [], struct.pack("<f", 0.25)),
        "empty": ("F32", [0, 3], b""),
        "odd": ("U8", [3], b"abc"),
        "after odd": ("F32", [2], struct.pack("<2f", 7.0, -8.0)),
        "deep": ("F32", [1, 2, 1, 3], struct.pack("<6f", *range(6))),
    }, {"note": "two\nlines", "größe": "ja"})


if __name__ == "__main__":
    {"again": again, "samples": samples}[sys.argv[1]](*sys.argv[2:])
