#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H
/*
 * image: PNG, JPEG, WebP, BMP and TIFF files in and out at a size known in advance, GIF files in,
 * directory walks, ImageFolder trees, and the array files (IDX, CIFAR binary) that data sets are
 * published in.
 *
 * Invariants
 * - Pixels are 8-bit, interleaved, row-major, without padding: (H,W,C), C = 1 (grey) or 3 (RGB).
 *   Alpha is a plane of its own (H,W), never purified, carried as it is.
 * - image_info.encoded_size is a pure function of the file's header and size, and image_encode
 *   writes exactly that many bytes whatever the pixels are. It is never less than the file's size
 *   (the rest is padding, which the format's readers skip), so that the original fits into it, too.
 *   The pixels that are written do not depend on the padding. (Design, promise 2.)
 * - The encoders' output is a pure function of (pixels, alpha, kept metadata bytes): no time, no
 *   thread count, no library version that we know of changes it.
 * - What PIL or OpenCV read without an error is decoded, with the same pixels (of a damaged file,
 * too: wrong checksums, a missing end, bad codes). A file that ends before its image data does is
 * an error, never a partly grey image.
 *
 * What is kept, verbatim and up to max_metadata_bytes (what is more is left out, colour first):
 * - PNG iCCP, sRGB, gAMA, cHRM, eXIf when they stand before the image data;
 * - JPEG EXIF and XMP (APP1; not the extensions of XMP), and ICC (APP2, not from CMYK files: the
 *   output is RGB), before the first scan;
 * - WebP EXIF, XMP and ICC chunks that its header announces;
 * - TIFF orientation and ICC (not of inks).
 * Pixels are not turned and gamma is not applied, so that the kept EXIF and ICC stay true. Where a
 * PNG gives its orientation in another way (eXIf behind the image data, XMP, ImageMagick's "Raw
 * profile type exif"), the file that is written gives it in the same way, so that each reader turns
 * it as it turns the source; the size of every PNG that was probed includes space for that, since a
 * header does not say what follows the data.
 * What is not kept: text, thumbnails outside EXIF, bit depths other than 8 (of 16 bits the upper
 * ones are kept, palettes become RGB).
 *
 * What is written
 * - PNG: 8-bit grey, grey+alpha, RGB or RGBA, not interlaced, filter 0, deflate "stored" blocks.
 * Its size must be reachable for noise, so it has to be the stored size for every image;
 * compressing and padding to that same size would only make writing and reading slower.
 * - JPEG: baseline 4:4:4, standard Huffman tables, the highest quality <= 95 whose bytes fit a
 *   budget of 80 (colour) or 56 (grey) bytes per 8x8 block, then padded with COM segments.
 *   Quality 1 fits for any pixels (the proof is in jpeg_encode.c); photographs fit at 95.
 * - WebP: lossless (VP8L), every literal of eight bits, RGB or RGBA; padded with a JUNK chunk.
 *   Of an animation the first frame, on a canvas that is transparent (or black) around it.
 * - BMP: uncompressed, 8-bit grey, 24-bit, or 32-bit with masks that say alpha.
 * - TIFF: uncompressed, 8-bit grey, grey+alpha, RGB or RGBA; of several pages the first.
 * - GIF: not written, since 256 colours cannot hold purified pixels. The first frame is shown as a
 *   PNG, under the name it has: loaders (PIL, OpenCV, torchvision) go by the content, and file(1)
 *   says PNG. image_info.format is then not source_format.
 *
 * Threads: every call is reentrant; one object belongs to one thread at a time.
 * Blocking: image_probe_fd, image_load_at, walks, trees and arrays read files; the others compute.
 *
 *     struct image_limits lim = image_limits_default();
 *     struct image img;
 *     struct image_info info;
 *     st = image_probe_fd(fd, size, &lim, &info, &e);          // stat: info.encoded_size
 *     st = image_decode(data, len, &lim, &img, &info, &e);     // img: image_done
 *     ... change img.pixels ...
 *     meta = mem_alloc(info.metadata_bytes), out = mem_alloc(info.encoded_size);
 *     st = image_metadata(data, len, &info, &lim, meta, &e);
 *     st = image_encode(&img, &info, meta, info.metadata_bytes, out, info.encoded_size, &e);
 *     image_done(&img);
 */
