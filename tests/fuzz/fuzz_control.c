/* The daemon's side of the control protocol: whatever a line says, it is refused or it is a request
 * whose names are file names; and names go through JSON unchanged. */
#include "fused/control.h"
#include "fused/json_name.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_line(const char *line, size_t len)
{
    struct control_request r;
    struct errmsg e = {""};
    status st = control_parse(line, len, &r, &e);
    assert(st == STATUS_OK || st == STATUS_INVALID);
    if (st) {
        assert(e.text[0]);
        return;
    }
    assert(r.command < CONTROL_COMMAND_COUNT && (!r.all || !r.n));
    for (size_t i = 0; i < r.n; i++) {
        json_t *again = json_name_new(r.path[i]);
        char *back = NULL;
        assert(r.path[i][0] && again && json_name_read(again, &back) == STATUS_OK);
        assert(strcmp(back, r.path[i]) == 0);
        mem_free(back);
        json_decref(again);
    }
    control_request_done(&r);
}

static void check_name(const char *name)
{
    json_t *j = json_object();
    char *back = NULL;
    assert(json_name_set(j, "path", name) == STATUS_OK);
    char *text = json_dumps(j, JSON_COMPACT);
    assert(text);
    json_error_t err;
    json_t *read = json_loads(text, 0, &err);
    assert(read && json_name_get(read, "path", &back) == STATUS_OK && strcmp(back, name) == 0);
    char shown[64];
    assert(strlen(text_shown(name, shown, sizeof shown)) < sizeof shown);
    mem_free(back);
    json_decref(read);
    json_decref(j);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = mem_alloc(len + 1);
    if (!text)
        return 0;
    memcpy(text, data, len);
    text[len] = 0;
    check_line(text, len);
    check_name(text);
    mem_free(text);
    return 0;
}
