/* libjpeg's error manager: no output, no exit, a jump and a text instead. */
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
 * Warnings after which the pixels may still be those that were stored: stray bytes between markers
 * and oddities of APP segments. All others say that image data is missing or wrong.
 */
static bool harmless(int code)
{
    return code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_BOGUS_ICC ||
           code == JWRN_ADOBE_XFORM;
}

static void on_message(j_common_ptr cinfo, int level)
{
    if (level < 0 && !harmless(cinfo->err->msg_code))
        on_exit_call(cinfo);
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
    t->nomem = false;
    t->text[0] = 0;
    return &t->mgr;
}

status image_jpeg_trap_status(const struct jpeg_trap *t, struct errmsg *e)
{
    return errmsg_set(e, t->nomem ? STATUS_NOMEM : STATUS_CORRUPT, "JPEG: %s", t->text);
}
