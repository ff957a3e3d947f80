#!/usr/bin/env bats
# relearn audit on photographs and on small pictures, as they are and protected.

load mounts
load toy

setup_file() {
    programs_setup_file
    local idx=/usr/share/datasets/fashion-mnist shared=$BATS_TEST_DIRNAME/../../shared/data
    export SHARED=
    if [ -e $idx/train-images-idx3-ubyte.gz ]; then
        relearn unpack -q --limit 1000 --labels $idx/train-labels-idx1-ubyte.gz $idx/train-images-idx3-ubyte.gz "$DATA/fashion" || return 1
    fi
    if [ -e "$shared/cifar10-jpeg.tar.xz" ]; then
        SHARED=1
        mkdir "$DATA/c" "$DATA/t"
        # No xz on a minimal system; Python has its own.
        "$PY" - "$shared/cifar10-jpeg.tar.xz" "$DATA/c" '/00' "$shared/tinyimagenet64-val10000.tar.xz" "$DATA/t" val/ <<'PY' || return 1
import sys, tarfile
for archive, to, part in (sys.argv[1:4], sys.argv[4:7]):
    with tarfile.open(archive) as t:
        t.extractall(to, [m for m in t if part in m.name])
PY
    fi
}

setup() { cd "$DATA" || return 1; }

verdict() { relearn audit -q --no-family --limit 1000 --json "$@" | json 'j["verdict"]'; }
none='no sign of a protection'

@test "audit: pictures that are alike within a class are not taken for protected, unless they are" {
    [ -d fashion ] || skip "dataset-fashion-mnist is not installed"
    [ "$(verdict fashion)" = "$none" ]
    local m
    for m in lsp ops cuda pil; do
        relearn protect -q --method $m fashion f-$m
        [ "$(verdict f-$m)" = protected ] || { echo "$m: $(verdict f-$m)"; false; }
    done
}

@test "audit: photographs of two sets are not protected, and are when they are" {
    [ -n "$SHARED" ] || skip "needs ../shared/data"
    [ "$(verdict c/train)" = "$none" ]
    [ "$(verdict c/test)" = "$none" ]
    mkdir few
    cp -r $(find t/val -mindepth 1 -maxdepth 1 | sort | head -20) few
    [ "$(verdict few)" = "$none" ]
    local m
    for m in lsp ops ar cuda pil; do
        relearn protect -q --limit 1000 --method $m c/train c-$m
        [ "$(verdict c-$m)" = protected ] || { echo "$m: $(verdict c-$m)"; false; }
    done
    relearn protect -q --limit 1000 --method emn-class --surrogate resnet8 --rounds 20 c/train c-emn
    [ "$(verdict c-emn)" = protected ]
    relearn purify -q --profile iss-grey c/train c-grey # not a protection
    [ "$(verdict c-grey)" = "$none" ]
}

@test "audit: of which family a protection is, by its looks, where there is one" {
    [ -n "$SHARED" ] || skip "needs ../shared/data"
    relearn protect -q --no-perturbation --limit 500 --method lsp c/train k-lsp
    run relearn audit -q --limit 500 k-lsp
    [ "$status" -eq 0 ]
    [[ $output == "k-lsp: protected"*"Its family by its looks: squares of one colour each (as of LSP)."*"groups of 24 images"* ]]
    mkdir few-c
    cp -r c/train/cat c/train/dog few-c
    relearn audit -q --limit 100 --json few-c | json '"family" in j and j["family"]' | grep -qx None # not protected
    relearn audit -q --no-family --limit 500 --json k-lsp | json 'j["verdict"], j["family"]' | grep -qx "('protected', None)"
}

