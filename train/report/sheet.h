#ifndef TRAIN_REPORT_SHEET_H
#define TRAIN_REPORT_SHEET_H
/*
 * sheet: the same few images clean, protected and purified, what was added to them and what is left
 * of it, and how near they are. One column per image, the first of each class in turn, each shown
 * about 64 px large; the three trees must hold the same paths up to the extension, and images of
 * the same sizes.
 */
#include "train.h"

enum train_sheet_row {
    TRAIN_SHEET_CLEAN,
    TRAIN_SHEET_PROTECTED,
    TRAIN_SHEET_PURIFIED,
    TRAIN_SHEET_ADDED, /* 8 x (protected - clean) around grey */
    TRAIN_SHEET_LEFT,  /* 8 x (purified - clean) around grey */
    TRAIN_SHEET_ROWS
};
/* Of a row against the clean one, over its images as they are stored: PSNR of the mean squared
   error, the others the mean. NAN: not known. */
struct train_nearness {
    double psnr_db, ssim, lpips;
};
struct train_sheet {
    int columns;
    char distance[32]; /* what lpips is of: "lpips-alexnet"; "": nothing */
    struct buf png[TRAIN_SHEET_ROWS];
    struct train_nearness near[TRAIN_SHEET_ROWS]; /* of PROTECTED and PURIFIED */
};
/* columns 0: 10. lpips_file NULL: that is not measured. Call train_sheet_done also on failure. */
status train_sheet_make(const struct train_report_sheet *trees, int columns, const char *lpips_file,
                        struct train_sheet *out, struct errmsg *e) MUST_USE;
void train_sheet_done(struct train_sheet *s);

#endif
