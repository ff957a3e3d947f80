#include "file/pickle.h"

#include <inttypes.h>
#include <string.h>

struct pickle {
    const unsigned char *data;
    size_t len, at;
    struct pickle_value **made; /* owns every value */
    size_t n_made, cap_made;
    struct pickle_list stack;
    size_t *marks;
    size_t n_marks, cap_marks;
    struct pickle_list memo; /* NULL where nothing was put */
    struct pickle_list storages;
    struct pickle_value *root;
    size_t copied; /* pairs of dictionaries */
    struct errmsg *e;
    status st; /* the first failure */
};

typedef struct pickle_value value;

static void fail(struct pickle *p, status st, const char *why)
{
    if (!p->st)
        p->st = errmsg_set(p->e, st, "the pickle at byte %zu: %s", p->at, why);
}

static void corrupt(struct pickle *p)
{
    fail(p, STATUS_CORRUPT, "damaged or cut off");
}

/* ---- bytes ---- */

static const unsigned char *take(struct pickle *p, uint64_t n)
{
    if (p->st || n > p->len - p->at) {
        corrupt(p);
        return NULL;
    }
    p->at += (size_t)n;
    return p->data + p->at - n;
}

static uint64_t take_little(struct pickle *p, int bytes)
{
    const unsigned char *b = take(p, (uint64_t)bytes);
    uint64_t v = 0;
    for (int i = 0; b && i < bytes; i++)
        v |= (uint64_t)b[i] << (8 * i);
    return v;
}

/* ---- values ---- */

static bool grow(struct pickle *p, void **at, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return true;
    size_t more = need < 8 ? 8 : need * 2;
    void *new = more > SIZE_MAX / size ? NULL : mem_realloc(*at, more * size);
    if (!new) {
        fail(p, STATUS_NOMEM, "out of memory");
        return false;
    }
    *at = new;
    *cap = more;
    return true;
}

static void list_add(struct pickle *p, struct pickle_list *l, value *v)
{
    if (grow(p, (void **)&l->at, &l->cap, l->n + 1, sizeof *l->at))
        l->at[l->n++] = v;
}

/* NULL after a failure. */
static value *make(struct pickle *p, enum pickle_kind kind)
{
    if (p->st || !grow(p, (void **)&p->made, &p->cap_made, p->n_made + 1, sizeof *p->made))
        return NULL;
    value *v = mem_zalloc(1, sizeof *v);
    if (!v) {
        fail(p, STATUS_NOMEM, "out of memory");
        return NULL;
    }
    v->kind = kind;
    return p->made[p->n_made++] = v;
}

static void push(struct pickle *p, value *v)
{
    if (v)
        list_add(p, &p->stack, v);
}

/* What was pushed since the last mark is not to be taken one by one. */
static size_t floor_of(const struct pickle *p)
{
    return p->n_marks ? p->marks[p->n_marks - 1] : 0;
}

static value *pop(struct pickle *p)
{
    if (p->st || p->stack.n <= floor_of(p)) {
        corrupt(p);
        return NULL;
    }
    return p->stack.at[--p->stack.n];
}

static value *top(struct pickle *p, enum pickle_kind kind)
{
    value *v = !p->st && p->stack.n > floor_of(p) ? p->stack.at[p->stack.n - 1] : NULL;
    if (!v || v->kind != kind) {
        corrupt(p);
        return NULL;
    }
    return v;
}

static void push_whole(struct pickle *p, enum pickle_kind kind, int64_t whole)
{
    value *v = make(p, kind);
    if (v)
        v->whole = whole;
    push(p, v);
}

static void push_text(struct pickle *p, uint64_t len)
{
    const unsigned char *b = take(p, len);
    value *v = b ? make(p, PICKLE_TEXT) : NULL;
    if (v)
        v->text.at = (const char *)b, v->text.len = (size_t)len;
    push(p, v);
}

/* A little-endian two's complement of any length; one that does not fit is kept as 0: PyTorch's
   magic number is one, sizes never are. */
static void push_long(struct pickle *p, uint64_t len)
{
    const unsigned char *b = take(p, len);
    uint64_t v = 0;
    for (uint64_t i = 0; b && i < len && len <= 8; i++)
        v |= (uint64_t)b[i] << (8 * i);
    if (b && len > 0 && len < 8 && b[len - 1] & 0x80)
        v |= ~(uint64_t)0 << (8 * len);
    push_whole(p, PICKLE_INT, (int64_t)v);
}

