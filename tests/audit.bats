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

verdict() { relearn audit -q --limit 1000 --json "$@" | json 'j["verdict"]'; }
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

@test "audit: what was added is measured where the images from before are given" {
    [ -n "$SHARED" ] || skip "needs ../shared/data"
    relearn protect -q --limit 600 --method lsp c/train d-lsp
    relearn protect -q --limit 600 --method ar c/train d-ar
    mkdir before
    (cd d-lsp && find . -name '*.png') | sed 's/\.png$//' | while read -r f; do
        mkdir -p "before/${f%/*}" && cp c/train/"$f".* "before/${f%/*}/" # as the JPEG files that they were
    done
    relearn audit -q --json --clean before d-lsp >lsp.json
    relearn audit -q --json --clean before d-ar >ar.json
    [ "$(json 'j["delta"]["kind"]' <lsp.json)" = class-wise ]
    [ "$(json 'j["delta"]["kind"]' <ar.json)" = sample-wise ]
    json 'j["delta"]["images"], j["delta"]["changed"]' <lsp.json | grep -qx '(600, 600)'
    [ "$(json 'j["delta"]["linear"]["accuracy"] > .95 and j["delta"]["linf"] <= 16' <lsp.json)" = True ]
    [ "$(json 'j["delta"]["texture"]["accuracy"] > .95 and 30 < j["delta"]["psnr_db"] < 40' <ar.json)" = True ]
    run relearn audit -q --clean before d-ar
    [ "$status" -eq 0 ]
    [[ $output == *"each image has its own (sample-wise)"* ]]
    run relearn audit -q --clean before before
    [[ $output == "before: $none"*"0 of 600 differ"* ]]
    rm "$(find before -name '*.jpg' | sort | head -1)"
    run relearn audit -q --clean before d-ar
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
    run relearn audit same few-a
    [ "$status" -eq 2 ]
}
