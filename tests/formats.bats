#!/usr/bin/env bats
# WebP, BMP, TIFF and GIF through a mount and through a copy: the same bytes, the sizes that stat told, and what PIL,
# OpenCV and torchvision's ImageFolder make of them. The model is tiny and untrained.

load mounts

setup_file() {
    programs_setup_file || return 1
    "$PY" -c 'import PIL, numpy' 2>/dev/null || return 0
    "$PY" tests/image_formats.py make "$DATA/all" || return 1
    mkdir -p "$DATA/tree/c" "$DATA/train/c"
    (cd "$DATA/all/src" && cp lossy.webp lossless_alpha.webp animated.webp meta.webp rgb.bmp grey.bmp rgba.bmp \
        rgb_tiff_lzw.tiff rgba_raw.tiff grey_jpeg.tif orientation.tif plain.gif transparent.gif animated.gif "$DATA/tree/c")
    "$PY" -c 'from PIL import Image; import sys; Image.new("RGB", (16, 16), 9).save(sys.argv[1])' "$DATA/train/c/a.png"
    tiny_model "$DATA/train" || return 1
    relearn purify -q --profile "$DATA/p.ini" --cache "$DATA/cache" "$DATA/tree" "$DATA/copy"
}

setup() {
    [ -e "$DATA/copy" ] || skip "no PIL to make images with"
    m=$BATS_TEST_TMPDIR/mnt
    mkdir "$m"
}

teardown() {
    relearn umount "$m" 2>/dev/null || true
}

@test "formats: a mount shows what a copy holds, at the sizes that were told before" {
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    relearn mount --profile "$DATA/p.ini" --cache "$BATS_TEST_TMPDIR/cache" -o nosweep "$DATA/tree" "$m"
    local told read
    told=$(cd "$m" && stat -c '%n %s' c/*)
    read=$(cd "$m" && wc -c c/* | awk '$2 != "total" { print $2, $1 }')
    diff <(echo "$told") <(echo "$read")
    diff -r "$m" "$DATA/copy"
    # and nothing of it is the source
    for f in "$DATA"/tree/c/*; do
        ! cmp -s "$f" "$m/c/${f##*/}"
    done
}

@test "formats: PIL and OpenCV see images of the same kind and size in the copy" {
    "$PY" - "$DATA/tree/c" "$DATA/copy/c" <<'PY'
import os, sys
import numpy as np
from PIL import Image, ImageOps
try:
    import cv2
except ImportError:
    cv2 = None
src, out = sys.argv[1:]
for name in sorted(os.listdir(src)):
    with Image.open(os.path.join(src, name)) as a, Image.open(os.path.join(out, name)) as b:
        assert b.format == ("PNG" if name.endswith("gif") else a.format), (name, b.format)
        assert ImageOps.exif_transpose(a).size == ImageOps.exif_transpose(b).size, name
        assert a.info.get("icc_profile") == b.info.get("icc_profile"), name
        alpha = "A" in a.getbands() or "transparency" in a.info
        assert alpha == ("A" in b.getbands()), (name, b.mode)
        if alpha:  # it is carried as it is
            assert np.array_equal(np.asarray(a.convert("RGBA"))[..., 3], np.asarray(b.convert("RGBA"))[..., 3]), name
    if cv2:
        assert cv2.imread(os.path.join(out, name)) is not None, name
PY
}

@test "formats: torchvision's ImageFolder loads the copy" {
    "$PY" -c 'import torchvision' 2>/dev/null || skip "no torchvision"
    "$PY" - "$DATA/copy" <<'PY'
import sys
from torchvision.datasets import ImageFolder
data = ImageFolder(sys.argv[1])
assert len(data) == 11, len(data)  # it takes no .gif by name
for image, label in data:
    assert image.mode == "RGB" and label == 0
PY
}
