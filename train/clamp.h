#ifndef TRAIN_CLAMP_H
#define TRAIN_CLAMP_H

static inline float clamp(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

#endif
