#ifndef TRAIN_PROTECT_DELTA_FILE_H
#define TRAIN_PROTECT_DELTA_FILE_H
/*
 * delta_file: a perturbation that somebody published, or that we wrote: .safetensors, .pt, .npy or
 * .npz, n x H x W x C or n x C x H x W (n x H x W for grey), floats or whole numbers. What its
 * numbers mean is what the caller says, or is recognised; where that fails, STATUS_INVALID names the
 * option that is needed. Rows may be read from any thread.
 */
#include "protect/protect.h"

enum delta_units { DELTA_UNITS_AUTO, DELTA_UNIT, DELTA_BYTE }; /* of [0,1], or of 0..255 */
enum delta_layout { DELTA_LAYOUT_AUTO, DELTA_HWC, DELTA_CHW };
enum delta_sign {
    DELTA_SIGN_AUTO,
    DELTA_SIGNED,
    DELTA_UNSIGNED
}; /* zero change is 0, or mid-range */
enum delta_index { DELTA_INDEX_AUTO, DELTA_CLASS, DELTA_SAMPLE };

struct delta_file {
    struct nn_file *file;
    const struct nn_file_tensor *tensor;
    int n, height, width, channels; /* in blocks where patch > 1 */
    int patch;                      /* of a file that we wrote; otherwise 1 */
    bool ours;                      /* its metadata says that we wrote it */
    enum delta_units units;
    enum delta_layout layout;
    enum delta_sign sign;
    enum delta_index index;   /* AUTO unless its metadata says */
    double least, most, mean; /* of the numbers in the file */
};
/* name "": "delta", or the only tensor of three or four dimensions. units, layout and sign of d say
   what the caller knows; all but index are decided after. */
status delta_file_open(const char *path, const char *name, int channels, struct delta_file *d,
                       struct errmsg *e) MUST_USE;
void delta_file_close(struct delta_file *d);
/* Row i as (height,width,channels), for images in [0,1]. */
status delta_file_row(const struct delta_file *d, int i, float *out, struct errmsg *e) MUST_USE;

#endif
