#!/bin/bash
# bench_mount.sh OURS THEIRS: writes two files of JSON lines.
#   warm epoch   an ImageFolder epoch (decode, no training) through a mount whose cache is full; theirs: the same files
#                as `relearn purify` wrote them to the disk below
#   warm read    the same with cat
#   frozen ...   the same through a mount with -o frozen
#   small beside large   a first read of 64x64 JPEGs, one after the other, while two of 8192x8192 are purified for
#                readers; theirs: the same without those
#   training beside sweep   an epoch of ResNet-18 beside a mount whose sweep has work to do; theirs: without the mount
#   cold mount   a first read of all images; theirs: `relearn purify` of the same tree, its cache empty too
# Medians of pairs that take turns. BENCH_IMAGES: how many 32x32 images (default 1000; a tenth of them for cold).
set -eu
ours=$1 theirs=$2
relearn=$BUILD/bin/relearn python=/usr/bin/python3
n=${BENCH_IMAGES:-1000} pairs=5
dir=$(mktemp -d "${BENCH_DIR:-$BUILD/bench}/mount.XXXXXX")
leave() {
    "$relearn" umount "$dir/mnt" 2>/dev/null || true
    rm -rf "$dir"
}
trap leave EXIT
mkdir "$dir/mnt"
"$python" - "$dir" "$n" <<'END'
import os, sys
import numpy as np
from PIL import Image
top, n = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(1)
y, x = np.mgrid[0:32, 0:32] / 32
for kind, count in (("warm", n), ("cold", n // 10)):
    for i in range(count):
        a = rng.uniform(-2, 2, (3, 4))
        waves = [np.sin(6 * (p * x + q * y) + r) * s for p, q, r, s in a]
        pixels = 128 + 60 * np.stack(waves, -1) + rng.normal(0, 4, (32, 32, 3))
        os.makedirs(f"{top}/{kind}/{i % 10}", exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(f"{top}/{kind}/{i % 10}/{i}.png")
END
# As fast a purification as there is for the warm half: what is read back does not depend on it.
cat >"$dir/quick.ini" <<'END'
[purify]
model = default
t_start = 1
rounds = 1
steps = 1
guidance = none
END
ms() { # COMMAND...: its milliseconds
    local start end
    start=$(date +%s%N)
    "$@" >/dev/null
    end=$(date +%s%N)
    echo $(((end - start) / 1000)) | awk '{ print $1 / 1000 }'
}
read_all() { find "$1" -name '*.png' -print0 | xargs -0 cat; }
epoch() {
    "$python" - "$1" <<'END'
import sys, time
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
data = datasets.ImageFolder(sys.argv[1], transforms.ToTensor())
start = time.monotonic()
seen = sum(len(y) for _, y in DataLoader(data, batch_size=100))
print(1e3 * (time.monotonic() - start))
assert seen == len(data)
END
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
pair() { # NAME OURS THEIRS: files of milliseconds
    echo "{\"name\": \"$1\", \"ms\": $(median <"$2")}" >>"$ours"
    echo "{\"name\": \"$1\", \"ms\": $(median <"$3")}" >>"$theirs"
}
: >"$ours"
: >"$theirs"
for _ in $(seq 3); do
    "$relearn" mount --cache "$dir/cold-cache" "$dir/cold" "$dir/mnt"
    ms read_all "$dir/mnt" >>"$dir/cold.ours"
    "$relearn" umount "$dir/mnt"
    rm -rf "$dir/cold-cache"
    ms "$relearn" purify -q --cache "$dir/cold-cache" "$dir/cold" "$dir/cold-copy" >>"$dir/cold.theirs"
    rm -rf "$dir/cold-cache" "$dir/cold-copy"
done
"$relearn" purify -q --profile "$dir/quick.ini" --cache "$dir/cache" "$dir/warm" "$dir/copy" >/dev/null
"$relearn" mount --profile "$dir/quick.ini" --cache "$dir/cache" "$dir/warm" "$dir/mnt"
[ "$(read_all "$dir/mnt" | wc -c)" = "$(read_all "$dir/copy" | wc -c)" ] # and both are in the page cache now
take_turns() { # PREFIX
    for _ in $(seq $pairs); do
        ms read_all "$dir/mnt" >>"$dir/$1read.ours"
        ms read_all "$dir/copy" >>"$dir/$1read.theirs"
        if "$python" -c 'import torchvision' 2>/dev/null; then
            epoch "$dir/mnt" >>"$dir/$1epoch.ours"
            epoch "$dir/copy" >>"$dir/$1epoch.theirs"
        fi
    done
}
take_turns ""
"$relearn" umount "$dir/mnt"
"$relearn" mount --profile "$dir/quick.ini" --cache "$dir/cache" -o frozen "$dir/warm" "$dir/mnt"
until grep -q '"frozen": *true' "$dir/mnt/.relearn/status.json"; do sleep 0.2; done
[ "$(read_all "$dir/mnt" | wc -c)" = "$(read_all "$dir/copy" | wc -c)" ]
take_turns "frozen "
for kind in "" "frozen "; do
    [ ! -e "$dir/${kind}epoch.ours" ] || pair "${kind:-warm }epoch" "$dir/${kind}epoch.ours" "$dir/${kind}epoch.theirs"
    pair "${kind:-warm }read" "$dir/${kind}read.ours" "$dir/${kind}read.theirs"
done
"$relearn" umount "$dir/mnt"
"$python" - "$dir" <<'END'
import os, sys
import numpy as np
from PIL import Image
top = sys.argv[1]
rng = np.random.default_rng(2)
for kind in ("large", "alone"):
    os.makedirs(f"{top}/{kind}/0")
    for i in range(5):
        pixels = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((64, 64), Image.BICUBIC).save(f"{top}/{kind}/0/small{i}.jpg")
for i in range(2):
    pixels = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(pixels).resize((8192, 8192), Image.BICUBIC).save(f"{top}/large/0/large{i}.jpg")
for i in range(2560):
    os.makedirs(f"{top}/train/{i % 10}", exist_ok=True)
    pixels = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(pixels).resize((32, 32), Image.BICUBIC).save(f"{top}/train/{i % 10}/{i}.png")
END
evaluations() { sed -n 's/.*"evaluations": *\([0-9]*\).*/\1/p' "$dir/mnt/.relearn/status.json" | head -n 1; }
smalls() { # FILE: the milliseconds of each
    local f
    for f in "$dir"/mnt/0/small*.jpg; do ms cat "$f" >>"$1"; done
}
"$relearn" mount --cache "$dir/alone-cache" -o nosweep,threads=2 "$dir/alone" "$dir/mnt"
smalls "$dir/small.theirs"
"$relearn" umount "$dir/mnt"
"$relearn" mount --cache "$dir/large-cache" -o nosweep,threads=2 "$dir/large" "$dir/mnt"
before=$(evaluations)
cat "$dir"/mnt/0/large0.jpg >/dev/null 2>&1 &
readers=$!
cat "$dir"/mnt/0/large1.jpg >/dev/null 2>&1 &
readers="$readers $!"
until [ "$(evaluations)" -gt "$((before + 100))" ]; do sleep 0.5; done
smalls "$dir/small.ours"
# shellcheck disable=SC2086
kill $readers 2>/dev/null || true
# shellcheck disable=SC2086
wait $readers || true # their files are closed then
"$relearn" umount "$dir/mnt"
pair "small beside large" "$dir/small.ours" "$dir/small.theirs"
train() { "$relearn" train --data "$dir/train" --out "$dir/run.$1" --epochs 1 2>/dev/null; }
for k in 1 2 3; do
    ms train "alone$k" >>"$dir/train.theirs"
    "$relearn" mount --cache "$dir/sweep-cache$k" "$dir/warm" "$dir/mnt"
    sleep 3 # the sweep begins two seconds after the mount
    ms train "beside$k" >>"$dir/train.ours"
    "$relearn" umount "$dir/mnt"
done
pair "training beside sweep" "$dir/train.ours" "$dir/train.theirs"
pair "cold mount" "$dir/cold.ours" "$dir/cold.theirs"