#include "base/base.h"

#include <stdbool.h>

/* ---- pixels ---- */
struct image {
    int width, height;
    int channels;    /* 1 or 3 */
    uint8_t *pixels; /* (H,W,C), owned */
    uint8_t *alpha;  /* (H,W), owned; NULL when the image has none */
};

/* An empty image: nothing owned, image_done allowed. */
#define IMAGE_INIT                                                                                 \
    {                                                                                              \
        0, 0, 0, NULL, NULL                                                                        \
    }

/* Uninitialised pixels (and alpha). NOMEM; INVALID for sizes < 1 or channels other than 1 and 3;
   LIMIT for more than INT32_MAX samples. */
status image_alloc(int width, int height, int channels, bool alpha, struct image *out) MUST_USE;
status image_copy(const struct image *src, struct image *out) MUST_USE;
/* Frees what img owns and leaves an empty image. NULL allowed. */
void image_done(struct image *img);
__attribute__((unused)) static inline void image_donep(struct image *img)
{
    image_done(img);
}
size_t image_pixel_bytes(const struct image *img); /* H*W*C */

/* [0,255] -> [-1,1]: x/127.5 - 1. dst is (H,W,C) floats, n = H*W*C. */
void image_to_f32(const uint8_t *src, size_t n, float *dst);
/* The inverse: clipped to [-1,1], rounded half to even; NaN gives 0 (so that it is seen). */
void image_from_f32(const float *src, size_t n, uint8_t *dst);
/* ITU-R 601 luma in 16-bit fixed point, as PIL's convert("L"). dst (H,W) may be src (H,W,3). */
void image_rgb_to_grey(const uint8_t *src, size_t pixels, uint8_t *dst);
/* (H,W) -> (H,W,3); the buffers must not overlap. */
void image_grey_to_rgb(const uint8_t *src, size_t pixels, uint8_t *dst);

/* What is left of the pixels after saving them as a JPEG of this quality (1..100) and reading that
   again, the pixels that PIL's save and open give. out is (H,W,C), not img's pixels. NOMEM; INVALID
   for another quality. */
status image_jpeg_round_trip(const struct image *img, int quality, uint8_t *out,
                             struct errmsg *e) MUST_USE;
/* The same of rows y to y + rows - 1 alone: what the whole image's round trip gives there, at the
   cost of these rows and 16 to 31 more on either side. */
status image_jpeg_round_trip_rows(const struct image *img, int quality, int y, int rows,
                                  uint8_t *out, struct errmsg *e) MUST_USE;

/* ---- files ---- */
enum image_format {
    IMAGE_PNG,
    IMAGE_JPEG,
    IMAGE_WEBP,
    IMAGE_BMP,
    IMAGE_TIFF,
    IMAGE_GIF,
    IMAGE_FORMAT_COUNT
};

/* "PNG", "JPEG", "WebP" …; "?" outside the enum. */
const char *image_format_name(enum image_format format);

struct image_limits {
    uint64_t max_pixels;         /* width * height */
    uint64_t max_file_bytes;     /* the encoded source */
    uint64_t max_metadata_bytes; /* what is kept of EXIF, XMP and ICC; the rest is left out */
};
/* 64 Mi pixels, 256 MiB, 16 MiB. */
struct image_limits image_limits_default(void);

struct image_info {
    enum image_format format; /* of what is written; the source's unless that is not written */
    enum image_format source_format; /* of what was read */
    int width, height;
    int channels;    /* 1 or 3: of the decoded pixels and of the encoded file */
    bool has_alpha;  /* an alpha channel, or a colour that is transparent */
    int source_bits; /* per sample: 1, 2, 4, 8, 16 */
    /* A palette without transparency, or fewer than 8 bits per sample: likely no photograph but a
       mask, whose values have a meaning of their own. */
    bool is_label;
    int orientation;       /* EXIF 1..8; 1 when the file says nothing */
    size_t header_bytes;   /* leading bytes of the file that image_probe needs to see */
    size_t metadata_bytes; /* what image_metadata gives and image_encode wants */
    uint64_t file_size;    /* of the file that was probed; 0 for a new one */
    uint64_t encoded_size; /* bytes that image_encode will write */
};

