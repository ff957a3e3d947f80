/* The values that instructions make. */
#include "pickle_stack.h"

#include <string.h>

enum { ORDERED_DICT = -1, NAME_SHOWN = 100 };

/* ---- plain data ---- */

void pickle_push_whole(struct pickle *p, enum pickle_kind kind, int64_t whole)
{
    value *v = pickle_make(p, kind);
    if (v)
        v->whole = whole;
    pickle_push(p, v);
}

void pickle_push_text(struct pickle *p, uint64_t len)
{
    const unsigned char *b = pickle_take(p, len);
    value *v = b ? pickle_make(p, PICKLE_TEXT) : NULL;
    if (v)
        v->text.at = (const char *)b, v->text.len = (size_t)len;
    pickle_push(p, v);
}

/* A little-endian two's complement of any length; one that does not fit is kept as 0: PyTorch's
   magic number is one, sizes never are. */
void pickle_push_long(struct pickle *p, uint64_t len)
{
    const unsigned char *b = pickle_take(p, len);
    uint64_t v = 0;
    for (uint64_t i = 0; b && i < len && len <= 8; i++)
        v |= (uint64_t)b[i] << (8 * i);
    if (b && len > 0 && len < 8 && b[len - 1] & 0x80)
        v |= ~(uint64_t)0 << (8 * len);
    pickle_push_whole(p, PICKLE_INT, (int64_t)v);
}

void pickle_push_real(struct pickle *p)
{
    const unsigned char *b = pickle_take(p, 8);
    uint64_t bits = 0;
    value *v = b ? pickle_make(p, PICKLE_FLOAT) : NULL;
    for (int i = 0; v && i < 8; i++)
        bits = bits << 8 | b[i];
    if (v)
        memcpy(&v->real, &bits, sizeof v->real);
    pickle_push(p, v);
}

void pickle_push_persistent(struct pickle *p)
{
    value *id = pickle_pop(p), *v = pickle_make(p, PICKLE_PERSISTENT);
    if (!v)
        return;
    v->id = id;
    pickle_add(p, &p->persistent, v);
    pickle_push(p, v);
}

/* ---- functions ---- */

struct word {
    const char *at;
    size_t len;
};

static bool is_word(struct word w, const char *text)
{
    return w.len == strlen(text) && memcmp(w.at, text, w.len) == 0;
}

static int shown(struct word w)
{
    return (int)(w.len < NAME_SHOWN ? w.len : NAME_SHOWN);
}

static void push_name(struct pickle *p, struct word module, struct word name)
{
    const struct pickle_rules *r = p->rules;
    value *v = pickle_make(p, PICKLE_GLOBAL);
    int i = 0;
    if (!v)
        return;
    while (i < r->n && !(is_word(module, r->name[i].module) && is_word(name, r->name[i].name)))
        i++;
    v->global = i < r->n ? i : ORDERED_DICT;
    if (i == r->n && !(is_word(module, "collections") && is_word(name, "OrderedDict")))
        p->st = errmsg_set(p->e, STATUS_UNSUPPORTED,
                           "it wants \"%.*s.%.*s\", which is no part of %s and is not run here%s%s",
                           shown(module), module.at, shown(name), name.at, r->of,
                           r->advice[0] ? " " : "", r->advice);
    pickle_push(p, v);
}

/* GLOBAL: "module\nname\n" */
static struct word take_line(struct pickle *p)
{
    const unsigned char *from = p->data + p->at;
    const unsigned char *end = p->st ? NULL : memchr(from, '\n', p->len - p->at);
    if (!end) {
        pickle_corrupt(p);
        return (struct word){"", 0};
    }
    p->at += (size_t)(end + 1 - from);
    return (struct word){(const char *)from, (size_t)(end - from)};
}

void pickle_push_global(struct pickle *p)
{
    struct word module = take_line(p), name = take_line(p);
    push_name(p, module, name);
}

/* STACK_GLOBAL */
void pickle_push_stack_global(struct pickle *p)
{
    const value *name = pickle_pop(p), *module = pickle_pop(p);
    if (!pickle_is(name, PICKLE_TEXT) || !pickle_is(module, PICKLE_TEXT))
        pickle_corrupt(p);
    else
        push_name(p, (struct word){module->text.at, module->text.len},
                  (struct word){name->text.at, name->text.len});
}

/* OrderedDict(), or of a list of pairs. */
static void push_dict(struct pickle *p, const value *args)
{
    value *v = pickle_make(p, PICKLE_DICT);
    const value *pairs = pickle_item(args, 0);
    for (size_t i = 0; v && pickle_is(pairs, PICKLE_LIST) && i < pairs->list.n; i++) {
        const value *pair = pairs->list.at[i];
        bool whole = pickle_is(pair, PICKLE_TUPLE) || pickle_is(pair, PICKLE_LIST);
        if (!whole || pair->list.n != 2 || p->st) { /* a list of pairs may be used many times */
            pickle_corrupt(p);
            return;
        }
        pickle_add(p, &v->list, pair->list.at[0]);
        pickle_add(p, &v->list, pair->list.at[1]);
    }
    pickle_push(p, v);
}

void pickle_call(struct pickle *p)
{
    const value *args = pickle_pop(p), *function = pickle_pop(p);
    if (!pickle_is(args, PICKLE_TUPLE) || !pickle_is(function, PICKLE_GLOBAL)) {
        pickle_corrupt(p);
        return;
    }
    if (function->global == ORDERED_DICT) {
        push_dict(p, args);
        return;
    }
    value *v = pickle_make(p, PICKLE_CALL);
    if (v)
        v->call.function = function->global, v->call.args = args;
    pickle_push(p, v);
}

/* The attributes of a dictionary (a state_dict's _metadata) are not kept. */
void pickle_set_state(struct pickle *p)
{
    const value *state = pickle_pop(p);
    value *v = pickle_peek(p);
    if (pickle_is(v, PICKLE_CALL) && !v->call.state)
        v->call.state = state;
    else if (!pickle_is(v, PICKLE_DICT))
        pickle_corrupt(p);
}
