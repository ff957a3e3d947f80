#!/usr/bin/env bats
# Purified pixels are those of a plain PyTorch implementation of JCDP that draws the same noise, within one grey level:
# four rounds at t* = 20, every step, each guidance.
# JCDP_IMAGES: how many images (default 2); the full comparison is
#     make && JCDP_IMAGES=64 bats tests/jcdp_torch.bats

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    export BUILD=${BUILD:-$PWD/build} DATA=$BATS_FILE_TMPDIR PY=/usr/bin/python3
    [[ $BUILD = /* ]] || export BUILD=$PWD/$BUILD
    export PATH=$BUILD/bin:$PATH PYTHONDONTWRITEBYTECODE=1 # the tests' folder may be read-only
    export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}     # of PyTorch's threads: a busy machine is not made slower
    unset RELEARN_FAULT
    "$PY" -c 'import torch, PIL' 2>/dev/null || return 0
    mkdir "$DATA/images"
    "$PY" tests/torch/jcdp.py images "${JCDP_IMAGES:-2}" "$DATA/images"
}

setup() {
    "$PY" -c 'import torch, PIL' 2>/dev/null || skip "no PyTorch"
}

compare() { # GUIDANCE
    # Scales at which leaving out either distance changes pixels by several grey levels; at the paper's it would not show.
    cat >"$DATA/$1.ini" <<END
[purify]
model = default
t_start = 20
rounds = 4
steps = 20
eta = 1
average = 1
variance = fixedlarge
guidance = $1
pixel_scale = 600000
perceptual_scale = 2000000
percept = percept
overlap = 8
END
    local id
    id=$(relearn profile show --json "$DATA/$1.ini" | "$PY" -c 'import json, sys; print(json.load(sys.stdin)["id"])')
    relearn purify -q --profile "$DATA/$1.ini" --cache "$DATA/cache" "$DATA/images" "$DATA/$1"
    run "$PY" tests/torch/jcdp.py compare "$DATA/$1.ini" "$id" "$DATA/images" "$DATA/$1"
    echo "# $1: $output" >&3
    [ "$status" -eq 0 ]
}

@test "JCDP: unguided, as PyTorch computes it" {
    compare none
}

@test "JCDP: guided by both distances, as PyTorch computes it" {
    compare joint
}

@test "JCDP: guided by one distance after the other, as PyTorch computes it" {
    compare phased
}
