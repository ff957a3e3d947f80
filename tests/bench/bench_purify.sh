#!/bin/bash
# bench_purify.sh OURS: what `relearn purify` takes, its cache empty, for small images (of a tree of them) and for photographs
# (one file). Writes a JSON line for each profile and size, prints a table; milliseconds are per image, medians of rounds in
# which all profiles take turns.
#   ms        with all threads
#   threads   how many times as long one thread takes
#   jcdp      milliseconds of profile jcdp, the default until there was `restore`, in the same rounds; not for the largest
#   budget    what the project allows itself on two cores, and how much of it that is
#   BENCH_IMAGES  how many small ones (300); BENCH_ROUNDS: rounds (3); BENCH_PROFILES: other profiles (restore fast default)
#   BENCH_SIZES   of 32x32 512x512 1920x1280 4000x3000 those that are wanted
set -eu
ours=$1
relearn=$BUILD/bin/relearn python=/usr/bin/python3
n=${BENCH_IMAGES:-300} rounds=${BENCH_ROUNDS:-3}
read -ra profiles <<<"${BENCH_PROFILES:-restore fast default}"
read -ra sizes <<<"${BENCH_SIZES:-32x32 512x512 1920x1280 4000x3000}"
dir=$(mktemp -d "${BENCH_DIR:-$BUILD/bench}/purify.XXXXXX")
trap 'rm -rf "$dir"' EXIT
"$python" - "$dir" "$n" "${sizes[@]}" <<'END'
import os, sys
import numpy as np
from PIL import Image
top, n, sizes = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
rng = np.random.default_rng(1)
for size in sizes:
    w, h = map(int, size.split("x"))
    os.makedirs(f"{top}/{size}/0")
    for i in range(n if w == 32 else 1):
        pixels = rng.integers(0, 256, (h // 8, w // 8, 3)).astype(np.uint8)
        image = Image.fromarray(pixels).resize((w, h), Image.BICUBIC)
        image.save(f"{top}/{size}/0/{i}" + (".png" if w == 32 else ".jpg"))
END
once() { # PROFILE SIZE THREADS: milliseconds per image
    local start end of=1
    [ "$2" != 32x32 ] || of=$n
    start=$(date +%s%N)
    "$relearn" purify -q --profile "$1" -j "$3" --cache "$dir/cache" "$dir/$2" "$dir/out" >/dev/null
    end=$(date +%s%N)
    rm -rf "$dir/cache" "$dir/out"
    awk -v ns=$((end - start)) -v of="$of" 'BEGIN { printf "%.3f\n", ns / of / 1e6 }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
budget() { # SIZE
    case $1 in 32x32) echo 2.5 ;; 1920x1280) echo 8000 ;; 4000x3000) echo 50000 ;; esac
}

threads=${BENCH_THREADS:-$(nproc)}
printf '%-22s %10s %8s %10s %8s %10s %8s\n' '' 'ms' 'threads' 'jcdp ms' 'faster' 'budget ms' 'of it'
: >"$ours"
for size in "${sizes[@]}"; do
    peer=jcdp
    [ "$size" != 4000x3000 ] || peer=
    for _ in $(seq "$rounds"); do
        for p in "${profiles[@]}" $peer; do once "$p" "$size" "$threads" >>"$dir/$p.$size.all"; done
        for p in "${profiles[@]}"; do once "$p" "$size" 1 >>"$dir/$p.$size.one"; done
    done
    for p in "${profiles[@]}"; do
        awk -v name="$p $size" -v ms="$(median <"$dir/$p.$size.all")" -v one="$(median <"$dir/$p.$size.one")" \
            -v jcdp="$([ -z "$peer" ] || median <"$dir/jcdp.$size.all")" -v budget="$(budget "$size")" -v out="$ours" 'BEGIN {
            printf "%-22s %10.1f %7.2fx", name, ms, one / ms
            printf "{\"name\": \"%s\", \"ms\": %s, \"one_thread_ms\": %s", name, ms, one >>out
            if (jcdp != "") {
                printf " %10.1f %7.1fx", jcdp, jcdp / ms
                printf ", \"jcdp_ms\": %s", jcdp >>out
            } else printf " %10s %8s", "-", "-"
            if (budget != "") {
                printf " %10.1f %6.0f %%", budget, 100 * ms / budget
                printf ", \"budget_ms\": %s", budget >>out
            }
            print ""
            print "}" >>out
        }'
    done
done
