/* The networks: those of every file in nets/. The Makefile writes the list of the files. */
#include "nets.h"

#include "train_nets.h"

#include <string.h>

/* nets/FILE.c defines train_nets_FILE, rows ended by one without a name. */
#define X(file) extern const struct train_net train_nets_##file[];
TRAIN_NETS(X)
#undef X
#define X(file) train_nets_##file,
static const struct train_net *const files[] = {TRAIN_NETS(X)};
#undef X

const struct train_net *train_net_at(int i)
{
    for (size_t f = 0; f < ARRAY_LEN(files) && i >= 0; f++)
        for (const struct train_net *net = files[f]; net->name; net++)
            if (i-- == 0)
                return net;
    return NULL;
}

const struct train_net *train_net_find(const char *name)
{
    const struct train_net *net = NULL;
    for (int i = 0; (net = train_net_at(i)) && strcmp(net->name, name) != 0;)
        i++;
    return net;
}

/* A prefix ends at a dot, so that layer1 does not take layer10. */
static bool has_prefix(const char *name, const char *prefix, size_t len)
{
    return strncmp(name, prefix, len) == 0 && name[len] == '.';
}

int train_net_stage_of(const struct train_net *net, const char *name)
{
    for (int s = 0; s < net->stages; s++)
        for (const char *p = net->groups[s]; *p;) {
            size_t len = strcspn(p, "|");
            if (has_prefix(name, p, len))
                return s;
            p += len + (p[len] == '|');
        }
    return -1;
}
