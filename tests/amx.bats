#!/usr/bin/env bats
# oneDNN's AMX kernels, on a CPU that has none: the programs that test device onednn, with AMX in software (amx/tiles.c).

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    export BUILD=${BUILD:-$PWD/build}
    export PYTHONDONTWRITEBYTECODE=1
}

# Passes in full, and tiles were multiplied.
with_tiles() {
    run tests/amx/run "$BUILD/$1"
    [ "$status" -ne 77 ] || skip "$output"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output =~ 'amx: '[0-9]+' instructions, '[1-9][0-9]*' of them products' ]]
}

@test "operators are near the reference in bf16" {
    with_tiles nn/ops/op_test
}

@test "convolutions in bf16 repeat, and an image does not see its batch" {
    with_tiles nn/onednn/onednn_test
}

@test "our convolutions in tiles are right" {
    with_tiles nn/onednn/conv_amx_test
}