/*
 * Reads the header of a file of file_size bytes, of which data is the whole or a prefix that
 * reaches the image data (header_bytes of it).
 * UNSUPPORTED: of no format that is read, or of a kind of it that is not (12-bit JPEG, floating
 * point TIFF).
 * CORRUPT: damaged or cut within the header. LIMIT: over one of the limits.
 */
status image_probe(const void *data, size_t len, uint64_t file_size, const struct image_limits *lim,
                   struct image_info *out_info, struct errmsg *e) MUST_USE;
/* The same through preads of a few KiB (segments that are not needed are skipped, the file offset
   is not used). file_size is the caller's fstat. Also IO. */
status image_probe_fd(int fd, uint64_t file_size, const struct image_limits *lim,
                      struct image_info *out_info, struct errmsg *e) MUST_USE;

/* The whole file to 8-bit pixels. out_info (NULL allowed) is what image_probe says of the same
   bytes. As image_probe, and NOMEM; CORRUPT also for damage in the image data. */
status image_decode(const void *data, size_t len, const struct image_limits *lim,
                    struct image *out_img, struct image_info *out_info, struct errmsg *e) MUST_USE;

/* Opens (relative to dirfd, or AT_FDCWD), reads and decodes. Also IO, NOT_FOUND, DENIED. */
status image_load_at(int dirfd, const char *path, const struct image_limits *lim,
                     struct image *out_img, struct image_info *out_info, struct errmsg *e) MUST_USE;

/* The info of a new file without metadata, for image_encode of pixels that came from no file.
   INVALID: alpha in a JPEG, a size the format cannot hold. */
status image_info_new(enum image_format format, const struct image *img,
                      struct image_info *out_info, struct errmsg *e) MUST_USE;

/*
 * The kept metadata of the whole file that info was probed from, within the same limits, for
 * image_encode: writes info->metadata_bytes bytes to out. Of a PNG, the heads of all chunks are
 * looked at (one pread for each few KiB of the file); of a JPEG, the header. AGAIN: it is no longer
 * the file that was probed. IO, NOMEM.
 */
status image_metadata(const void *data, size_t len, const struct image_info *info,
                      const struct image_limits *lim, void *out, struct errmsg *e) MUST_USE;
status image_metadata_fd(int fd, const struct image_info *info, const struct image_limits *lim,
                         void *out, struct errmsg *e) MUST_USE;

/*
 * Writes exactly info->encoded_size bytes to out (out_len must say the same number), in
 * info->format. metadata: the info->metadata_bytes bytes that image_metadata gave; NULL, 0 when
 * there are none. INVALID: img, info or a length contradict each other. NOMEM (JPEG). Out is
 * undefined after a failure.
 */
status image_encode(const struct image *img, const struct image_info *info, const void *metadata,
                    size_t metadata_len, void *out, size_t out_len, struct errmsg *e) MUST_USE;

/* As many of a file's first bytes as the two calls below look at; fewer where the file is shorter.
 */
enum { IMAGE_SNIFF_BYTES = 512 };

/* The format that the first bytes claim, whether or not the rest is sound; IMAGE_FORMAT_COUNT when
   it is none that we read. */
enum image_format image_sniff(const void *head, size_t len);

/*
 * What kind of file it is when it holds one or more images in a form that is not purified: "an AVIF
 * image", "a NumPy array", "a zip archive"; NULL for anything else (texts, tables, drawings,
 * unknown bytes) and for what image_sniff knows. name (NULL allowed; a path will do) decides where
 * a format has no signature. A static string.
 */
const char *image_kind_of_unsupported(const void *head, size_t len, const char *name);

/* True for the names torchvision's ImageFolder takes: .jpg .jpeg .png .ppm .bmp .pgm .tif .tiff
   .webp, in any case. (Of these .ppm and .pgm are not decoded.) */
