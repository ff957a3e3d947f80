/*
 * CIFAR's Python version: a pickled dictionary of
 *
 *   "data"          a numpy array of bytes, N rows of three planes R, G, B of a square image
 *   "labels"        a list of N numbers; of CIFAR-100 "fine_labels" and "coarse_labels" instead
 *
 * and others that are not looked at. Keys are str or bytes. The array is what numpy makes of
 * _reconstruct with a state, or (protocol 5) of _frombuffer; Python 3 writes the bytes of protocol
 * 2 as _codecs.encode(a text of characters below 256, "latin1").
 */
#include "arrays.h"

#include "base/pickle.h"

#include <limits.h>
#include <string.h>

enum { RECONSTRUCT, RECONSTRUCT_2, FROM_BUFFER, FROM_BUFFER_2, NDARRAY, DTYPE, ENCODE };
/* numpy 2 moved its core. */
static const struct pickle_name names[] = {
    [RECONSTRUCT] = {"numpy.core.multiarray", "_reconstruct"},
    [RECONSTRUCT_2] = {"numpy._core.multiarray", "_reconstruct"},
    [FROM_BUFFER] = {"numpy.core.numeric", "_frombuffer"},
    [FROM_BUFFER_2] = {"numpy._core.numeric", "_frombuffer"},
    [NDARRAY] = {"numpy", "ndarray"},
    [DTYPE] = {"numpy", "dtype"},
    [ENCODE] = {"_codecs", "encode"},
};
static const struct pickle_rules rules = {names, ARRAY_LEN(names), "CIFAR's files for Python", ""};

bool array_is_pickle(const struct buf *b)
{
    return b->len >= 2 && (uint8_t)b->data[0] == 0x80 && b->data[1] >= 2 && b->data[1] <= 5;
}

/* Bytes as a text (see above), or v itself. */
static const struct pickle_value *encoded(const struct pickle_value *v)
{
    bool encode =
        pickle_is_call(v, ENCODE) && pickle_is_text(pickle_item(v->call.args, 1), "latin1");
    return encode ? pickle_item(v->call.args, 0) : v;
}

/* The value of a key of a dictionary: the last one, as in Python. */
static const struct pickle_value *find(const struct pickle_value *dict, const char *key)
{
    for (size_t i = pickle_is(dict, PICKLE_DICT) ? dict->list.n / 2 : 0; i > 0; i--)
        if (pickle_is_text(encoded(dict->list.at[2 * i - 2]), key))
            return dict->list.at[2 * i - 1];
    return NULL;
}

/* ---- numpy's array ---- */

struct rows {
    const struct pickle_value *bytes;
    size_t n, length;
};

static status unfit(struct errmsg *e, const char *why)
{
    return errmsg_set(e, STATUS_UNSUPPORTED, "\"data\" is not an array of bytes in rows: %s", why);
}

static bool is_bytes_type(const struct pickle_value *dtype)
{
    return pickle_is_call(dtype, DTYPE) && pickle_is_text(pickle_item(dtype->call.args, 0), "u1");
}

/* _reconstruct(ndarray, (0,), b'b'), with the state (1, shape, dtype, fortran_order, bytes); or
   _frombuffer(bytes, dtype, shape, order). */
static status read_array(const struct pickle_value *v, struct rows *out, struct errmsg *e)
{
    bool built = pickle_is_call(v, RECONSTRUCT) || pickle_is_call(v, RECONSTRUCT_2);
    bool buffer = pickle_is_call(v, FROM_BUFFER) || pickle_is_call(v, FROM_BUFFER_2);
    const struct pickle_value *from = built ? v->call.state : buffer ? v->call.args : NULL;
    const struct pickle_value *shape = pickle_item(from, built ? 1 : 2);
    const struct pickle_value *dtype = pickle_item(from, built ? 2 : 1);
    const struct pickle_value *order = pickle_item(from, 3);
    const struct pickle_value *rows = pickle_item(shape, 0), *length = pickle_item(shape, 1);
    if (!from)
        return unfit(e, "no array");
    if (!is_bytes_type(dtype))
        return unfit(e, "numbers of another type");
    if (built ? !pickle_is(order, PICKLE_BOOL) || order->whole : !pickle_is_text(order, "C"))
        return unfit(e, "its columns come first");
    if (!pickle_is(rows, PICKLE_INT) || !pickle_is(length, PICKLE_INT) || pickle_item(shape, 2) ||
        rows->whole < 1 || length->whole < 1 || rows->whole > INT_MAX || length->whole > INT_MAX)
        return unfit(e, "another shape");
    *out =
        (struct rows){pickle_item(from, built ? 4 : 0), (size_t)rows->whole, (size_t)length->whole};
    return STATUS_OK;
}

/* ---- bytes that were written as a text ---- */

