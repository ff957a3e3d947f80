/* Reading and writing one pack file. The bytes are described in record.c. */
#include "pack.h"
#include "site.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

char *pack_path(const char *dir, uint32_t id)
{
    return mem_printf("%s/packs/%08u.pack", dir, id);
}

uint32_t pack_id(const char *name)
{
    uint64_t id = 0;
    size_t i = 0;
    for (; name[i] >= '0' && name[i] <= '9' && i < 10; i++)
        id = id * 10 + (uint64_t)(name[i] - '0');
    return i >= 8 && id <= UINT32_MAX && strcmp(name + i, ".pack") == 0 ? (uint32_t)id : 0;
}

/* Takes the lock; NOT_FOUND when the file was deleted between our open and our lock. */
static status lock_open_file(int fd, uint64_t *out_size)
{
    int rc;
    do
        rc = flock(fd, LOCK_EX | LOCK_NB);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return errno == EWOULDBLOCK ? STATUS_BUSY : status_from_errno(errno);
    struct stat sb;
    if (fstat(fd, &sb) < 0)
        return status_from_errno(errno);
    if (sb.st_nlink == 0)
        return STATUS_NOT_FOUND;
    *out_size = (uint64_t)sb.st_size;
    return STATUS_OK;
}

static status write_header(struct pack *p)
{
    uint8_t header[PACK_HEADER_BYTES];
    if (getrandom(&p->salt, sizeof p->salt, 0) != sizeof p->salt)
        return STATUS_IO;
    pack_header_encode(p->salt, time_real_ns(), header);
    status st = io_pwrite(p->fd, header, sizeof header, 0);
    if (!st)
        p->end = sizeof header;
    return st;
}

static status sync_packs_dir(const char *dir)
{
    AUTO(mem_free) char *packs = mem_printf("%s/packs", dir);
    return packs ? io_sync_dir(packs) : STATUS_NOMEM;
}

status pack_create(const char *dir, uint32_t id, struct pack *out)
{
    AUTO(mem_free) char *path = pack_path(dir, id);
    if (!path)
        return STATUS_NOMEM;
    AUTO(pack_done) struct pack p = {.fd = -1, .id = id};
    status st = site_open(path, O_RDWR | O_CREAT | O_EXCL, &p.fd, NULL);
    if (st)
        return st;
    uint64_t size;
    st = lock_open_file(p.fd, &size);
    if (st) /* a recovering process saw the empty file first; it will delete it */
        return st == STATUS_BUSY || st == STATUS_NOT_FOUND ? STATUS_EXISTS : st;
    st = write_header(&p);
    if (!st)
        st = sync_packs_dir(dir);
    if (st) {
        unlink(path);
        return st;
    }
    *out = p;
    p.fd = -1;
    return STATUS_OK;
}

status pack_lock(const char *dir, uint32_t id, struct pack *out)
{
    AUTO(mem_free) char *path = pack_path(dir, id);
    if (!path)
        return STATUS_NOMEM;
    AUTO(pack_done) struct pack p = {.fd = -1, .id = id};
    status st = site_open(path, O_RDWR, &p.fd, NULL);
    if (!st)
        st = lock_open_file(p.fd, &p.end);
    if (st)
        return st;
    uint8_t header[PACK_HEADER_BYTES];
    size_t n;
    st = io_pread(p.fd, header, sizeof header, 0, &n);
    if (st)
        return st;
    p.header = n < sizeof header ? STATUS_CORRUPT : pack_header_decode(header, &p.salt);
    if (p.header == STATUS_BAD_VERSION)
        return STATUS_BAD_VERSION;
    *out = p;
    p.fd = -1;
    return STATUS_OK;
}

void pack_done(struct pack *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

status pack_delete(const char *dir, struct pack *p)
{
    AUTO(mem_free) char *path = pack_path(dir, p->id);
    if (!path)
        return STATUS_NOMEM;
    status st = unlink(path) < 0 && errno != ENOENT ? status_from_errno(errno) : STATUS_OK;
    pack_done(p);
    return st;
}

status pack_append(struct pack *p, const struct record *r, uint8_t *block, uint64_t *out_offset)
{
    CHECK(p->header == STATUS_OK && p->end % RECORD_ALIGN == 0 && p->end >= PACK_HEADER_BYTES);
    uint64_t bytes = record_bytes(r->len);
    record_encode(r, p->salt, block);
    size_t used = RECORD_HEADER_BYTES + (size_t)r->len;
    memset(block + used, 0, (size_t)bytes - used);
    status st = io_pwrite(p->fd, block, (size_t)bytes, (off_t)p->end);
    if (st)
        return st;
    *out_offset = p->end;
    p->end += bytes;
    return STATUS_OK;
}

status pack_sync(struct pack *p)
{
    return io_sync(p->fd);
}

status pack_rewind(struct pack *p, uint64_t end)
{
    if (ftruncate(p->fd, (off_t)end) < 0)
        return status_from_errno(errno);
    p->end = end;
    return STATUS_OK;
}

static status read_header(int fd, uint64_t offset, struct record *out, uint64_t *out_salt)
{
    uint8_t header[RECORD_HEADER_BYTES];
    size_t n = 0;
    if (offset % RECORD_ALIGN || offset > INT64_MAX)
        return STATUS_CORRUPT;
    if (io_pread(fd, header, sizeof header, (off_t)offset, &n) || n < sizeof header)
        return STATUS_CORRUPT;
    return record_decode(header, out, out_salt);
}

status pack_peek(int fd, uint64_t offset, struct record *out)
{
    uint64_t salt;
    return read_header(fd, offset, out, &salt);
}

static bool same_record(const struct record *r, const struct cache_key *key, struct cache_shape s)
{
    return digest_equal(&r->key.pixels, &key->pixels) &&
           digest_equal(&r->key.profile, &key->profile) && r->shape.width == s.width &&
           r->shape.height == s.height && r->shape.channels == s.channels;
}

status pack_check(int fd, uint64_t offset, const struct cache_key *key, struct cache_shape shape,
                  struct record *out)
{
    struct record r;
    struct stat sb;
    status st = pack_peek(fd, offset, &r);
    if (st)
        return st;
    if (!same_record(&r, key, shape) || fstat(fd, &sb) < 0 ||
        offset + RECORD_HEADER_BYTES + r.len > (uint64_t)sb.st_size)
        return STATUS_CORRUPT;
    *out = r;
    return STATUS_OK;
}

status pack_pixels(int fd, uint64_t offset, const struct record *r, uint8_t *pixels)
{
    size_t n = 0;
    if (io_pread(fd, pixels, (size_t)r->len, (off_t)offset + RECORD_HEADER_BYTES, &n) || n < r->len)
        return STATUS_CORRUPT;
    return checksum64(pixels, (size_t)r->len) == r->checksum ? STATUS_OK : STATUS_CORRUPT;
}

status pack_read(int fd, uint64_t offset, const struct cache_key *key, struct cache_shape shape,
                 uint8_t *pixels)
{
    struct record r;
    status st = pack_check(fd, offset, key, shape, &r);
    return st ? st : pack_pixels(fd, offset, &r, pixels);
}