static void push_real(struct pickle *p)
{
    const unsigned char *b = take(p, 8);
    uint64_t bits = 0;
    value *v = b ? make(p, PICKLE_FLOAT) : NULL;
    for (int i = 0; v && i < 8; i++)
        bits = bits << 8 | b[i];
    if (v)
        memcpy(&v->real, &bits, sizeof v->real);
    push(p, v);
}

/* The top n values become one. */
static void push_tuple(struct pickle *p, size_t n)
{
    value *v = make(p, PICKLE_TUPLE);
    if (!v || p->stack.n - floor_of(p) < n) {
        corrupt(p);
        return;
    }
    for (size_t i = p->stack.n - n; i < p->stack.n; i++)
        list_add(p, &v->list, p->stack.at[i]);
    p->stack.n -= n;
    push(p, v);
}

/* ---- marks ---- */

static void mark(struct pickle *p)
{
    if (grow(p, (void **)&p->marks, &p->cap_marks, p->n_marks + 1, sizeof *p->marks))
        p->marks[p->n_marks++] = p->stack.n;
}

/* Takes the last mark away; how many values stand above it. */
static size_t unmark(struct pickle *p)
{
    if (p->st || p->n_marks == 0) {
        corrupt(p);
        return 0;
    }
    return p->stack.n - p->marks[--p->n_marks];
}

/* Moves the top n values to the end of the list below them; `by`: how many belong together. */
static void append(struct pickle *p, size_t n, enum pickle_kind kind, size_t by)
{
    if (p->st || n % by || p->stack.n - floor_of(p) < n + 1) {
        corrupt(p);
        return;
    }
    p->stack.n -= n;
    value *to = top(p, kind);
    for (size_t i = 0; to && i < n; i++)
        list_add(p, &to->list, p->stack.at[p->stack.n + i]);
}

/* ---- memo ---- */

static void memo_put(struct pickle *p, uint64_t index)
{
    if (p->st || p->stack.n <= floor_of(p) || index > p->len) {
        corrupt(p); /* indexes count up by one; more than there are bytes cannot be */
        return;
    }
    if (!grow(p, (void **)&p->memo.at, &p->memo.cap, (size_t)index + 1, sizeof *p->memo.at))
        return;
    while (p->memo.n <= index)
        p->memo.at[p->memo.n++] = NULL;
    p->memo.at[index] = p->stack.at[p->stack.n - 1];
}

static void memo_get(struct pickle *p, uint64_t index)
{
    if (p->st || index >= p->memo.n || !p->memo.at[index])
        corrupt(p);
    else
        push(p, p->memo.at[index]);
}

/* ---- names ---- */

bool pickle_is_text(const value *v, const char *text)
{
    return v && (v->kind == PICKLE_TEXT || v->kind == PICKLE_GLOBAL) &&
           v->text.len == strlen(text) && memcmp(v->text.at, text, v->text.len) == 0;
}

static const struct {
    const char *name, *dtype;
} storages[] = {
    {"torch\nFloatStorage", "F32"},     {"torch\nHalfStorage", "F16"},
    {"torch\nBFloat16Storage", "BF16"}, {"torch\nDoubleStorage", "F64"},
    {"torch\nLongStorage", "I64"},      {"torch\nIntStorage", "I32"},
    {"torch\nShortStorage", "I16"},     {"torch\nCharStorage", "I8"},
    {"torch\nByteStorage", "U8"},       {"torch\nBoolStorage", "BOOL"},
};

static const char *storage_dtype(const value *v)
{
    for (size_t i = 0; i < ARRAY_LEN(storages); i++)
        if (v->kind == PICKLE_GLOBAL && pickle_is_text(v, storages[i].name))
            return storages[i].dtype;
    return NULL;
}

enum call { CALL_TENSOR, CALL_TENSOR_OLD, CALL_PARAMETER, CALL_DICT, CALL_NONE };
static const char *const calls[] = {"torch._utils\n_rebuild_tensor_v2",
                                    "torch._utils\n_rebuild_tensor",
                                    "torch._utils\n_rebuild_parameter", "collections\nOrderedDict"};

static enum call call_of(const value *v)
{
    for (int i = 0; i < CALL_NONE; i++)
        if (v && v->kind == PICKLE_GLOBAL && pickle_is_text(v, calls[i]))
            return (enum call)i;
    return CALL_NONE;
}

