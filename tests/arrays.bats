#!/usr/bin/env bats
# Files that hold many images, through a mount and through `relearn purify`. The purifier is grey: what it gives is known.

load mounts

setup_file() {
    programs_setup_file || return 1
    export XDG_CACHE_HOME=$DATA/xdg-cache XDG_CONFIG_HOME=$DATA/xdg-config
    "$PY" -c 'import numpy, PIL' 2>/dev/null || return 0
    mkdir -p "$DATA/tree"
    "$PY" - "$DATA/tree" "$DATA/want" <<'P'
import os, sys
import numpy as np
from PIL import Image
tree, want = sys.argv[1:]
rng = np.random.RandomState(3)
x = rng.randint(0, 256, (1500, 64, 64, 3)).astype(np.uint8)
grey = np.stack([np.asarray(Image.fromarray(a).convert("L")) for a in x])
grey = np.repeat(grey[..., None], 3, -1)
os.makedirs(want)
for name, rows in (("x_train", slice(0, 1500)), ("small", slice(0, 40))):
    np.save(f"{tree}/{name}.npy", x[rows])
    np.save(f"{want}/{name}.npy", grey[rows])
np.save(f"{tree}/planar.npy", np.ascontiguousarray(x[:40].transpose(0, 3, 1, 2)))
np.save(f"{want}/planar.npy", np.ascontiguousarray(grey[:40].transpose(0, 3, 1, 2)))
np.save(f"{tree}/large.npy", np.tile(x[:2], (1, 8, 8, 1))) # 768 KiB each: more than one READ
np.save(f"{want}/large.npy", np.tile(grey[:2], (1, 8, 8, 1)))
np.save(f"{tree}/y_train.npy", np.arange(1500))
np.save(f"{tree}/float.npy", np.zeros((2, 64, 64, 3), np.float32))
open(f"{tree}/cut.npy", "wb").write(open(f"{tree}/small.npy", "rb").read()[:-1])
P
}

setup() {
    mounts_setup
    [ -e "$DATA/tree" ] || skip "no numpy and PIL"
    cp -r "$DATA/tree" "$s"
}

teardown() { mounts_teardown; }

mnt_grey() { relearn mount --profile iss-grey --cache "$c" -o nosweep "$@" "$s" "$m"; }

purified_so_far() { status_of "$m" 'j["work"]["purified"]'; }

@test "arrays: a mount shows the header as it is and every image purified, at the file's size" {
    mnt_grey
    for n in small planar large; do
        [ "$(stat -c %s "$m/$n.npy")" = "$(stat -c %s "$s/$n.npy")" ]
        cmp "$m/$n.npy" "$DATA/want/$n.npy"
        dd if="$m/$n.npy" bs=777 skip=1 status=none | cmp - <(dd if="$DATA/want/$n.npy" bs=777 skip=1 status=none)
    done
    cmp "$m/y_train.npy" "$s/y_train.npy"
    cmp "$m/float.npy" "$s/float.npy"
    # Images in a planar array are those of the other: 40 images, and two large ones.
    [ "$(purified_so_far)" = 42 ]
    "$PY" -c 'import numpy as np, sys
assert (np.load(sys.argv[1]) == np.load(sys.argv[2])).all()' "$m/small.npy" "$DATA/want/small.npy"
}

@test "arrays: np.load(mmap_mode='r') purifies the rows that are touched, and what the kernel reads around them" {
    mnt_grey
    "$PY" - "$m" "$DATA/want" "$m/.relearn/status.json" <<'P'
import json, mmap, sys
import numpy as np
m, want, status = sys.argv[1:]
def purified():
    return json.load(open(status))["work"]["purified"]
w = np.load(f"{want}/x_train.npy", mmap_mode="r")
x = np.load(f"{m}/x_train.npy", mmap_mode="r")
assert x.shape == (1500, 64, 64, 3)
before = purified()
assert before <= 40, before # the header, and what is read ahead behind it
for i in (700, 1300):
    assert (x[i] == w[i]).all()
# 12 KiB a row; the kernel reads 128 KiB around a fault, twice that at most
assert 2 <= purified() - before <= 2 * 26, (before, purified())
# Who says that reads are random gets the rows that these pages hold a part of, and no more.
x = np.load(f"{m}/x_train.npy", mmap_mode="r")
x._mmap.madvise(mmap.MADV_RANDOM)
before = purified()
for i in (200, 400, 1000):
    assert (x[i] == w[i]).all()
assert purified() - before <= 3 * 3, (before, purified())
P
    [ "$(purified_so_far)" -lt 200 ]
}

