#include "distance_print.h"

#include "cli.h"

#include <math.h>

#include "base/banned.h"

void distance_print(const struct train_distance *d)
{
    const struct train_ud *u = &d->ud;
    printf("\nIn how many layers the loss of %s answers sharply, mean of %d epochs of %d images:\n",
           d->arch, u->epochs, d->images);
    printf("  clean      %.2f of %d (a SAL above %.4f)\n", u->clean_count, u->layers, u->threshold);
    printf("  these      %.2f\n", u->count);
    if (isnan(u->distance))
        printf("  On the clean images none does: nothing can be said of these.\n");
    else
        printf(
            "  distance   %.3f (unlearnable distance, Ye et al. 2025; 1: as learnable as the clean "
            "images, less: less)\n",
            u->distance);
}

json_t *distance_json(const struct train_distance *d)
{
    json_t *j = json_object();
    json_object_set_new(j, "arch", json_string(d->arch));
    json_object_set_new(j, "images", json_integer(d->images));
    json_object_set_new(j, "epochs", json_integer(d->ud.epochs));
    json_object_set_new(j, "layers", json_integer(d->ud.layers));
    json_object_set_new(j, "threshold", json_real(d->ud.threshold));
    json_object_set_new(j, "clean_count", json_real(d->ud.clean_count));
    json_object_set_new(j, "count", json_real(d->ud.count));
    json_object_set_new(j, "distance", cli_json_real(d->ud.distance));
    return j;
}
