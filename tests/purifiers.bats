#!/usr/bin/env bats
# The shipped profiles without a network, against PIL and OpenCV on the same images, and through a mount.

load mounts

setup_file() {
    programs_setup_file || return 1
    export XDG_CACHE_HOME=$DATA/xdg-cache
    "$PY" -c 'import PIL, numpy' 2>/dev/null || return 0
    "$PY" - "$DATA/images" <<'P'
import os, sys
import numpy as np
from PIL import Image
root = sys.argv[1]
os.makedirs(root)
rng = np.random.RandomState(3)
def image(w, h):
    coarse = rng.randint(0, 256, (h // 8 + 2, w // 8 + 2, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((w, h), Image.BICUBIC)).astype(int)
    return Image.fromarray((smooth + rng.randint(-16, 17, (h, w, 3))).clip(0, 255).astype(np.uint8))
for w, h in [(1, 1), (2, 1), (1, 9), (7, 5), (16, 16), (32, 32), (33, 31), (101, 67), (320, 200)]:
    image(w, h).save(os.path.join(root, "rgb%dx%d.png" % (w, h)))
    image(w, h).convert("L").save(os.path.join(root, "grey%dx%d.png" % (w, h)))
alpha = image(40, 30)
alpha.putalpha(image(40, 30).convert("L"))
alpha.save(os.path.join(root, "alpha.png"))
P
}

setup() {
    export PYTHONPATH=$BATS_TEST_DIRNAME
    [ -d "$DATA/images" ] || skip "no PIL to make images with"
    mounts_setup
}

teardown() { mounts_teardown; }

# profile CHAIN KEY=VALUE...: a file of it
profile() {
    local chain=$1 kv sets=()
    shift
    for kv; do sets+=(--set "$kv"); done
    XDG_CONFIG_HOME=$BATS_TEST_TMPDIR/config relearn profile new --set "chain=$chain" "${sets[@]}" "$chain"
}

# compare PROFILE EXPRESSION: what is purified is EXPRESSION over i, an image of PIL without alpha, and np
compare() {
    XDG_CONFIG_HOME=$BATS_TEST_TMPDIR/config relearn purify -q --profile "$1" --cache "$BATS_TEST_TMPDIR/c-$1" "$DATA/images" "$BATS_TEST_TMPDIR/$1"
    "$PY" - "$DATA/images" "$BATS_TEST_TMPDIR/$1" "$2" "${3:-0}" <<'P'
import io, os, sys
import numpy as np
from PIL import Image, ImageOps
try:
    import cv2
except ImportError:
    cv2 = None
before, after, expression, allowed = sys.argv[1:]
def saved(i, quality):
    f = io.BytesIO()
    i.save(f, "JPEG", quality=quality)
    return Image.open(f)
changed = 0
for name in sorted(os.listdir(before)):
    a, b = Image.open(os.path.join(before, name)), Image.open(os.path.join(after, name))
    assert a.mode == b.mode and a.size == b.size, name
    if a.mode == "RGBA":
        assert np.array_equal(np.asarray(a)[..., 3], np.asarray(b)[..., 3]), name
        a, b = a.convert("RGB"), b.convert("RGB")
    want = np.asarray(eval(expression, {"i": a, "np": np, "Image": Image, "ImageOps": ImageOps, "saved": saved,
                                        "cv2": cv2, "a": np.asarray(a), "f": np.asarray(a).astype(np.float32)}))
    if want.dtype != np.uint8:
        want = np.rint(want.clip(0, 255))
    if a.mode == "RGB" and want.ndim == 2:
        want = np.stack([want] * 3, 2)
    got = np.asarray(b)
    off = np.abs(want.astype(int) - got.astype(int)).max()
    assert off <= int(allowed), (name, int(off))
    changed += not np.array_equal(got, np.asarray(a))
assert changed > 8, changed
P
}

@test "iss-grey is PIL's L" { compare iss-grey 'i.convert("L")'; }

@test "iss-bdr2 is PIL's posterize to 2 bits" { compare iss-bdr2 'ImageOps.posterize(i, 2)'; }

@test "iss-jpeg10 is PIL's round trip of quality 10" { compare iss-jpeg10 'saved(i, 10)'; }

opencv() { "$PY" -c 'import cv2' 2>/dev/null || skip "no OpenCV"; }

@test "median is OpenCV's" {
    opencv
    for side in 3 7; do
        profile median side=$side
        compare median "cv2.medianBlur(a, $side)"
        rm -rf "$BATS_TEST_TMPDIR/median" "$BATS_TEST_TMPDIR/config"
    done
}

@test "gaussian is OpenCV's" {
    opencv
    profile gaussian sigma=1.4
    compare gaussian 'cv2.GaussianBlur(f, (11, 11), 1.4)' 1
}

@test "bilateral is OpenCV's, many times over too" {
    opencv
    profile bilateral sigma_colour=40 sigma_space=2 side=7
    compare bilateral 'cv2.bilateralFilter(f, 7, 40, 2)' 1
    rm -rf "$BATS_TEST_TMPDIR/bilateral" "$BATS_TEST_TMPDIR/config"
    profile bilateral times=20
    compare bilateral '(lambda y: [y := cv2.bilateralFilter(y, 5, 8, 8) for _ in range(20)][-1])(f)' 1
}

@test "guided is OpenCV's, many times over too" {
    opencv
    "$PY" -c 'import cv2; cv2.ximgproc.guidedFilter' 2>/dev/null || skip "OpenCV without ximgproc"
    profile guided radius=3 eps=100
    compare guided 'cv2.ximgproc.guidedFilter(f, f, 3, 100)' 1
    rm -rf "$BATS_TEST_TMPDIR/guided" "$BATS_TEST_TMPDIR/config"
    profile guided times=4
    compare guided '(lambda y: [y := cv2.ximgproc.guidedFilter(f, y, 4, 16) for _ in range(4)][-1])(f)' 1
}

@test "adversecleaner is the published program, but for rounding between its two filters and at the end" {
    opencv
    "$PY" -c 'import cv2; cv2.ximgproc.guidedFilter' 2>/dev/null || skip "OpenCV without ximgproc"
    compare adversecleaner '(lambda y: [y := cv2.bilateralFilter(y, 5, 8, 8) for _ in range(64)] and
        [y := cv2.ximgproc.guidedFilter(f, y, 4, 16) for _ in range(4)][-1])(f)' 2
}

@test "profiles without a network mount, and serve what relearn purify writes" {
    cp -r "$DATA/images" "$s"
    for p in iss-grey iss-bdr2 iss-jpeg10 adversecleaner; do
        relearn purify -q --profile $p --cache "$w/other" "$s" "$w/$p"
        relearn mount --profile $p --cache "$c" -o nosweep "$s" "$m"
        diff -r "$w/$p" "$m"
        relearn warm -q "$m"
        [ "$(relearn profile show --json $p | "$PY" -c "import json,sys; print(json.load(sys.stdin)[\"ini\"])")" = "$(cat "$m/.relearn/profile.ini")" ]
        relearn umount "$m"
    done
}

@test "profile new makes chains, profile show prints them, scan needs no model" {
    export XDG_CONFIG_HOME=$BATS_TEST_TMPDIR/config
    relearn profile new --set chain=depth,grey --set bits=3 mine
    relearn profile show mine | grep -q '^chain = depth, grey$'
    relearn profile show mine | grep -q '^bits = 3$'
    ! relearn profile show mine | grep -q '^t_start' || false
    relearn profile show --json --cost mine | "$PY" -c 'import json,sys; j=json.load(sys.stdin); assert j["chain"]=="depth, grey" and "model_sha256" not in j and j["evaluations"]==0'
    relearn profile new --help | grep -q '^    bits .*1 to 8; default 2'
    mkdir "$BATS_TEST_TMPDIR/empty" && cp -r profiles "$BATS_TEST_TMPDIR/empty/"
    RELEARN_DATA_DIR=$BATS_TEST_TMPDIR/empty relearn scan -q -p mine "$DATA/images" | grep -q '^19 images to purify'
    run relearn profile new --set chain=depth,sepia x
    [ "$status" -eq 2 ] && [[ $output == *"there are jcdp, avatar"* ]]
}

# restorer FILE: a network that predicts 8 grey levels for every pixel
restorer() {
    "$PY" - "$1" <<'P'
import json, struct, sys
shapes = {"conv_in.weight": (32, 12, 3, 3), "conv_in.bias": (32,), "conv_out.weight": (12, 32, 3, 3), "conv_out.bias": (12,)}
for i in range(2):
    shapes["down.0.block.0.conv%d.weight" % i] = (32, 32, 3, 3)
    shapes["down.0.block.0.conv%d.bias" % i] = (32,)
header, data = {"__metadata__": {"architecture": "restorer", "in_channels": "3", "width": "32", "blocks": "1"}}, b""
for name in sorted(shapes):
    n = 1
    for side in shapes[name]:
        n *= side
    value = struct.pack("<%df" % n, *[0.5 if name == "conv_out.bias" else 0] * n)
    header[name] = {"dtype": "F32", "shape": shapes[name], "data_offsets": [len(data), len(data) + len(value)]}
    data += value
text = json.dumps(header).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data)
P
}

@test "restore subtracts what its network predicts, and a mount serves what relearn purify writes" {
    restorer "$BATS_TEST_TMPDIR/eight.safetensors"
    relearn model info "$BATS_TEST_TMPDIR/eight.safetensors" | grep -q 'perturbation predictor for colour images'
    profile restore model="$BATS_TEST_TMPDIR/eight.safetensors" gain=1.5 passes=2
    compare restore 'Image.fromarray((np.asarray(i).astype(int) - 24).clip(0, 255).astype(np.uint8))'
    export XDG_CONFIG_HOME=$BATS_TEST_TMPDIR/config
    cp -r "$DATA/images" "$s"
    relearn mount --profile restore --cache "$c" -o nosweep "$s" "$m"
    diff -r "$BATS_TEST_TMPDIR/restore" "$m"
    relearn umount "$m"
    relearn scan -q -p restore "$DATA/images" | grep -q '^19 images to purify'
    relearn profile show --json --cost restore | "$PY" -c 'import json,sys; j=json.load(sys.stdin); assert j["evaluations"]==2'
    run relearn profile new --set chain=restore,grey --set model=none x
    [ "$status" -eq 1 ] && [[ $output == *"models/none.safetensors"* ]]
}

@test "denoise adds noise of its deviation and subtracts what its network predicts, the same through a mount" {
    restorer "$BATS_TEST_TMPDIR/eight.safetensors"
    profile denoise model="$BATS_TEST_TMPDIR/eight.safetensors" noise=6 passes=1
    export XDG_CONFIG_HOME=$BATS_TEST_TMPDIR/config
    relearn purify -q --profile denoise --cache "$BATS_TEST_TMPDIR/purified" "$DATA/images" "$BATS_TEST_TMPDIR/denoised"
    "$PY" - "$DATA/images/rgb320x200.png" "$BATS_TEST_TMPDIR/denoised/rgb320x200.png" <<'P'
import sys
import numpy as np
from PIL import Image
before, after = (np.asarray(Image.open(f)).astype(int) for f in sys.argv[1:])
inside = (before > 50) & (before < 205)
noise = (after - before + 8)[inside]
assert inside.sum() > 50000 and abs(noise.mean()) < .2 and 5.8 < noise.std() < 6.2, (noise.mean(), noise.std())
P
    cp -r "$DATA/images" "$s"
    relearn mount --profile denoise --cache "$c" -o nosweep "$s" "$m"
    diff -r "$BATS_TEST_TMPDIR/denoised" "$m"
}

@test "equalise is its definition by numpy's transforms" {
    profile equalise
    compare equalise '__import__("equalise").equalise(np.asarray(i))' 1
    rm -rf "$BATS_TEST_TMPDIR/equalise" "$BATS_TEST_TMPDIR/config"
    profile equalise across=-1 diagonal=0.5 limit=3
    compare equalise '__import__("equalise").equalise(np.asarray(i), -1, .5, 3)' 1
}

@test "deconvolve is numpy's: the estimate of the shipped network, and the solution" {
    profile deconvolve deconvolve.least=0
    compare deconvolve "__import__('deconvolve').deconvolve('$BUILD/share/relearnfs/models/deconvolve.safetensors', np.asarray(i), least=0)" 2
}