@test "audit: what was added is measured where the images from before are given" {
    [ -n "$SHARED" ] || skip "needs ../shared/data"
    relearn protect -q --limit 600 --method lsp c/train d-lsp
    relearn protect -q --limit 600 --method ar c/train d-ar
    mkdir before
    (cd d-lsp && find . -name '*.png') | sed 's/\.png$//' | while read -r f; do
        mkdir -p "before/${f%/*}" && cp c/train/"$f".* "before/${f%/*}/" # as the JPEG files that they were
    done
    relearn audit -q --no-family --json --clean before d-lsp >lsp.json
    relearn audit -q --no-family --json --clean before d-ar >ar.json
    [ "$(json 'j["delta"]["kind"]' <lsp.json)" = class-wise ]
    [ "$(json 'j["delta"]["kind"]' <ar.json)" = sample-wise ]
    json 'j["delta"]["images"], j["delta"]["changed"]' <lsp.json | grep -qx '(600, 600)'
    [ "$(json 'j["delta"]["linear"]["accuracy"] > .95 and j["delta"]["linf"] <= 16' <lsp.json)" = True ]
    [ "$(json 'j["delta"]["texture"]["accuracy"] > .95 and 30 < j["delta"]["psnr_db"] < 40' <ar.json)" = True ]
    run relearn audit -q --no-family --clean before d-ar
    [ "$status" -eq 0 ]
    [[ $output == *"each image has its own (sample-wise)"* ]]
    run relearn audit -q --no-family --clean before before
    [[ $output == "before: $none"*"0 of 600 differ"* ]]
    rm "$(find before -name '*.jpg' | sort | head -1)"
    run relearn audit -q --no-family --clean before d-ar
    [ "$status" -eq 2 ] && [[ $output == *"but before has no"*"pairs need both"* ]]
}

@test "audit: says for people what it says for programs, and refuses what it cannot judge" {
    local i k
    for k in a b; do
        mkdir -p few-$k/x same/$k
        for i in 1 2 3 4 5 6 7 8; do png same/$k/$i.png 16 $((i * 7)); done
    done
    run relearn audit -q same
    [ "$status" -eq 0 ]
    [[ $output == *"same: "*"chance 50.0 %"*"16 images of 2 classes"* ]]
    relearn audit -q --json same | json 'sorted(j["signs"])' | grep -q "pattern.*spot.*texture"
    run relearn audit absent
    [ "$status" -ne 0 ]
    png few-a/x/1.png 16 1
    run relearn audit few-a
    [ "$status" -eq 2 ] && [[ $output == *"one class"* ]]
    cp -r same mixed
    relearn protect -q --method lsp --channels 1 --patch 8 same grey-same # the first one is grey, the others are not
    cp grey-same/a/1.png mixed/a/1.png
    run relearn audit mixed
    [ "$status" -eq 2 ] && [[ $output == *"(use --channels 1 or 3)"* ]]
    relearn audit -q --channels 1 mixed
    run relearn audit same few-a
    [ "$status" -eq 2 ]
}