@test "arrays: warm, check, status and attributes count their images; a frozen mount serves them" {
    rm "$s/x_train.npy" "$s/large.npy"
    mnt_grey
    run bash -c 'relearn warm --check --json "$1" >"$2"' - "$m" "$w/check.json"
    [ "$status" -eq 1 ]
    "$PY" -c 'import json,sys; j=json.load(open(sys.argv[1])); assert (j["ready"], j["to_purify"]) == (0, 80), j' "$w/check.json"
    [ "$("$PY" -c 'import os,sys; print(os.getxattr(sys.argv[1], "user.relearn.state").decode())' "$m/small.npy")" = absent ]
    run relearn warm -q "$m" # cut.npy and float.npy are not purified
    echo "$output"
    [ "$status" -eq 1 ]
    [ "$(purified_so_far)" = 40 ]
    run relearn warm --check "$m"
    echo "$output"
    [[ "$output" = *"80 of 80 images ready, 0 to purify"* ]]
    sleep 2.1 # what has just changed is not remembered
    relearn warm -q -f <(echo small.npy) "$m"
    [ "$("$PY" -c 'import os,sys; print(os.getxattr(sys.argv[1], "user.relearn.state").decode())' "$m/small.npy")" = cached ]
    [ "$("$PY" -c 'import os,sys; print(os.getxattr(sys.argv[1], "user.relearn.error").decode())' "$m/cut.npy")" = \
        "a NumPy array that is shorter than its header says" ]
    relearn status --json "$m" | "$PY" -c 'import json,sys
assert sorted(f["path"] for f in json.load(sys.stdin)[0]["not_purified"]["files"]) == ["cut.npy", "float.npy"]'
    relearn umount "$m"
    rm "$s/cut.npy" "$s/float.npy"
    relearn mount --profile iss-grey --cache "$c" -o frozen "$s" "$m"
    frozen() { [ "$(status_of "$m" 'j["freeze"]["state"]')" = yes ]; }
    wait_until frozen
    cmp "$m/planar.npy" "$DATA/want/planar.npy"
    [ "$(purified_so_far)" = 0 ]
}

@test "arrays: an open file stays readable under another name, shows its changes purified, and is stale when its images moved" {
    rm "$s/x_train.npy"
    mnt_grey -o nowatch
    "$PY" - "$s" "$m" "$DATA/want" <<'P'
import os, sys
import numpy as np
from PIL import Image
s, m, want = sys.argv[1:]
at = 128 + 5 * 12288
w = open(f"{want}/small.npy", "rb").read()
f = os.open(f"{m}/small.npy", os.O_RDONLY)
os.posix_fadvise(f, 0, 0, os.POSIX_FADV_RANDOM)
def row(i):
    return os.pread(f, 12288, 128 + i * 12288)
assert row(0) == w[128:128 + 12288]
os.chmod(f"{s}/small.npy", 0o600)
os.rename(f"{s}/small.npy", f"{s}/renamed.npy")
os.utime(f"{s}/renamed.npy")
assert row(10) == w[128 + 10 * 12288:128 + 11 * 12288]
new = np.full((64, 64, 3), (200, 10, 30), np.uint8)
g = os.open(f"{s}/renamed.npy", os.O_WRONLY)
os.pwrite(g, new.tobytes(), at + 15 * 12288)
grey = np.asarray(Image.fromarray(new).convert("L"))[0, 0]
assert row(20) == bytes([grey]) * 12288
# The header says something else: nothing is served by the old one.
head = os.pread(g := os.open(f"{s}/renamed.npy", os.O_RDWR), 128, 0)
os.pwrite(g, head.replace(b"(40, 64, 64, 3)", b"(40, 3, 64, 64)"), 0)
try:
    row(30)
    raise SystemExit("served")
except OSError as e:
    assert e.errno == 116, e
P
}

@test "arrays: purify writes them, a run that was stopped goes on, and strict refuses what is not purified" {
    run bash -c 'relearn purify -q --json --profile iss-grey --cache "$1" "$2" "$3" >"$4"' - "$c" "$s" "$w/out" "$w/json"
    [ "$status" -eq 1 ]
    "$PY" -c 'import json,sys; j=json.load(open(sys.argv[1])); assert (j["image"]["count"], j["other"]["count"], j["not_purified"]["count"]) == (4, 1, 2), j' "$w/json"
    for n in x_train small planar large; do cmp "$w/out/$n.npy" "$DATA/want/$n.npy"; done
    for n in float cut y_train; do cmp "$w/out/$n.npy" "$s/$n.npy"; done
    [ "$(stat -c %Y "$w/out/small.npy")" = "$(stat -c %Y "$s/small.npy")" ]
    relearn purify -q --profile iss-grey --cache "$c" --strict "$s" "$w/strict" && return 1
    [ ! -e "$w/strict/float.npy" ] && cmp "$w/strict/small.npy" "$DATA/want/small.npy"
    relearn scan --json --profile iss-grey "$s" >"$w/scan" || [ $? -eq 1 ]
    "$PY" -c 'import json,sys; j=json.load(open(sys.argv[1])); assert j["image"]["count"] == 4 and j["pixels"] == 4096 * 1580 + 2 * 512 * 512, j' "$w/scan"
}
