/* The instructions. */
#include "pickle_stack.h"

enum { PROTOCOL_MAX = 5 };

/* Those that push one value; false: op is another one. */
static bool push_value(struct pickle *p, unsigned char op)
{
    switch (op) {
    case 'N':
        pickle_push(p, pickle_make(p, PICKLE_NONE));
        return true;
    case 0x88:
    case 0x89:
        pickle_push_whole(p, PICKLE_BOOL, op == 0x88);
        return true;
    case 'K':
        pickle_push_whole(p, PICKLE_INT, (int64_t)pickle_take_little(p, 1));
        return true;
    case 'M':
        pickle_push_whole(p, PICKLE_INT, (int64_t)pickle_take_little(p, 2));
        return true;
    case 'J':
        pickle_push_whole(p, PICKLE_INT, (int32_t)(uint32_t)pickle_take_little(p, 4));
        return true;
    case 0x8a: /* LONG1 */
        pickle_push_long(p, pickle_take_little(p, 1));
        return true;
    case 'G':
        pickle_push_real(p);
        return true;
    case 'X': /* BINUNICODE, and byte strings of Python 2 */
    case 'T':
    case 'B':
        pickle_push_text(p, pickle_take_little(p, 4));
        return true;
    case 0x8c:
    case 'U':
    case 'C':
        pickle_push_text(p, pickle_take_little(p, 1));
        return true;
    case 0x8d: /* BINUNICODE8, BINBYTES8, BYTEARRAY8 */
    case 0x8e:
    case 0x96:
        pickle_push_text(p, pickle_take_little(p, 8));
        return true;
    case 'Q': /* BINPERSID */
        pickle_push_persistent(p);
        return true;
    default:
        return false;
    }
}

/* Those that make and fill tuples, lists and dictionaries. */
static bool push_container(struct pickle *p, unsigned char op)
{
    switch (op) {
    case '(':
        pickle_mark(p);
        return true;
    case ')':
        pickle_push(p, pickle_make(p, PICKLE_TUPLE));
        return true;
    case 0x85: /* TUPLE1 to TUPLE3 */
    case 0x86:
    case 0x87:
        pickle_push_tuple(p, (size_t)op - 0x84);
        return true;
    case 't':
        pickle_push_tuple(p, pickle_unmark(p));
        return true;
    case ']':
        pickle_push(p, pickle_make(p, PICKLE_LIST));
        return true;
    case 'a':
        pickle_append(p, 1, PICKLE_LIST, 1);
        return true;
    case 'e':
        pickle_append(p, pickle_unmark(p), PICKLE_LIST, 1);
        return true;
    case '}':
        pickle_push(p, pickle_make(p, PICKLE_DICT));
        return true;
    case 's':
        pickle_append(p, 2, PICKLE_DICT, 2);
        return true;
    case 'u':
        pickle_append(p, pickle_unmark(p), PICKLE_DICT, 2);
        return true;
    default:
        return false;
    }
}

static bool use_memo(struct pickle *p, unsigned char op)
{
    switch (op) {
    case 'q':
        pickle_memo_put(p, pickle_take_little(p, 1));
        return true;
    case 'r':
        pickle_memo_put(p, pickle_take_little(p, 4));
        return true;
    case 0x94: /* MEMOIZE */
        pickle_memo_put(p, p->memo.n);
        return true;
    case 'h':
        pickle_memo_get(p, pickle_take_little(p, 1));
        return true;
    case 'j':
        pickle_memo_get(p, pickle_take_little(p, 4));
        return true;
    default:
        return false;
    }
}

static void unknown(struct pickle *p, unsigned char op)
{
    if (!p->st)
        p->st = errmsg_set(p->e, STATUS_UNSUPPORTED,
                           "the pickle at byte %zu: instruction 0x%02x is no part of %s", p->at - 1,
                           op, p->rules->of);
}

static void do_other(struct pickle *p, unsigned char op)
{
    switch (op) {
    case 0x80: /* PROTO */
        if (pickle_take_little(p, 1) > PROTOCOL_MAX)
            pickle_fail(p, STATUS_UNSUPPORTED, "a protocol newer than 5");
        break;
    case 0x95: /* FRAME */
        pickle_take_little(p, 8);
        break;
    case '0':
        pickle_pop(p);
        break;
    case 'c':
        pickle_push_global(p);
        break;
    case 0x93:
        pickle_push_stack_global(p);
        break;
    case 'R':
        pickle_call(p);
        break;
    case 'b':
        pickle_set_state(p);
        break;
    default:
        unknown(p, op);
    }
}

/* False at the end, and after a failure. */
static bool step(struct pickle *p)
{
    const unsigned char *at = pickle_take(p, 1);
    if (!at)
        return false;
    if (*at == '.') {
        p->root = pickle_pop(p);
        return false;
    }
    if (!push_value(p, *at) && !push_container(p, *at) && !use_memo(p, *at))
        do_other(p, *at);
    return !p->st;
}

status pickle_read(const unsigned char *data, size_t len, const struct pickle_rules *rules,
                   struct pickle **out, size_t *out_len, struct errmsg *e)
{
    AUTO(pickle_free) struct pickle *p = mem_zalloc(1, sizeof *p);
    if (!p)
        return STATUS_NOMEM;
    p->data = data, p->len = len, p->rules = rules, p->e = e;
    while (step(p))
        ;
    if (!p->st && !p->root)
        pickle_corrupt(p);
    if (p->st)
        return p->st;
    *out_len = p->at;
    *out = TAKE(p);
    return STATUS_OK;
}
