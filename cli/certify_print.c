#include "certify_print.h"

#include "cli.h"

#include <math.h>

#include "base/banned.h"

/* A figure stands for the images, not for the noise, when so much of what the surrogate knows is left. */
static const double most = .5;

static void print_draws(const struct train_certify_options *o, const struct train_certify_result *r)
{
    printf("accuracy  %.4f  of the network as it is, on %lld images (%s)\n", r->plain,
           (long long)r->samples, nn_precision_names[o->eval.precision]);
    printf("          %.4f  median of %d drawn around it; %.4f to %.4f, deviation %.4f\n",
           r->median, o->draws, r->lowest, r->highest, r->deviation);
    printf("Noise of deviation %g on each of %lld weights is of norm %.4g; theirs is %.4g.\n",
           o->sigma, (long long)r->parameters, o->sigma * sqrt((double)r->parameters), r->norm);
    if (isnan(r->left))
        printf("The network is no better than guessing, and cannot show what such noise leaves of "
               "one:\n"
               "compare with a network of clean images, by the same --sigma.\n");
    else if (r->left < most)
        printf("It leaves %s of what the network knows: what follows is more of the noise\n"
               "than of what it was trained on (a smaller --sigma leaves more).\n",
               r->left > .05 ? "less than half" : "nearly nothing");
}

void certify_print(const struct train_certify_options *o, const struct train_certify_result *r)
{
    bool none = false;
    print_draws(o, r);
    printf("\nOf networks drawn around any one within eta of it, %g %% or more have no more than\n",
           100 * o->quantile);
    for (int i = 0; i < r->etas; i++) {
        const struct train_certified *c = &r->certified[i];
        none |= !c->rank;
        if (c->rank)
            printf("  eta %-8.4g %.4f  (number %d of %d)\n", c->eta, c->accuracy, c->rank,
                   o->draws);
        else
            printf("  eta %-8.4g nothing can be certified\n", c->eta);
    }
    printf("with confidence %g, each for itself.", o->confidence);
    if (none)
        printf(" So many draws reach as far as eta %.4g.", r->eta_max);
    printf("\n");
}

static json_t *certified_json(const struct train_certified *c)
{
    json_t *j = json_object();
    json_object_set_new(j, "eta", json_real(c->eta));
    json_object_set_new(j, "accuracy", cli_json_real(c->accuracy));
    json_object_set_new(j, "rank", c->rank ? json_integer(c->rank) : json_null());
    return j;
}

void certify_print_json(const struct train_certify_options *o, const struct train_certify_result *r)
{
    json_t *all = json_object(), *drawn = json_object(), *certified = json_array();
    for (int i = 0; i < r->etas; i++)
        json_array_append_new(certified, certified_json(&r->certified[i]));
    json_object_set_new(drawn, "lowest", json_real(r->lowest));
    json_object_set_new(drawn, "p50", json_real(r->median));
    json_object_set_new(drawn, "highest", json_real(r->highest));
    json_object_set_new(drawn, "mean", json_real(r->mean));
    json_object_set_new(drawn, "deviation", json_real(r->deviation));
    json_object_set_new(all, "precision", json_string(nn_precision_names[o->eval.precision]));
    json_object_set_new(all, "images", json_integer((json_int_t)r->samples));
    json_object_set_new(all, "parameters", json_integer((json_int_t)r->parameters));
    json_object_set_new(all, "norm", cli_json_real(r->norm));
    json_object_set_new(all, "draws", json_integer(o->draws));
    json_object_set_new(all, "sigma", json_real(o->sigma));
    json_object_set_new(all, "quantile", json_real(o->quantile));
    json_object_set_new(all, "confidence", json_real(o->confidence));
    json_object_set_new(all, "seed", json_integer((json_int_t)o->seed));
    json_object_set_new(all, "accuracy", json_real(r->plain));
    json_object_set_new(all, "drawn", drawn);
    json_object_set_new(all, "left", cli_json_real(r->left));
    json_object_set_new(all, "eta_max", json_real(r->eta_max));
    json_object_set_new(all, "certified", certified);
    json_object_set_new(all, "seconds", json_real(r->seconds));
    cli_print_json(all);
}
