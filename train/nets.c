/* The table of networks; each is a file in nets/. */
#include "nets.h"

#include <string.h>

#define TRAIN_NET_TABLE(X)                                                                         \
    X(resnet18)                                                                                    \
    X(resnet20)                                                                                    \
    X(resnet8)                                                                                     \
    X(resnet8s2)                                                                                   \
    X(resnet50)                                                                                    \
    X(vgg16)                                                                                       \
    X(mobilenetv2)                                                                                 \
    X(densenet121)                                                                                 \
    X(vit)                                                                                         \
    X(percept)

#define X(name) extern const struct train_net train_net_##name;
TRAIN_NET_TABLE(X)
#undef X

static const struct train_net *const nets[] = {
#define X(name) &train_net_##name,
    TRAIN_NET_TABLE(X)
#undef X
};

const struct train_net *train_net_at(int i)
{
    return i >= 0 && (size_t)i < ARRAY_LEN(nets) ? nets[i] : NULL;
}

const struct train_net *train_net_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(nets); i++)
        if (strcmp(nets[i]->name, name) == 0)
            return nets[i];
    return NULL;
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
