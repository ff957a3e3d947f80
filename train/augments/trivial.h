#ifndef TRAIN_AUGMENTS_TRIVIAL_H
#define TRAIN_AUGMENTS_TRIVIAL_H
/* trivial: the operations that the augmentation of this name chooses from. */
#include "augment.h"

enum trivial_operation {
    TRIVIAL_AUTO_CONTRAST, /* each channel from 0 to 1 */
    TRIVIAL_EQUALISE,
    TRIVIAL_ROTATE,     /* v: radians, counter-clockwise */
    TRIVIAL_POSTERISE,  /* v: bits that stay, rounded */
    TRIVIAL_SOLARISE,   /* v: from this value on they are inverted */
    TRIVIAL_CONTRAST,   /* v: a factor */
    TRIVIAL_BRIGHTNESS, /* v - 1 is added */
    TRIVIAL_SHARPNESS,  /* v: 0 is smooth, 1 the image, more is sharper */
    TRIVIAL_SHEAR_X,    /* v: radians */
    TRIVIAL_SHEAR_Y,
    TRIVIAL_TRANSLATE_X, /* v: part of the width, to the right */
    TRIVIAL_TRANSLATE_Y, /* v: part of the height, down */
    TRIVIAL_COUNT
};
void augment_trivial_do(struct augment_pixels *p, enum trivial_operation operation, float v);

#endif
