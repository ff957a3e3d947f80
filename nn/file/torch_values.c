#include "file/torch_values.h"

enum {
    TENSOR,
    TENSOR_OLD,
    PARAMETER,
    STORAGES /* from here on, as in dtypes */
};
static const struct pickle_name names[] = {
    [TENSOR] = {"torch._utils", "_rebuild_tensor_v2"},
    [TENSOR_OLD] = {"torch._utils", "_rebuild_tensor"},
    [PARAMETER] = {"torch._utils", "_rebuild_parameter"},
    [STORAGES] = {"torch", "FloatStorage"},
    {"torch", "HalfStorage"},
    {"torch", "BFloat16Storage"},
    {"torch", "DoubleStorage"},
    {"torch", "LongStorage"},
    {"torch", "IntStorage"},
    {"torch", "ShortStorage"},
    {"torch", "CharStorage"},
    {"torch", "ByteStorage"},
    {"torch", "BoolStorage"},
};
static const char *const dtypes[] = {"F32", "F16", "BF16", "F64", "I64",
                                     "I32", "I16", "I8",   "U8",  "BOOL"};
_Static_assert(ARRAY_LEN(names) == STORAGES + ARRAY_LEN(dtypes), "a dtype for each storage");

const struct pickle_rules torch_rules = {names, ARRAY_LEN(names), "a file of tensors",
                                         "(save the model's state_dict() alone)"};

static const char *dtype_of(const struct pickle_value *v)
{
    return pickle_is(v, PICKLE_GLOBAL) && v->global >= STORAGES ? dtypes[v->global - STORAGES]
                                                                : NULL;
}

/* ('storage', class, key, location, elements[, view]) */
status torch_storage_read(const struct pickle_value *v, struct torch_storage *out, struct errmsg *e)
{
    const struct pickle_value *id = pickle_is(v, PICKLE_PERSISTENT) ? v->id : NULL;
    const struct pickle_value *key = pickle_item(id, 2), *elements = pickle_item(id, 4);
    const char *dtype = dtype_of(pickle_item(id, 1));
    if (!pickle_is_text(pickle_item(id, 0), "storage") || !dtype || !pickle_is(key, PICKLE_TEXT) ||
        !pickle_is(elements, PICKLE_INT) || elements->whole < 0)
        return errmsg_set(e, STATUS_CORRUPT, "a storage is damaged");
    if (pickle_item(id, 5) && !pickle_is(pickle_item(id, 5), PICKLE_NONE))
        return errmsg_set(e, STATUS_UNSUPPORTED, "views of storages, as PyTorch wrote before 0.4");
    *out = (struct torch_storage){dtype, key, elements->whole};
    return STATUS_OK;
}

bool torch_is_tensor(const struct pickle_value *v)
{
    return pickle_is_call(v, TENSOR) || pickle_is_call(v, TENSOR_OLD) ||
           pickle_is_call(v, PARAMETER);
}

/* (storage, offset, size, stride, ...); a parameter: (tensor, ...) */
status torch_tensor_read(const struct pickle_value *v, struct torch_tensor *out, struct errmsg *e)
{
    if (pickle_is_call(v, PARAMETER))
        v = pickle_item(v->call.args, 0);
    bool tensor = pickle_is_call(v, TENSOR) || pickle_is_call(v, TENSOR_OLD);
    const struct pickle_value *args = tensor ? v->call.args : NULL, *offset = pickle_item(args, 1);
    const struct pickle_value *size = pickle_item(args, 2), *stride = pickle_item(args, 3);
    if (!pickle_is(offset, PICKLE_INT) || !pickle_is(size, PICKLE_TUPLE) ||
        !pickle_is(stride, PICKLE_TUPLE))
        return errmsg_set(e, STATUS_CORRUPT, "a tensor is damaged");
    *out = (struct torch_tensor){
        .offset = offset->whole, .size = &size->list, .stride = &stride->list};
    return torch_storage_read(pickle_item(args, 0), &out->storage, e);
}
