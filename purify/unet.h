#ifndef PURIFY_UNET_H
#define PURIFY_UNET_H
/* What building a UNet (unet.c) and checking its configuration (unet_check.c) share. */
#include "purify/purify.h"

enum { UNET_RES_BLOCKS_MAX = 8 };

/* Attention belongs to a level, whatever the size of the input at hand. */
bool unet_has_attn(const struct purify_unet *cfg, int level);

#endif
