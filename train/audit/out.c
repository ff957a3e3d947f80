#include "audit/out.h"

#include "bench/bench.h"

const char *const audit_arch = "resnet8s2";

status audit_check_out(const char *out_dir, const char *const *dir, size_t n, struct errmsg *e)
{
    status st = STATUS_OK;
    for (size_t i = 0; i < n && !st; i++) {
        char *real = dir[i] ? realpath(dir[i], NULL) : NULL;
        struct train_bench at = {.data = real, .test = real};
        if (real &&
            !(st = bench_out_folder(&(struct train_bench_options){.out_dir = out_dir}, &at)))
            st = bench_check_out(&at, e);
        mem_free(at.out);
        free(real);
    }
    return st;
}
