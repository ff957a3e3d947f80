/* libjpeg's error manager: a jump and a message instead of output and exit(). */
#include "jpeg_format.h"

#include <jerror.h>

static void on_exit_call(j_common_ptr cinfo)
{
    struct jpeg_trap *t = (struct jpeg_trap *)cinfo->err;
    t->nomem = t->mgr.msg_code == JERR_OUT_OF_MEMORY;
    t->mgr.format_message(cinfo, t->text);
    longjmp(t->jump, 1);
}

/*
 * Whether the data that the file lacks is image data, told when libjpeg meets the end and makes up
 * an end mark. Huffman codes say so with a warning when they need bits that are not there. In
 * arithmetic coding zeros at the end may have been left out, so all that can be told is whether the
 * end comes before the last row of blocks.
 */
static bool cut_short(const struct jpeg_decompress_struct *d)
{
    return d->arith_code && d->input_iMCU_row + 1 < d->total_iMCU_rows;
}

/* Warnings are about damage that PIL and OpenCV show as libjpeg does, without an error; but a file
   that ends before its image does is refused, as PIL refuses it. */
static void on_message(j_common_ptr cinfo, int level)
{
    struct jpeg_trap *t = (struct jpeg_trap *)cinfo->err;
    if (level >= 0 || !cinfo->is_decompressor)
        return;
    bool end = cinfo->err->msg_code == JWRN_JPEG_EOF;
    if ((end && cut_short((j_decompress_ptr)cinfo)) ||
        (t->at_end && cinfo->err->msg_code == JWRN_HIT_MARKER)) {
        snprintf(t->text, sizeof t->text, "the image data is cut short");
        longjmp(t->jump, 1);
    }
    t->at_end |= end;
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo;
}

struct jpeg_error_mgr *image_jpeg_trap_init(struct jpeg_trap *t)
{
    jpeg_std_error(&t->mgr);
    t->mgr.error_exit = on_exit_call;
    t->mgr.emit_message = on_message;
    t->mgr.output_message = on_output;
    t->nomem = t->at_end = false;
    t->text[0] = 0;
    return &t->mgr;
}

bool image_jpeg_try(struct jpeg_trap *t, void (*fn)(void *arg), void *arg)
{
    if (setjmp(t->jump)) /* the jump comes to this frame, which has no locals to lose */
        return false;
    fn(arg);
    return true;
}

status image_jpeg_trap_status(const struct jpeg_trap *t, struct errmsg *e)
{
    return errmsg_set(e, t->nomem ? STATUS_NOMEM : STATUS_CORRUPT, "JPEG: %s", t->text);
}
