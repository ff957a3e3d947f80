#!/usr/bin/env bats
# What a program says before it does anything.

load mounts

setup_file() { programs_setup_file; }

@test "a CPU without the vector instructions is told so, with an exit status" {
    [ "$(uname -m)" = x86_64 ] || skip "no build for several CPUs here"
    for program in relearn relearnfsd; do
        RELEARN_CPU=sse2 run "$program" --help
        [ "$status" -eq 1 ]
        [[ "$output" == "$program: this CPU has no AVX2"* ]]
    done
}