/* UTF-8 of characters below 256; false for anything else. */
static bool latin1(const char *at, size_t len, char *out, size_t *out_len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)at[i], next = i + 1 < len ? (uint8_t)at[i + 1] : 0;
        if (c >= 0x80) {
            if ((c != 0xc2 && c != 0xc3) || (next & 0xc0) != 0x80)
                return false;
            c = (uint8_t)((c & 3) << 6 | (next & 0x3f));
            i++;
        }
        out[n++] = (char)c;
    }
    *out_len = n;
    return true;
}

/* Makes b->data these bytes, which lie in it in either form, and b->pixels their place. */
static status find_bytes(struct array_batch *b, const struct pickle_value *v, size_t *out_len,
                         struct errmsg *e)
{
    if (pickle_is(v, PICKLE_TEXT)) {
        b->pixels = (const uint8_t *)v->text.at;
        *out_len = v->text.len;
        return STATUS_OK;
    }
    const struct pickle_value *text = encoded(v);
    if (!pickle_is(text, PICKLE_TEXT))
        return unfit(e, "its bytes are missing");
    char *at = b->data.data + (text->text.at - b->data.data); /* decoded in place: never longer */
    b->pixels = (const uint8_t *)at;
    return latin1(text->text.at, text->text.len, at, out_len)
               ? STATUS_OK
               : errmsg_set(e, STATUS_CORRUPT, "\"data\" holds characters that are no bytes");
}

/* ---- labels ---- */

static status read_labels(const struct pickle_value *list, const char *key, size_t n, int **out,
                          struct errmsg *e)
{
    if (!pickle_is(list, PICKLE_LIST))
        return errmsg_set(e, STATUS_UNSUPPORTED, "\"%s\" is no list", key);
    if (list->list.n != n)
        return errmsg_set(e, STATUS_CORRUPT, "%zu labels for %zu images", list->list.n, n);
    int *label = *out = mem_alloc(n * sizeof *label);
    if (!label)
        return errmsg_set(e, STATUS_NOMEM, "%s", status_text(STATUS_NOMEM));
    for (size_t i = 0; i < n; i++) {
        const struct pickle_value *v = list->list.at[i];
        if (!pickle_is(v, PICKLE_INT) || v->whole < 0 || v->whole >= INT_MAX)
            return errmsg_set(e, STATUS_CORRUPT, "label %zu in \"%s\" is no class", i, key);
        label[i] = (int)v->whole;
    }
    return STATUS_OK;
}

static status read_all_labels(struct array_batch *b, const struct pickle_value *root,
                              struct errmsg *e)
{
    const struct pickle_value *fine = find(root, "fine_labels");
    const struct pickle_value *coarse = find(root, "coarse_labels");
    const char *key = fine ? "fine_labels" : "labels";
    b->format = fine ? IMAGE_ARRAY_CIFAR100 : IMAGE_ARRAY_CIFAR10;
    const struct pickle_value *labels = fine ? fine : find(root, key);
    status st = labels ? read_labels(labels, key, b->count, &b->label, e) : STATUS_OK;
    if (!st && fine && coarse)
        st = read_labels(coarse, "coarse_labels", b->count, &b->coarse, e);
    return st;
}

/* ---- a batch ---- */

static status shape_rows(struct array_batch *b, const struct rows *r, size_t bytes,
                         struct errmsg *e)
{
    size_t side = 1;
    while (3 * side * side < r->length)
        side++;
    if (3 * side * side != r->length)
        return unfit(e, "no square images of three channels");
    if (bytes / r->length != r->n || bytes % r->length)
        return errmsg_set(e, STATUS_CORRUPT, "\"data\" holds %zu bytes for %zu rows of %zu", bytes,
                          r->n, r->length);
    b->count = r->n;
    b->width = b->height = (int)side;
    b->channels = 3;
    b->planes = true;
    b->record = r->length;
    return STATUS_OK;
}

status array_parse_pickle(struct array_batch *b, struct errmsg *e)
{
    AUTO(pickle_free) struct pickle *p = NULL;
    size_t used, bytes = 0;
    struct rows rows = {NULL, 0, 0};
    status st = pickle_read((const unsigned char *)b->data.data, b->data.len, &rules, &p, &used, e);
    if (st)
        return st;
    const struct pickle_value *root = pickle_root(p);
    if (used != b->data.len)
        return errmsg_set(e, STATUS_CORRUPT, "more follows the pickle");
    if (!find(root, "data"))
        return errmsg_set(e, STATUS_UNSUPPORTED, "no dictionary with \"data\"");
    st = read_array(find(root, "data"), &rows, e);
    if (!st)
        st = find_bytes(b, rows.bytes, &bytes, e);
    if (!st)
        st = shape_rows(b, &rows, bytes, e);
    return st ? st : read_all_labels(b, root, e);
}
