#!/bin/bash
# bench_profiles.sh OURS: what a profile's time buys. Writes a JSON line for each profile and protection, prints a table.
#   evaluations   of the network, per image
#   ms, cpu ms    of a tile on one thread among many, by the clock; of all that `relearn purify` does, per image, in CPU time
#   PSNR, percept to the clean image, and the perceptual distance to it (by the network of profile paper)
#   residual      how much of the protection is left: <purified - clean, protected - clean> / |protected - clean|^2
# The images are a data set's that the repository does not hold; without it there are no numbers.
#   BENCH_CIFAR   a tar.xz with train/CLASS/NUMBER.jpg (default: shared/data/cifar10-jpeg.tar.xz beside the repository)
#   BENCH_IMAGES  how many are purified, balanced over the classes (default 64); BENCH_PROTECTED: of how many (2000)
set -eu
ours=$1
relearn=$BUILD/bin/relearn python=/usr/bin/python3
archive=${BENCH_CIFAR:-../shared/data/cifar10-jpeg.tar.xz}
helper="tests/bench/bench_profiles.py"
: >"$ours"
if [ ! -e "$archive" ]; then
    echo "(no images: $archive is missing, BENCH_CIFAR names another)"
    exit 0
fi
if ! "$python" -c 'import torch, PIL' 2>/dev/null; then
    echo "(PyTorch is not installed for $python: nothing measures the distances)"
    exit 0
fi
dir=$(mktemp -d "${BENCH_DIR:-$BUILD/bench}/profiles.XXXXXX")
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/profiles"

profile() { # NAME KEY=VALUE...: what is not said is as in purify_profile_init
    local name=$1
    shift
    printf '%s\n' '[purify]' 'model = default' "$@" >"$dir/profiles/$name.ini"
}
cp profiles/{paper,jcdp,restore,default}.ini "$dir/profiles/"
profile t20-r4-s5 t_start=20 rounds=4 steps=5
profile t100-r1-s1 t_start=100 rounds=1 steps=1 eta=0
profile t100-r1-s1-a4 t_start=100 rounds=1 steps=1 eta=0 average=4
profile t100-r2-s1 t_start=100 rounds=2 steps=1 eta=0
profile t100-r3-s1 t_start=100 rounds=3 steps=1 eta=0
profile t100-r3-s1-a4 t_start=100 rounds=3 steps=1 eta=0 average=4
profile t100-r3-s1-guided t_start=100 rounds=3 steps=1 eta=0 guidance=joint pixel_scale=4000
profile t40-r4-s1 t_start=40 rounds=4 steps=1 eta=0
profile t40-r8-s1 t_start=40 rounds=8 steps=1 eta=0
profile t60-r4-s1-a2 t_start=60 rounds=4 steps=1 eta=0 average=2
profile t80-r4-s1-a3 t_start=80 rounds=4 steps=1 eta=0 average=3

"$python" -B $helper unpack "$archive" "${BENCH_PROTECTED:-2000}" "$dir/clean"
"$relearn" protect -q --method lsp --seed 1 "$dir/clean" "$dir/all/lsp" >/dev/null
"$relearn" protect -q --method emn-class --surrogate resnet8 --seed 1 "$dir/clean" "$dir/all/emn-class" >/dev/null
"$python" -B $helper choose "$dir/all" "${BENCH_IMAGES:-64}" "$dir/protected"

TIMEFORMAT='%U %S'
for ini in "$dir"/profiles/*.ini; do
    name=${ini##*/}
    name=${name%.ini}
    mkdir -p "$dir/cost"
    "$relearn" profile show --cost --json "$ini" >"$dir/cost/$name.json"
    { time "$relearn" purify -q --profile "$ini" --cache "$dir/cache" "$dir/protected" "$dir/purified/$name" >/dev/null; } \
        2>"$dir/cost/$name.cpu"
done
"$python" -B $helper measure "$dir" "$ours"