/* GLOBAL: "module\nname\n", kept as "module\nname". */
static void push_global(struct pickle *p)
{
    const unsigned char *b = p->data + p->at, *end = p->data + p->len;
    const unsigned char *first = memchr(b, '\n', (size_t)(end - b));
    const unsigned char *last = first ? memchr(first + 1, '\n', (size_t)(end - first - 1)) : NULL;
    value *v = last ? make(p, PICKLE_GLOBAL) : NULL;
    if (!v) {
        corrupt(p);
        return;
    }
    p->at += (size_t)(last + 1 - b);
    v->text.at = (const char *)b;
    v->text.len = (size_t)(last - b);
    if (!storage_dtype(v) && call_of(v) == CALL_NONE && !p->st)
        p->st = errmsg_set(
            p->e, STATUS_UNSUPPORTED,
            "it wants \"%.*s.%.*s\", which is no part of a file of tensors and is not "
            "run here (save the model's state_dict() alone)",
            (int)(first - b < 100 ? first - b : 100), (const char *)b,
            (int)(last - first - 1 < 100 ? last - first - 1 : 100), (const char *)first + 1);
    push(p, v);
}

/* ---- what is built ---- */

static const value *item(const value *tuple, size_t i)
{
    return i < tuple->list.n ? tuple->list.at[i] : NULL;
}
static bool is(const value *v, enum pickle_kind kind)
{
    return v && v->kind == kind;
}

/* ('storage', class, key, location, elements[, view]) */
static void push_storage(struct pickle *p)
{
    value *id = pop(p), *v = make(p, PICKLE_STORAGE);
    if (!v || !is(id, PICKLE_TUPLE) || !pickle_is_text(item(id, 0), "storage") ||
        !is(item(id, 1), PICKLE_GLOBAL) || !is(item(id, 2), PICKLE_TEXT) ||
        !is(item(id, 4), PICKLE_INT) || item(id, 4)->whole < 0) {
        corrupt(p);
        return;
    }
    v->storage.dtype = storage_dtype(item(id, 1));
    v->storage.key = item(id, 2);
    v->storage.elements = item(id, 4)->whole;
    if (!v->storage.dtype)
        corrupt(p);
    if (item(id, 5) && !is(item(id, 5), PICKLE_NONE))
        fail(p, STATUS_UNSUPPORTED, "views of storages, as PyTorch wrote before 0.4");
    list_add(p, &p->storages, v);
    push(p, v);
}

static value *rebuilt_tensor(struct pickle *p, const value *args)
{
    value *v = make(p, PICKLE_TENSOR);
    if (!v || !is(item(args, 0), PICKLE_STORAGE) || !is(item(args, 1), PICKLE_INT) ||
        !is(item(args, 2), PICKLE_TUPLE) || !is(item(args, 3), PICKLE_TUPLE)) {
        corrupt(p);
        return NULL;
    }
    v->tensor.storage = item(args, 0);
    v->tensor.offset = item(args, 1);
    v->tensor.size = item(args, 2);
    v->tensor.stride = item(args, 3);
    return v;
}

/* OrderedDict(), or of a list of pairs. */
static value *rebuilt_dict(struct pickle *p, const value *args)
{
    value *v = make(p, PICKLE_DICT);
    const value *pairs = item(args, 0);
    for (size_t i = 0; v && is(pairs, PICKLE_LIST) && i < pairs->list.n; i++) {
        const value *pair = pairs->list.at[i];
        if ((!is(pair, PICKLE_TUPLE) && !is(pair, PICKLE_LIST)) || pair->list.n != 2) {
            corrupt(p);
            return NULL;
        }
        if (++p->copied > p->len) { /* one list again and again */
            corrupt(p);
            return NULL;
        }
        list_add(p, &v->list, pair->list.at[0]);
        list_add(p, &v->list, pair->list.at[1]);
    }
    return v;
}

static void call(struct pickle *p)
{
    value *args = pop(p), *function = pop(p), *v = NULL;
    if (!is(args, PICKLE_TUPLE)) {
        corrupt(p);
        return;
    }
    switch (call_of(function)) {
    case CALL_TENSOR:
    case CALL_TENSOR_OLD:
        v = rebuilt_tensor(p, args);
        break;
    case CALL_PARAMETER:
        v = is(item(args, 0), PICKLE_TENSOR) ? args->list.at[0] : NULL;
        break;
    case CALL_DICT:
        v = rebuilt_dict(p, args);
        break;
    case CALL_NONE:
        break;
    }
    if (!v)
        corrupt(p);
    push(p, v);
}

/* An attribute of a dictionary (state_dict's _metadata): not of interest. */
static void drop_state(struct pickle *p)
{
    pop(p);
    top(p, PICKLE_DICT);
}

