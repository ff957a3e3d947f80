/*
 * What torch.save wrote, read (nn.h).
 *
 *   since 1.6   a ZIP archive, all members stored:  NAME/data.pkl  the object;  NAME/data/KEY  the
 *               bytes of a storage;  NAME/byteorder  (since 2.1)
 *   before      pickles one after the other: a magic number, a version, facts about the machine,
 *               the object, the keys of its storages in the order in which they follow: 8 bytes
 *               with their number of elements, and the bytes
 */
#include "file/numpy_file.h"
#include "file/torch_tensors.h"

#include <string.h>

/* ---- since 1.6 ---- */

static bool ends_with(const struct nn_zip_member *m, const char *end)
{
    size_t n = strlen(end);
    return m->name_len >= n && memcmp(m->name + m->name_len - n, end, n) == 0;
}

static status read_zip(struct nn_file *f, const struct nn_zip *zip, struct errmsg *e)
{
    struct nn_zip_member *object = NULL;
    status st = nn_zip_all_stored(zip, e);
    if (st)
        return st;
    for (size_t i = 0; i < zip->count; i++) {
        if (!object && ends_with(&zip->member[i], "/data.pkl"))
            object = &zip->member[i];
        if (ends_with(&zip->member[i], "/byteorder") &&
            (zip->member[i].bytes != 6 || memcmp(zip->member[i].data, "little", 6) != 0))
            return errmsg_set(e, STATUS_UNSUPPORTED, "its numbers are not little-endian");
    }
    if (!object)
        return errmsg_set(e, STATUS_UNSUPPORTED,
                          "a ZIP archive without data.pkl: not torch.save's");
    if (!nn_zip_intact(object))
        return errmsg_set(e, STATUS_CORRUPT, "the checksum of data.pkl is wrong");
    AUTO(pickle_free) struct pickle *p = NULL;
    size_t len;
    st = pickle_read(object->data, object->bytes, &torch_rules, &p, &len, e);
    struct torch_bytes s = {
        .zip = zip, .top = object->name, .top_len = object->name_len - strlen("data.pkl")};
    return st ? st : torch_tensors_read(f, &s, pickle_root(p), e);
}

/* ---- before ---- */

enum { LEGACY_VERSION = 1001, LEGACY_MAGIC_BYTES = 10 };
static const unsigned char legacy_magic[] = {
    0x8a, LEGACY_MAGIC_BYTES, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

struct legacy {
    struct pickle *version, *machine, *object, *keys;
    struct torch_bytes bytes;
};

static void legacy_donep(struct legacy *l)
{
    pickle_free(l->version);
    pickle_free(l->machine);
    pickle_free(l->object);
    pickle_free(l->keys);
    mem_free(l->bytes.list);
}

static status next_pickle(const struct nn_file *f, size_t *at, struct pickle **out,
                          struct errmsg *e)
{
    size_t len;
    status st =
        pickle_read((const unsigned char *)f->map + *at, f->len - *at, &torch_rules, out, &len, e);
    if (!st)
        *at += len;
    return st;
}

static status read_legacy(struct nn_file *f, struct errmsg *e)
{
    __attribute__((cleanup(legacy_donep))) struct legacy l = {.version = NULL};
    size_t at = 2 + sizeof legacy_magic;
    status st = next_pickle(f, &at, &l.version, e);
    if (!st && (pickle_root(l.version)->kind != PICKLE_INT ||
                pickle_root(l.version)->whole != LEGACY_VERSION))
        st = errmsg_set(e, STATUS_UNSUPPORTED, "an unknown version of PyTorch's old format");
    if (!st)
        st = next_pickle(f, &at, &l.machine, e);
    if (!st)
        st = next_pickle(f, &at, &l.object, e);
    if (!st)
        st = next_pickle(f, &at, &l.keys, e);
    if (!st)
        st = torch_bytes_list(&l.bytes, l.object, e);
    if (!st)
        st = torch_bytes_place(&l.bytes, f, at, pickle_root(l.keys), e);
    return st ? st : torch_tensors_read(f, &l.bytes, pickle_root(l.object), e);
}

/* ---- any format ---- */

static bool starts_with(const struct nn_file *f, const void *bytes, size_t n, size_t at)
{
    return f->len >= at + n && memcmp((const char *)f->map + at, bytes, n) == 0;
}

static status parse_zip(struct nn_file *f, struct errmsg *e)
{
    struct nn_zip z;
    status st = nn_zip_open(f->map, f->len, &z, e);
    if (st)
        return st;
    st = numpy_in_zip(&z) ? file_parse_npz(f, &z, e) : read_zip(f, &z, e);
    nn_zip_done(&z);
    return st;
}

static status parse_any(struct nn_file *f, struct errmsg *e)
{
    if (starts_with(f, "PK\3\4", 4, 0))
        return parse_zip(f, e);
    if (starts_with(f, legacy_magic, sizeof legacy_magic, 2))
        return read_legacy(f, e);
    if (npy_is(f->map, f->len))
        return file_parse_npy(f, e);
    return file_parse_safetensors(f, e);
}

status nn_file_open_any(const char *path, struct nn_file **out, struct errmsg *e)
{
    return file_open(path, parse_any, out, e);
}
