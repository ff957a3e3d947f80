/* The file as libtiff sees it: bytes in memory, messages kept, memory bounded. */
#include "tiff_job.h"

#include <assert.h>
#include <string.h>

static_assert(TIFFLIB_VERSION >= 20221213, "libtiff 4.5: limits and messages of each file alone");

static tmsize_t on_read(thandle_t handle, void *to, tmsize_t n)
{
    struct tiff_job *job = (struct tiff_job *)handle;
    if (n <= 0 || job->at >= job->len)
        return 0;
    uint64_t left = job->len - job->at;
    size_t take = (uint64_t)n < left ? (size_t)n : (size_t)left;
    memcpy(to, job->data + job->at, take);
    job->at += take;
    return (tmsize_t)take;
}

static tmsize_t on_write(thandle_t handle, void *from, tmsize_t n)
{
    (void)handle;
    (void)from;
    (void)n;
    return -1;
}

static toff_t on_seek(thandle_t handle, toff_t to, int whence)
{
    struct tiff_job *job = (struct tiff_job *)handle;
    job->at = whence == SEEK_SET ? to : whence == SEEK_CUR ? job->at + to : job->len + to;
    return job->at;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    return ((struct tiff_job *)handle)->len;
}

/* Returning 1 keeps libtiff from printing. */
static int on_error(TIFF *tif, void *arg, const char *module, const char *format, va_list args)
{
    struct tiff_job *job = arg;
    (void)tif;
    (void)module;
    if (!job->error[0])
        vsnprintf(job->error, sizeof job->error, format, args);
    return 1;
}

static int on_warning(TIFF *tif, void *arg, const char *module, const char *format, va_list args)
{
    (void)tif;
    (void)arg;
    (void)module;
    (void)format;
    (void)args;
    return 1;
}

tmsize_t tiff_most_memory(const struct tiff_job *job)
{
    uint64_t samples = (uint64_t)job->l->width * job->l->height * 8;
    uint64_t most = samples > job->len ? samples : job->len;
    return (tmsize_t)(most + (64 << 20));
}

TIFF *tiff_file_open(struct tiff_job *job)
{
    TIFFOpenOptions *o = TIFFOpenOptionsAlloc();
    if (!o)
        return NULL;
    TIFFOpenOptionsSetMaxSingleMemAlloc(o, tiff_most_memory(job));
    TIFFOpenOptionsSetErrorHandlerExtR(o, on_error, job);
    TIFFOpenOptionsSetWarningHandlerExtR(o, on_warning, job);
    TIFF *tif = TIFFClientOpenExt("image", "rm", job, on_read, on_write, on_seek, on_close, on_size,
                                  NULL, NULL, o);
    TIFFOpenOptionsFree(o);
    return tif;
}
