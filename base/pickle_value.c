/* Looking at what was read, and letting go of it. */
#include "pickle_stack.h"

#include <string.h>

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
    mem_free(p->persistent.at);
    mem_free(p);
}

const value *pickle_root(const struct pickle *p)
{
    return p->root;
}

const struct pickle_list *pickle_persistent(const struct pickle *p)
{
    return &p->persistent;
}

bool pickle_is(const value *v, enum pickle_kind kind)
{
    return v && v->kind == kind;
}

bool pickle_is_text(const value *v, const char *text)
{
    return pickle_is(v, PICKLE_TEXT) && v->text.len == strlen(text) &&
           memcmp(v->text.at, text, v->text.len) == 0;
}

bool pickle_is_call(const value *v, int function)
{
    return pickle_is(v, PICKLE_CALL) && v->call.function == function;
}

const value *pickle_item(const value *v, size_t i)
{
    bool list = pickle_is(v, PICKLE_TUPLE) || pickle_is(v, PICKLE_LIST);
    return list && i < v->list.n ? v->list.at[i] : NULL;
}