bool image_name_is_image(const char *name);

/* ---- directory walk ---- */
enum image_entry_kind {
    IMAGE_ENTRY_FILE, /* regular */
    IMAGE_ENTRY_DIR,
    IMAGE_ENTRY_SYMLINK,
    IMAGE_ENTRY_OTHER, /* device, socket, fifo */
    IMAGE_ENTRY_ERROR, /* an entry or directory that could not be read: `error` says why */
    IMAGE_ENTRY_KIND_COUNT
};

struct image_entry {
    enum image_entry_kind kind;
    const char *path; /* relative to the root, "a/b.png", of any length; lives until the callback
                         returns */
    const char *name; /* its last component */
    int dirfd;        /* the directory that holds name, for openat; the walk closes it. -1 in the
                         error of a directory that was moved away while it was walked */
    status error;     /* STATUS_OK unless kind is IMAGE_ENTRY_ERROR */
    bool linked;      /* reached through a symbolic link of this name; of an error with LIMIT: a
                         directory that is being walked, come back to by links */
    bool *descend;    /* IMAGE_ENTRY_DIR: true; set to false, the directory is not entered */
};

struct image_walk_opts {
    bool follow_symlinks; /* links are reported as what they point to and directories are entered;
                             a link to a directory that is being walked is an IMAGE_ENTRY_ERROR */
    /* (optional; none) The same for one link: kind is IMAGE_ENTRY_SYMLINK, arg the walk's. */
    bool (*follow)(const struct image_entry *link, void *arg);
};

/* Called once per entry, a directory before what it holds. A status other than OK ends the walk
   with that status; CANCELLED is the usual one. */
typedef status image_walk_fn(const struct image_entry *entry, void *arg);

/*
 * Every entry below root (not root itself), in the order of the names' bytes within each directory,
 * as deep as the file system goes. Open descriptors: some forty, whatever the depth. Errors at the
 * root itself are returned.
 */
status image_walk(const char *root, const struct image_walk_opts *opts, image_walk_fn *fn,
                  void *arg, struct errmsg *e) MUST_USE;

/* ---- ImageFolder ---- */
struct image_tree_file {
    char *path; /* relative to the root: "class/sub/x.png" */
    int class_index;
};

/* Owned by the tree; read-only after loading, so any thread may read it. */
struct image_tree {
    char *root;
    char **classes; /* [n_classes], sorted by bytes */
    size_t n_classes;
    struct image_tree_file *files; /* [n_files], in ImageFolder's order */
    size_t n_files;
};

#define IMAGE_TREE_INIT                                                                            \
    {                                                                                              \
        NULL, NULL, 0, NULL, 0                                                                     \
    }

/*
 * torchvision's ImageFolder: classes are the subdirectories of root, files the image names below
 * them (links followed), ordered by class, directory, name. NOT_FOUND: no root, no class, or a
 * class without images, each named in e. CANCELLED: stop_requested().
 */
status image_tree_load(const char *root, struct image_tree *out_tree, struct errmsg *e) MUST_USE;
void image_tree_done(struct image_tree *tree);
__attribute__((unused)) static inline void image_tree_donep(struct image_tree *tree)
{
    image_tree_done(tree);
}

/* ---- array files ---- */
enum image_array_format {
    IMAGE_ARRAY_IDX,     /* MNIST's: (N,H,W) or (N,H,W,C) of uint8, labels in a second file */
    IMAGE_ARRAY_CIFAR10, /* images in planes R, G, B with a label each; binary or a Python pickle */
    IMAGE_ARRAY_CIFAR100, /* the same with a coarse and a fine label */
    IMAGE_ARRAY_FORMAT_COUNT
};

/* Of a tar archive of CIFAR batches. */
enum image_array_part {
    IMAGE_ARRAY_ALL,   /* the whole of a file; of an archive, the training images */
    IMAGE_ARRAY_TRAIN, /* data_batch_N in order, or train */
    IMAGE_ARRAY_TEST,  /* test_batch, or test */
    IMAGE_ARRAY_PART_COUNT
};

