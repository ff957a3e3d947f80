/*
 * libFuzzer: whatever bytes a pack holds, the cache opens, and every object it then claims to have
 * can be read or is reported damaged, never anything else.
 * The first byte says what is done with the rest: bit 0: record headers and, where they lie in the
 * file, their pixels get valid checksums, so that what stands behind the checks is reached; bit 1:
 * the pack's header as well. One input in 32 is not only scanned: a whole cache is opened on it.
 */
#include "pack_scan.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { FIX_RECORDS = 1, FIX_PACK = 2, WHOLE_EVERY = 32 };

/* Makes headers out of what stands at multiples of 64 and begins with R. */
static void fix_records(uint8_t *pack, size_t len)
{
    for (size_t at = RECORD_ALIGN; at + RECORD_HEADER_BYTES <= len; at += RECORD_ALIGN) {
        uint8_t *h = pack + at;
        if (h[0] != 'R')
            continue;
        uint8_t model[RECORD_HEADER_BYTES];
        const struct record r = {.shape = {1, 1, 1}, .len = 1};
        record_encode(&r, 5, model);
        memcpy(h, model, 24); /* magic, version, length, salt */
        uint64_t pixels, sum;
        memcpy(&pixels, h + 104, sizeof pixels);
        if (pixels <= len - at - RECORD_HEADER_BYTES) {
            sum = checksum64(h + RECORD_HEADER_BYTES, (size_t)pixels);
            memcpy(h + 112, &sum, sizeof sum);
        }
        sum = checksum64(h, 120);
        memcpy(h + 120, &sum, sizeof sum);
    }
}

static void scan(const uint8_t *bytes, size_t len)
{
    AUTO(fd_close) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    CHECK(fd >= 0 && !io_write(fd, bytes, len));
    struct pack p = {.fd = fd, .id = 1, .end = len, .header = STATUS_CORRUPT};
    if (len >= PACK_HEADER_BYTES)
        p.header = pack_header_decode(bytes, &p.salt);
    AUTO(pack_scan_done) struct pack_scan s = {0};
    struct record r;
    uint64_t offset, last = 0;
    CHECK(!pack_scan_init(&s, &p, 0));
    while (!pack_scan_next(&s, &r, &offset)) {
        AUTO(mem_free) uint8_t *pixels = mem_alloc((size_t)r.len);
        CHECK(pixels && offset >= last && offset + record_bytes(r.len) <= len);
        /* so near the end of the file the scan has compared the pixels */
        CHECK(pack_read(fd, offset, &r.key, r.shape, pixels) == STATUS_OK);
        last = offset + record_bytes(r.len);
    }
    CHECK(!s.unread || s.vain > s.limit); /* too many records within others */
}

static status get_one(void *arg, const struct cache_entry *entry)
{
    struct cache_object o;
    status st = cache_get(arg, &entry->key, &o);
    CHECK(st == STATUS_OK || st == STATUS_NOT_FOUND);
    if (!st) {
        CHECK(o.len == (size_t)o.shape.width * o.shape.height * o.shape.channels);
        cache_object_done(&o);
    }
    return STATUS_OK;
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *at)
{
    (void)sb;
    (void)type;
    (void)at;
    return remove(path);
}

static void whole_cache(const uint8_t *bytes, size_t len)
{
    char dir[64] = "/dev/shm/fuzz-pack-XXXXXX", path[128];
    CHECK(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/packs", dir);
    CHECK(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/packs/00000001.pack", dir);
    AUTO(fd_close) int fd = -1;
    CHECK(!io_open(AT_FDCWD, path, O_RDWR | O_CREAT, 0600, &fd) && !io_write(fd, bytes, len));
    struct cache *c = NULL;
    uint64_t objects;
    const struct cache_key key = {{{1}}, {{2}}};
    const struct cache_options opt = {.max_bytes = CACHE_NO_LIMIT,
                                      .min_free_bytes = CACHE_NO_LIMIT};
    CHECK(!cache_open(dir, &opt, &c, NULL));
    CHECK(!cache_list(c, get_one, c));
    CHECK(!cache_put(c, &key, (struct cache_shape){1, 1, 1}, "x", 1, NULL, NULL));
    CHECK(!cache_flush(c));
    CHECK(!cache_rebuild(c, NULL, NULL, &objects));
    CHECK(!cache_list(c, get_one, c));
    CHECK(!cache_has(c, &key));
    CHECK(!cache_close(c));
    CHECK(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    int how = data[0];
    size_t n = len - 1;
    AUTO(mem_free) uint8_t *pack = mem_alloc(n);
    CHECK(pack);
    memcpy(pack, data + 1, n);
    if (how & FIX_RECORDS)
        fix_records(pack, n);
    if (how & FIX_PACK && n >= PACK_HEADER_BYTES)
        pack_header_encode(5, 1, pack);
    scan(pack, n);
    if (checksum64(data, len) % WHOLE_EVERY == 0)
        whole_cache(pack, n);
    return 0;
}
