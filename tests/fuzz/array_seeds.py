#!/usr/bin/env python3
"""array_seeds.py DIR: small files for fuzz_arrays, a byte 0 (no file of labels) before each: CIFAR batches pickled in
each protocol, binary ones, and tar archives of both, which no fuzzer finds by itself."""
import io, os, pickle, sys, tarfile, zlib

import numpy as np

rng = np.random.default_rng(1)


def batch(n, fine=False):
    data = rng.integers(0, 256, (n, 12), dtype=np.uint8)  # images of 2 x 2
    labels = [int(v) for v in rng.integers(0, 10, n)]
    return {"data": data, "fine_labels": labels, "coarse_labels": labels} if fine else {"data": data, "labels": labels}


def tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()[: 512 * (2 * len(members) + 2)]  # without the filling to a tape's record


seeds = {}
for p in 2, 3, 4, 5:
    seeds["pickle%d" % p] = pickle.dumps(batch(3), p)
    seeds["fine%d" % p] = pickle.dumps({k.encode(): v for k, v in batch(2, True).items()}, p)
seeds["binary"] = bytes([3]) + bytes(3072)
seeds["idx"] = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(range(8))
small = [("x/data_batch_2", pickle.dumps(batch(1), 2)), ("x/data_batch_1", pickle.dumps(batch(1), 4)),
         ("x/test_batch", pickle.dumps(batch(1), 2))]
seeds["tar"] = tar(small)
seeds["train.tar"] = tar([("train", pickle.dumps(batch(2, True), 2)), ("other", b"text")])
seeds["tar.gz"] = zlib.compress(seeds["tar"], 9, 31)
os.makedirs(sys.argv[1], exist_ok=True)
for name, data in seeds.items():
    with open(os.path.join(sys.argv[1], name), "wb") as f:
        f.write(b"\0" + data)
