#include "fault.h"

#include <stdatomic.h>
#include <string.h>

#include "banned.h"

struct fault {
    atomic_ulong calls;
    atomic_ulong at; /* the call number that fails next; 0: off */
    atomic_ulong every;
    atomic_int err;
};
static struct fault faults[FAULT_COUNT];
static atomic_int env_read;

static void fault_from_env(void)
{
    static const char *const names[FAULT_COUNT] = {"mem",  "open",   "read", "write",
                                                   "sync", "rename", "crash"};
    const char *spec = getenv("RELEARN_FAULT");
    if (!spec)
        return;
    for (int k = 0; k < FAULT_COUNT; k++) {
        size_t len = strlen(names[k]);
        if (strncmp(spec, names[k], len) != 0 || spec[len] != ':')
            continue;
        char *end;
        unsigned long n = strtoul(spec + len + 1, &end, 10);
        unsigned long every = *end == ':' ? strtoul(end + 1, NULL, 10) : 0;
        fault_set((enum fault_kind)k, n, every, 0);
    }
}

static atomic_ullong asked_bytes;

uint64_t fault_mem_bytes(void)
{
    return atomic_load(&asked_bytes);
}

int fault_hit(enum fault_kind kind)
{
    if (!atomic_exchange_explicit(&env_read, 1, memory_order_relaxed))
        fault_from_env();
    struct fault *f = &faults[kind];
    unsigned long call = atomic_fetch_add_explicit(&f->calls, 1, memory_order_relaxed) + 1;
    unsigned long at = atomic_load_explicit(&f->at, memory_order_relaxed);
    if (at == 0 || call != at)
        return 0;
    unsigned long every = atomic_load_explicit(&f->every, memory_order_relaxed);
    atomic_store_explicit(&f->at, every ? at + every : 0, memory_order_relaxed);
    return 1;
}

int fault_mem_hit(size_t bytes)
{
    atomic_fetch_add_explicit(&asked_bytes, bytes, memory_order_relaxed);
    return fault_hit(FAULT_MEM);
}

status fault_status(enum fault_kind kind)
{
    int err = atomic_load_explicit(&faults[kind].err, memory_order_relaxed);
    return err ? status_from_errno(err) : STATUS_IO;
}

void fault_set(enum fault_kind kind, unsigned long n, unsigned long every, int err)
{
    struct fault *f = &faults[kind];
    atomic_store(&env_read, 1);
    atomic_store(&f->every, every);
    atomic_store(&f->err, err);
    atomic_store(&f->at, n ? atomic_load(&f->calls) + n : 0);
}

void fault_clear(void)
{
    for (int k = 0; k < FAULT_COUNT; k++)
        fault_set((enum fault_kind)k, 0, 0, 0);
}

unsigned long fault_calls(enum fault_kind kind)
{
    return atomic_load(&faults[kind].calls);
}