/* ---- instructions ---- */

static bool step(struct pickle *p)
{
    const unsigned char *op = take(p, 1);
    if (!op)
        return false;
    switch (*op) {
    case 0x80: /* PROTO */
        if (take_little(p, 1) > 5)
            fail(p, STATUS_UNSUPPORTED, "a protocol newer than 5");
        break;
    case 0x95: /* FRAME */
        take_little(p, 8);
        break;
    case '.': /* STOP */
        p->root = pop(p);
        return false;
    case '(':
        mark(p);
        break;
    case '0': /* POP */
        pop(p);
        break;
    case 'N':
        push(p, make(p, PICKLE_NONE));
        break;
    case 0x88:
    case 0x89:
        push_whole(p, PICKLE_BOOL, *op == 0x88);
        break;
    case 'K':
        push_whole(p, PICKLE_INT, (int64_t)take_little(p, 1));
        break;
    case 'M':
        push_whole(p, PICKLE_INT, (int64_t)take_little(p, 2));
        break;
    case 'J':
        push_whole(p, PICKLE_INT, (int32_t)(uint32_t)take_little(p, 4));
        break;
    case 0x8a: /* LONG1 */
        push_long(p, take_little(p, 1));
        break;
    case 'G':
        push_real(p);
        break;
    case 'X': /* BINUNICODE, and byte strings of Python 2 */
    case 'T':
    case 'B':
        push_text(p, take_little(p, 4));
        break;
    case 0x8c:
    case 'U':
    case 'C':
        push_text(p, take_little(p, 1));
        break;
    case 0x8d:
        push_text(p, take_little(p, 8));
        break;
    case ')':
        push(p, make(p, PICKLE_TUPLE));
        break;
    case 0x85:
    case 0x86:
    case 0x87:
        push_tuple(p, (size_t)*op - 0x84);
        break;
    case 't':
        push_tuple(p, unmark(p));
        break;
    case ']':
        push(p, make(p, PICKLE_LIST));
        break;
    case 'a':
        append(p, 1, PICKLE_LIST, 1);
        break;
    case 'e':
        append(p, unmark(p), PICKLE_LIST, 1);
        break;
    case '}':
        push(p, make(p, PICKLE_DICT));
        break;
    case 's':
        append(p, 2, PICKLE_DICT, 2);
        break;
    case 'u':
        append(p, unmark(p), PICKLE_DICT, 2);
        break;
    case 'q':
        memo_put(p, take_little(p, 1));
        break;
    case 'r':
        memo_put(p, take_little(p, 4));
        break;
    case 0x94: /* MEMOIZE */
        memo_put(p, p->memo.n);
        break;
    case 'h':
        memo_get(p, take_little(p, 1));
        break;
    case 'j':
        memo_get(p, take_little(p, 4));
        break;
    case 'c':
        push_global(p);
        break;
    case 'Q': /* BINPERSID */
        push_storage(p);
        break;
    case 'R':
        call(p);
        break;
    case 'b':
        drop_state(p);
        break;
    default:
        if (!p->st)
            p->st = errmsg_set(p->e, STATUS_UNSUPPORTED,
                               "the pickle at byte %zu: instruction 0x%02x is no part of a file of "
                               "tensors",
                               p->at - 1, *op);
    }
    return !p->st;
}

status pickle_read(const unsigned char *data, size_t len, struct pickle **out, size_t *out_len,
                   struct errmsg *e)
{
    AUTO(pickle_free) struct pickle *p = mem_zalloc(1, sizeof *p);
    if (!p)
        return STATUS_NOMEM;
    p->data = data, p->len = len, p->e = e;
    while (step(p))
        ;
    if (!p->st && !p->root)
        corrupt(p);
    if (p->st)
        return p->st;
    *out_len = p->at;
    *out = TAKE(p);
    return STATUS_OK;
}

void pickle_free(struct pickle *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_made; i++) {
        enum pickle_kind k = p->made[i]->kind;
        if (k == PICKLE_TUPLE || k == PICKLE_LIST || k == PICKLE_DICT)
            mem_free(p->made[i]->list.at);
        mem_free(p->made[i]);
    }
    mem_free(p->made);
    mem_free(p->stack.at);
    mem_free(p->marks);
    mem_free(p->memo.at);
    mem_free(p->storages.at);
    mem_free(p);
}

const struct pickle_value *pickle_root(const struct pickle *p)
{
    return p->root;
}

const struct pickle_list *pickle_storages(const struct pickle *p)
{
    return &p->storages;
}
