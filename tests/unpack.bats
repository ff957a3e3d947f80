#!/usr/bin/env bats
# relearn unpack of what Python writes: CIFAR's pickles in each protocol, the tar archives of them, numpy's archives.
# Every pixel and label of the tree is compared with what was put in.

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    export BUILD=${BUILD:-$PWD/build} DATA=$BATS_FILE_TMPDIR PY=/usr/bin/python3
    [[ $BUILD = /* ]] || export BUILD=$PWD/$BUILD
    export PATH=$BUILD/bin:$PATH
    unset RELEARN_FAULT
    "$PY" -c 'import numpy, PIL' || skip "no numpy or PIL"
    # make.py: images and labels, the same in each call; truth DIR N: the tree DIR is images 0 to N-1.
    cat >"$DATA/make.py" <<'PY'
import glob, io, numpy as np, os, pickle, sys, tarfile
rng = np.random.default_rng(3)
x = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
y = rng.integers(0, 10, 60)
fine = rng.integers(0, 100, 60)
planes = x.transpose(0, 3, 1, 2).reshape(60, 3072)

def batch(part, keys=str, labels="labels"):
    d = {"batch_label": "one", "data": np.ascontiguousarray(planes[part]), "filenames": ["a.png"] * len(planes[part])}
    if labels == "labels":
        d["labels"] = [int(v) for v in y[part]]
    else:
        d["fine_labels"] = [int(v) for v in fine[part]]
        d["coarse_labels"] = [int(v) // 5 for v in fine[part]]
    return {k if keys is str else k.encode(): v for k, v in d.items()}

def binary(part):
    return b"".join(bytes([v]) + row.tobytes() for v, row in zip(y[part], planes[part]))

def truth(directory, first, n, labels):
    from PIL import Image
    names = sorted(glob.glob(directory + "/*/*.png"), key=os.path.basename)
    assert len(names) == n, (len(names), n)
    for i, name in enumerate(names):
        assert os.path.basename(name) == "%05d.png" % i, name
        assert int(os.path.basename(os.path.dirname(name))) == labels[first + i], (name, labels[first + i])
        assert (np.asarray(Image.open(name)) == x[first + i]).all(), name
PY
}

python() { # reads the program after make.py's from stdin
    { cat "$DATA/make.py" && cat; } >"$DATA/run.py"
    "$PY" "$DATA/run.py" "$@"
}

@test "unpack: CIFAR pickles of each protocol, with str and bytes keys" {
    local p k
    for p in 2 3 4 5; do
        for k in str bytes; do
            python "$p" "$k" "$DATA/batch" <<'P'
pickle.dump(batch(slice(0, 7), {"str": str, "bytes": bytes}[sys.argv[2]]), open(sys.argv[3], "wb"), int(sys.argv[1]))
P
            run relearn unpack -q "$DATA/batch" "$DATA/p$p$k"
            [ "$status" -eq 0 ] || { echo "protocol $p, $k: $output" && return 1; }
            [ "$output" = "7 images" ]
            python "$DATA/p$p$k" <<<'truth(sys.argv[1], 0, 7, y)'
        done
    done
}

@test "unpack: CIFAR-100's pickle gives its fine labels" {
    python "$DATA/train" <<'P'
pickle.dump(batch(slice(0, 60), str, "fine"), open(sys.argv[1], "wb"))
P
    relearn unpack -q "$DATA/train" "$DATA/hundred"
    [ "$(ls "$DATA/hundred" | head -1)" = 00 ]
    python "$DATA/hundred" <<<'truth(sys.argv[1], 0, 60, fine)'
}

@test "unpack: the tar archives, compressed or not, by part; batches in order whatever theirs is" {
    local kind
    python "$DATA" <<'P'
order = [("test_batch", slice(50, 60)), ("data_batch_3", slice(40, 50)), ("readme.html", None),
         ("data_batch_1", slice(0, 20)), ("batches.meta", None), ("data_batch_2", slice(20, 40))]
for kind in "python", "binary":
    for mode in "", ":gz":
        with tarfile.open("%s/%s.tar%s" % (sys.argv[1], kind, mode.replace(":", ".")), "w" + mode) as tar:
            for name, part in order:
                data = b"hello" if part is None else \
                    pickle.dumps(batch(part)) if kind == "python" else binary(part)
                info = tarfile.TarInfo("cifar-10-batches/" + name + (".bin" if part and kind == "binary" else ""))
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
P
    for kind in python.tar python.tar.gz binary.tar binary.tar.gz; do
        relearn unpack -q "$DATA/$kind" "$DATA/$kind.d"
        python "$DATA/$kind.d" <<<'truth(sys.argv[1], 0, 50, y)'
        relearn unpack -q --part test "$DATA/$kind" "$DATA/$kind.t"
        python "$DATA/$kind.t" <<<'truth(sys.argv[1], 50, 10, y)'
    done
    run relearn unpack -q --part valid "$DATA/python.tar" "$DATA/none"
    [ "$status" -eq 2 ]
    run relearn unpack -q --part test "$DATA/train" "$DATA/none"
    [ "$status" -eq 2 ]
    [[ $output == *"only tar archives have parts"* ]]
    [ ! -e "$DATA/none" ]
}

@test "unpack: numpy's archives, deflated or not, and a pair" {
    python "$DATA" <<'P'
np.savez(sys.argv[1] + "/plain.npz", images=x, labels=y)
np.savez_compressed(sys.argv[1] + "/small.npz", images=x // 64 * 64, labels=y)
np.savez_compressed(sys.argv[1] + "/random.npz", images=x, labels=y)
np.save(sys.argv[1] + "/x.npy", x)
np.save(sys.argv[1] + "/y.npy", y)
P
    relearn unpack -q "$DATA/plain.npz" "$DATA/n1"
    relearn unpack -q "$DATA/random.npz" "$DATA/n2"
    relearn unpack -q --labels "$DATA/y.npy" "$DATA/x.npy" "$DATA/n3"
    relearn unpack -q "$DATA/small.npz" "$DATA/n4"
    python "$DATA" <<'P'
for name in "n1", "n2", "n3":
    truth(sys.argv[1] + "/" + name, 0, 60, y)
x = x // 64 * 64
truth(sys.argv[1] + "/n4", 0, 60, y)
P
}

@test "unpack: a pickle that wants more is refused by name, and nothing is run" {
    python "$DATA" <<'P'
class Bad:
    def __reduce__(self):
        return os.system, ("touch %s/touched" % sys.argv[1],)
d = batch(slice(0, 3))
d["more"] = Bad()
for p in 2, 4, 5:
    pickle.dump(d, open("%s/bad%d" % (sys.argv[1], p), "wb"), p)
pickle.dump(batch(slice(0, 3)) | {"data": x[:3].astype(np.float32)}, open(sys.argv[1] + "/float", "wb"))
pickle.dump([1, 2], open(sys.argv[1] + "/list", "wb"))
P
    local p
    for p in 2 4 5; do
        run relearn unpack -q "$DATA/bad$p" "$DATA/bad"
        [ "$status" -eq 1 ]
        [[ $output == *"posix.system"*"not run here"* ]]
    done
    run relearn unpack -q "$DATA/float" "$DATA/bad"
    [[ $status -eq 1 && $output == *"numbers of another type"* ]]
    run relearn unpack -q "$DATA/list" "$DATA/bad"
    [[ $status -eq 1 && $output == *'no dictionary with "data"'* ]]
    [ ! -e "$DATA/touched" ] && [ ! -e "$DATA/bad" ]
}