struct image_array; /* read-only after opening; any thread may read it */

/*
 * Reads an array file whole, plain or gzip, or one part of a tar archive of them (of which nothing
 * else is kept, and nothing is written). The format is told by the content. labels_path: the IDX
 * label file, or NULL for none (CIFAR files hold their labels; giving one is INVALID, as a part of a
 * single file is).
 * UNSUPPORTED: none of the formats, or a pickle that wants more than arrays, which is named.
 * CORRUPT: sizes that contradict the file or each other. LIMIT: more than 2 GiB, decompressed.
 * CANCELLED: stop_requested().
 */
status image_array_open(const char *path, const char *labels_path, enum image_array_part part,
                        struct image_array **out_array, struct errmsg *e) MUST_USE;
void image_array_close(struct image_array *a); /* NULL allowed */
DEFINE_FREEP(struct image_array *, image_array_close)

enum image_array_format image_array_format(const struct image_array *a);
size_t image_array_count(const struct image_array *a);
int image_array_width(const struct image_array *a);
int image_array_height(const struct image_array *a);
int image_array_channels(const struct image_array *a); /* 1 or 3 */
bool image_array_has_labels(const struct image_array *a);
/* Label of image i < count (CIFAR-100: the fine one); -1 without labels. */
int image_array_label(const struct image_array *a, size_t i);
int image_array_coarse_label(const struct image_array *a, size_t i); /* -1: has none */
/* A new image (H,W,C), for image_done. INVALID for i >= count. */
status image_array_get(const struct image_array *a, size_t i, struct image *out_img) MUST_USE;

/* ---- files of many images ---- */
/*
 * A file that holds images of one shape, not encoded, at regular places: a numpy array (.npy).
 * Where the pixels of an image stand, those of another of its shape fit: a view of such a file has
 * the size and the other bytes of the file.
 *
 * Read as images are 8-bit arrays of four axes, (N,H,W,C) or (N,C,H,W) with C = 1 or 3 and sides of
 * IMAGE_LIST_SIDE_MIN at least, in C order, and nothing behind them.
 */
enum { IMAGE_LIST_SIDE_MIN = 8 };
struct image_list {
    uint64_t count; /* of images; 0: none, and the rest means nothing */
    uint64_t first; /* where image 0 begins, in bytes from the file's beginning */
    uint64_t step;  /* from the beginning of one to that of the next; at least `bytes` */
    uint64_t bytes; /* of one: width * height * channels */
    int width, height, channels;
    bool planar; /* (C,H,W), else (H,W,C) */
};
/*
 * NOT_FOUND: no such file. OK with count 0: one that holds no images, but labels (at most one axis
 * is longer than 1). UNSUPPORTED, CORRUPT, LIMIT: one that may hold images and is not read; e says
 * why, in few words. IO. Some hundred bytes are read.
 */
status image_list_probe_fd(int fd, uint64_t file_size, const struct image_limits *lim,
                           struct image_list *out, struct errmsg *e) MUST_USE;
/* Where image i begins, in bytes from the file's beginning. */
static inline uint64_t image_list_at(const struct image_list *l, uint64_t i)
{
    return l->first + i * l->step;
}
bool image_list_equal(const struct image_list *a, const struct image_list *b);
/* The first image that ends behind offset `at`; count when there is none. */
uint64_t image_list_find(const struct image_list *l, uint64_t at);
/* Bytes that are of no image: the first such at or behind *io_at, up to *out_end. False: there are
   none before `end`, behind which nothing is looked for. */
bool image_list_gap(const struct image_list *l, uint64_t end, uint64_t *io_at, uint64_t *out_end);
/* What is true of each of its images: shape, encoded_size = bytes, no metadata. The formats mean
   nothing. */
struct image_info image_list_info(const struct image_list *l);
/* bytes: l->bytes of them, one image as it stands in the file. img: NOMEM. */
status image_list_decode(const struct image_list *l, const void *bytes,
                         struct image *out_img) MUST_USE;
/* The inverse. pixels: (H,W,C). */
void image_list_encode(const struct image_list *l, const uint8_t *pixels, void *out);

#endif
