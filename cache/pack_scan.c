#include "pack_scan.h"

#include <errno.h>

enum { SCAN_WINDOW = 64 << 10, SCAN_SECTOR = 4096 };

status pack_scan_init(struct pack_scan *s, const struct pack *p, uint64_t from)
{
    uint8_t *window = mem_alloc(SCAN_WINDOW);
    if (!window)
        return STATUS_NOMEM;
    if (from < PACK_HEADER_BYTES)
        from = PACK_HEADER_BYTES;
    from = (from + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    *s = (struct pack_scan){.fd = p->fd,
                            .at = from,
                            .good = from,
                            .to = p->end,
                            .salt = p->salt,
                            .know_salt = p->header == STATUS_OK,
                            .limit = p->end > from ? p->end - from : 0,
                            .window = window};
    return STATUS_OK;
}

void pack_scan_done(struct pack_scan *s)
{
    mem_free(s->window);
    s->window = NULL;
}

static bool in_window(const struct pack_scan *s)
{
    return s->at >= s->window_at && s->at + RECORD_HEADER_BYTES <= s->window_at + s->window_len;
}

/* A search goes on where the file has bytes again. */
static void skip_hole(struct pack_scan *s)
{
    off_t data = lseek(s->fd, (off_t)s->at, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
        s->at = s->to;
    else if (data > (off_t)s->at)
        s->at = (uint64_t)data / RECORD_ALIGN * RECORD_ALIGN;
}

/* The header bytes at s->at, or NULL when the file ends or the disk fails there. */
static const uint8_t *scan_look(struct pack_scan *s)
{
    if (!in_window(s)) {
        s->window_at = s->at;
        s->window_len = 0;
        size_t n = 0;
        /* A jump from record to record needs one header; a search needs the window. */
        size_t want = s->at == s->good ? RECORD_HEADER_BYTES : SCAN_WINDOW;
        if (io_pread(s->fd, s->window, want, (off_t)s->at, &n))
            return NULL;
        s->window_len = n;
        if (n < RECORD_HEADER_BYTES)
            return NULL;
    }
    return s->window + (s->at - s->window_at);
}

/* Whether the pixels are as the header says; read only where a crash may have torn them. */
static status scan_pixels(struct pack_scan *s, const struct record *r)
{
    uint64_t end = s->at + record_bytes(r->len);
    if (end > s->to)
        return STATUS_CORRUPT;
    if (s->to - end > PACK_BATCH_MAX)
        return STATUS_OK;
    AUTO(mem_free) uint8_t *pixels = mem_alloc((size_t)r->len);
    if (!pixels)
        return STATUS_NOMEM;
    size_t n = 0;
    if (io_pread(s->fd, pixels, (size_t)r->len, (off_t)s->at + RECORD_HEADER_BYTES, &n)) {
        s->unread = true;
        return STATUS_CORRUPT;
    }
    if (n == r->len && checksum64(pixels, n) == r->checksum)
        return STATUS_OK;
    s->vain += r->len;
    return STATUS_CORRUPT;
}

status pack_scan_next(struct pack_scan *s, struct record *out, uint64_t *out_offset)
{
    while (s->at + RECORD_HEADER_BYTES <= s->to) {
        if (s->vain > s->limit) { /* headers inside the pixels of others: this is no accident */
            s->unread = true;
            s->at = s->to;
            break;
        }
        if (s->at != s->good && !in_window(s)) {
            uint64_t at = s->at;
            skip_hole(s);
            if (s->at != at)
                continue;
        }
        const uint8_t *header = scan_look(s);
        if (!header) {
            s->unread = true;
            s->at = (s->at / SCAN_SECTOR + 1) * SCAN_SECTOR;
            continue;
        }
        struct record r;
        uint64_t salt;
        status st = record_decode(header, &r, &salt);
        if (!st && s->know_salt && salt != s->salt)
            st = STATUS_CORRUPT;
        if (!st)
            st = scan_pixels(s, &r);
        if (st == STATUS_NOMEM)
            return st;
        if (st) {
            s->at += RECORD_ALIGN;
            continue;
        }
        s->salt = salt;
        s->know_salt = true;
        *out = r;
        *out_offset = s->at;
        s->at += record_bytes(r.len);
        s->good = s->at;
        return STATUS_OK;
    }
    return STATUS_NOT_FOUND;
}
