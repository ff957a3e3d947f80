/* The body of purify's perceptual distance with its classifier head; small, because purification
   evaluates it at every guided step. */
#include "net_layers.h"

struct purify_percept_cfg train_net_percept_cfg(struct train_net_shape s)
{
    return (struct purify_percept_cfg){
        .in_channels = s.channels, .stages = 3, .width = {32, 64, 96}, .classes = s.classes};
}

static struct nn_val build(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                           bool training, struct nn_val *out_stage)
{
    (void)training;
    struct purify_percept_cfg cfg = train_net_percept_cfg(s);
    if (out_stage)
        purify_percept_features(g, &cfg, x, out_stage);
    return purify_percept_logits(g, &cfg, x);
}

const struct train_net train_nets_percept[] = {
    {
        .name = "percept",
        .summary = "the network of the perceptual distance, trained as a classifier",
        .stages = 3,
        .groups = {"stage.0", "stage.1", "stage.2"},
        .mean = .5f,
        .std = .5f,
        .lr = .02f,
        .build = build,
    },
    {.name = NULL},
};