@test "audit: a battery says what is taken and what brings none of it back, and goes on where it was" {
    # How red they are says the class. What is added turns that round, so a network that has seen it takes each class
    # for the other; and nothing of it shows in noise.
    "$PY" - <<'PY'
import os, random, struct, zlib
random.seed(3)
def png(path, rows):
    def chunk(t, d): return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    raw = b"".join(b"\0" + bytes(r) for r in rows)
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
                           + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
for k in range(2):
    for i in range(120):
        red = [random.gauss(128 + (40 if k else -40), 20)] * 3
        base = [red[0], 128, 128]
        rows = [[min(255, max(0, round(base[c] + random.gauss(0, 3)))) for x in range(16) for c in range(3)] for y in range(16)]
        png(f"b-clean/{'ab'[k]}/{i:03}.png", rows)
        added = [[min(255, max(0, v + (0 if n % 3 else -80 if k else 80))) for n, v in enumerate(r)] for r in rows]
        png(f"b-protected/{'ab'[k]}/{i:03}.png", added)
PY
    printf '[purify]\nchain = gaussian\n[gaussian]\nsigma = 1.5\n' >smooth.ini
    run relearn audit -q --no-family --clean b-clean --battery b-out --profile smooth.ini --epochs 15 -j 1 b-protected
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == "b-protected: protected"*"from the images alone less is"*"What resnet8s2 learns in 15 epochs of 192 images"*"48 clean ones, which were held out"* ]]
    [[ $output == *"purified by smooth.ini"*"of what was taken is back"*"for 1,000 images"*"None of these removes it"* ]]
    cp -r b-out/results before-results
    relearn audit -q --json --no-family --clean b-clean --battery b-out --profile smooth.ini --epochs 15 -j 1 b-protected >b.json
    diff -r b-out/results before-results # nothing was measured again
    json '[t["images"] for t in j["battery"]["trials"]]' <b.json | grep -qx "\['as it is', 'clean', 'purified'\]"
    [ "$(json 'j["verdict"]' <b.json)" = protected ]
    [ "$(json 'j["battery"]["taken"] > .5 and j["battery"]["trials"][2]["back"] < .3' <b.json)" = True ]
    [ "$(json 'j["battery"]["verdict"]' <b.json)" = 'not removed' ]
    run relearn audit -q --battery b-out b-protected
    [ "$status" -eq 2 ] && [[ $output == *"--test DIR, or --clean DIR"* ]]
    run relearn audit -q --epochs 3 b-protected
    [ "$status" -eq 2 ] && [[ $output == *"--battery OUT"* ]]
    run relearn audit -q --clean b-clean --battery b-protected/out b-protected
    [ "$status" -eq 2 ] && [[ $output == *"which is never written"* ]]
}

@test "audit: the distance from clean images is that of two trainings, which are kept" {
    local i k
    for k in a b; do
        mkdir -p u-clean/$k u-protected/$k
        for i in 1 2 3 4 5 6 7 8; do
            png u-clean/$k/$i.png 16 $((i * 7))
            png u-protected/$k/$i.png 16 $((i * 9))
        done
    done
    run relearn audit -q --no-family --clean u-clean --distance u-out --epochs 2 -j 1 u-protected
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"loss of resnet8s2 answers sharply, mean of 2 epochs of 16 images"*" of 10 (a SAL above "*"these"*"distance "* ]]
    find u-out -type f -exec sha256sum {} + | grep -v config.json | sort >u-before
    relearn audit -q --json --no-family --clean u-clean --distance u-out --epochs 2 -j 1 u-protected >u.json
    find u-out -type f -exec sha256sum {} + | grep -v config.json | sort | diff u-before -
    [ "$(json 'j["distance"]["epochs"], j["distance"]["layers"], j["distance"]["images"]' <u.json)" = "(2, 10, 16)" ]
    [ "$(json 'abs(j["distance"]["count"] / j["distance"]["clean_count"] - j["distance"]["distance"]) < 1e-9' <u.json)" = True ]
    run relearn audit -q --distance u-out u-protected
    [ "$status" -eq 2 ] && [[ $output == *"--clean DIR"* ]]
    run relearn audit -q --no-family --clean u-clean --distance u-clean/out u-protected
    [ "$status" -eq 2 ] && [[ $output == *"which is never written"* ]]
    [ ! -e u-clean/out ]
    # Images of several sizes: what the hint says is there.
    png u-clean/a/1.png 24 7
    png u-protected/a/1.png 24 9
    run relearn audit -q --no-family --clean u-clean --distance u-out --epochs 2 -j 1 u-protected
    [ "$status" -eq 2 ] && [[ $output == *"(use --size to resize)"* ]]
    run relearn audit -q --no-family --clean u-clean --distance u-out --epochs 2 -j 1 --size 16 u-protected
    [ "$status" -eq 0 ] && [[ $output == *"of 16 images"* ]]
    run relearn audit -q --no-family --clean u-clean --test u-clean --battery u-battery --profile iss-grey -j 1 u-protected
    [ "$status" -eq 2 ] && [[ $output == *"(use --size to resize)"* ]]
    run relearn audit --size 16 u-protected
    [ "$status" -eq 2 ] && [[ $output == *"--battery OUT"* ]]
}
