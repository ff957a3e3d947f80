/*
 * What kind of file it is that we do not purify: by its first bytes, or by its name where a format
 * has no signature. It recognises formats that hold pixels, which a mount would otherwise pass
 * through unpurified without saying so. Texts, tables and drawings are not recognised, nor anything
 * that could only be guessed.
 */
#include "image.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct sniffed {
    const uint8_t *head;
    size_t len;
    const char *name; /* the last component; "" when unknown */
};

static bool has(const struct sniffed *s, size_t off, const char *bytes, size_t n)
{
    return off + n <= s->len && memcmp(s->head + off, bytes, n) == 0;
}

static bool ends_in(const char *name, const char *extension)
{
    size_t len = strlen(name), n = strlen(extension);
    return len >= n && strcasecmp(name + len - n, extension) == 0;
}

static bool ends_in_any(const char *name, const char *const *extensions)
{
    for (; *extensions; extensions++)
        if (ends_in(name, *extensions))
            return true;
    return false;
}

/* ---- signatures ---- */

struct signature {
    const char *kind;
    size_t off, len;
    const char *bytes;
};

#define AT(off_, bytes_) (off_), sizeof(bytes_) - 1, bytes_

static const struct signature signatures[] = {
    /* images */
    {"a JPEG 2000 image", AT(0, "\0\0\0\x0cjP  \r\n\x87\n")},
    {"a JPEG 2000 image", AT(0, "\xff\x4f\xff\x51")},
    {"a JPEG XL image", AT(0, "\0\0\0\x0cJXL \r\n\x87\n")},
    {"a JPEG XL image", AT(0, "\xff\x0a")},
    {"a JPEG XR image", AT(0, "II\xbc\x01")},
    {"a BigTIFF image", AT(0, "II\x2b\0\x08\0\0\0")},
    {"a BigTIFF image", AT(0, "MM\0\x2b\0\x08\0\0")},
    {"a camera's raw file", AT(8, "CR\x02\0")},
    {"an OpenEXR image", AT(0, "\x76\x2f\x31\x01")},
    {"a Radiance image", AT(0, "#?RADIANCE")},
    {"a Radiance image", AT(0, "#?RGBE")},
    {"a Photoshop image", AT(0, "8BPS\0\x01")},
    {"a Photoshop image", AT(0, "8BPS\0\x02")},
    {"a GIMP image", AT(0, "gimp xcf")},
    {"a QOI image", AT(0, "qoif")},
    {"a FLIF image", AT(0, "FLIF")},
    {"a BPG image", AT(0, "BPG\xfb")},
    {"a DDS image", AT(0, "DDS \x7c\0\0\0")},
    {"a KTX image", AT(0, "\xabKTX ")},
    {"a DPX image", AT(0, "SDPX\0")},
    {"a DPX image", AT(0, "XPDS")},
    {"a farbfeld image", AT(0, "farbfeld")},
    {"a Sun raster image", AT(0, "\x59\xa6\x6a\x95")},
    {"an SGI image", AT(0, "\x01\xda\0\x01")},
    {"an SGI image", AT(0, "\x01\xda\x01\x01")},
    {"an MNG animation", AT(0, "\x8aMNG\r\n\x1a\n")},
    {"a JNG image", AT(0, "\x8bJNG\r\n\x1a\n")},
    {"a DjVu image", AT(0, "AT&TFORM")},
    {"a FITS image", AT(0, "SIMPLE  =")},
    {"a DICOM image", AT(128, "DICM")},
    {"a NIfTI image", AT(344, "n+1\0")},
    {"a NIfTI image", AT(4, "n+2\0\r\n\x1a\n")},
    {"an NRRD image", AT(0, "NRRD000")},
    /* films */
    {"a video", AT(0, "\x1a\x45\xdf\xa3")},
    {"a video", AT(8, "AVI LIST")},
    {"a video", AT(0, "\0\0\x01\xba")},
    {"a video", AT(0, "\0\0\x01\xb3")},
    {"a video", AT(0, "FLV\x01")},
    /* arrays and tables that hold images */
    {"a NumPy array", AT(0, "\x93NUMPY")},
    {"an HDF5 file", AT(0, "\x89HDF\r\n\x1a\n")},
    {"a NetCDF file", AT(0, "CDF\x01")},
    {"a NetCDF file", AT(0, "CDF\x02")},
    {"a Parquet file", AT(0, "PAR1")},
    {"an Arrow file", AT(0, "ARROW1\0\0")},
    {"an Arrow file", AT(0, "FEA1")},
    {"an LMDB database", AT(16, "\xde\xc0\xef\xbe")},
    {"an MXNet RecordIO file", AT(0, "\x0a\x23\xd7\xce")},
    /* archives */
    {"a tar archive", AT(257, "ustar")},
    {"a 7-Zip archive", AT(0, "7z\xbc\xaf\x27\x1c")},
    {"a RAR archive", AT(0, "Rar!\x1a\x07")},
    {"a squashfs image of folders", AT(0, "hsqs")},
};

static const char *by_signature(const struct sniffed *s)
{
    for (size_t i = 0; i < ARRAY_LEN(signatures); i++)
        if (has(s, signatures[i].off, signatures[i].bytes, signatures[i].len))
            return signatures[i].kind;
    return NULL;
}

/* ---- what takes more than a fixed string ---- */

static uint32_t get_le16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t get_le32(const uint8_t *p)
{
    return get_le16(p + 2) << 16 | get_le16(p);
}

/* The family of MP4: the brand says which. */
static const char *iso_media(const struct sniffed *s)
{
    static const char *const avif[] = {"avif", "avis"};
    static const char *const heif[] = {"heic", "heix", "heim", "heis",
                                       "hevc", "hevx", "mif1", "msf1"};
    if (!has(s, 4, "ftyp", 4) || s->len < 12)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(avif); i++)
        if (has(s, 8, avif[i], 4))
            return "an AVIF image";
    for (size_t i = 0; i < ARRAY_LEN(heif); i++)
        if (has(s, 8, heif[i], 4))
            return "a HEIF image";
    return "a video";
}

/* "P6 640 480": the number behind the letter and the width are of digits. Not "P1 is ...". */
static const char *pnm(const struct sniffed *s)
{
    if (s->len < 8 || s->head[0] != 'P')
        return NULL;
    uint8_t kind = s->head[1];
    if (has(s, 1, "7\n", 2) || has(s, 1, "F\n", 2) || has(s, 1, "f\n", 2))
        return "a PNM image";
    if (kind < '1' || kind > '6' || !isspace(s->head[2]))
        return NULL;
    for (size_t i = 3; i < s->len; i++) {
        if (s->head[i] == '#') /* a comment, to the end of the line */
            return "a PNM image";
        if (!isspace(s->head[i]))
            return isdigit(s->head[i]) ? "a PNM image" : NULL;
    }
    return NULL;
}

/* Four bytes are not enough to recognise a TIFF: the first entry of its directory must be valid,
   too. */
static const char *icon(const struct sniffed *s)
{
    if (s->len < 22 || (!has(s, 0, "\0\0\x01\0", 4) && !has(s, 0, "\0\0\x02\0", 4)))
        return NULL;
    uint32_t n = get_le16(s->head + 4), bytes = get_le32(s->head + 14), at = get_le32(s->head + 18);
    bool sound = n >= 1 && n <= 256 && s->head[9] == 0 && bytes >= 40 && at >= 6 + 16 * n;
    return sound ? "an icon" : NULL;
}

/* MNIST's: two zero bytes, unsigned bytes, three or four sizes. One size is a file of labels. */
static const char *idx(const struct sniffed *s)
{
    return has(s, 0, "\0\0\x08\x03", 4) || has(s, 0, "\0\0\x08\x04", 4) ? "an IDX array" : NULL;
}

/* PROTO, and an opcode that a pickle begins with. */
static const char *pickle(const struct sniffed *s)
{
    static const char first[] = "}](c)X\x8aKNJMCGVUT\x8c\x95\x96\x8f\x91";
    if (s->len < 4 || s->head[0] != 0x80 || s->head[1] < 2 || s->head[1] > 5)
        return NULL;
    return memchr(first, s->head[2], sizeof first - 1) ? "a pickle" : NULL;
}

/* PyTorch's files are zips, and so are NumPy's archives; documents and programs are, too. */
static const char *zip(const struct sniffed *s)
{
    static const char *const others[] = {".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp",
                                         ".jar",  ".whl",  ".egg",  ".apk", NULL};
    if (!has(s, 0, "PK\3\4", 4) && !has(s, 0, "PK\5\6", 4) && !has(s, 0, "PK\7\x08", 4))
        return NULL;
    if (ends_in_any(s->name, others))
        return NULL;
    if (ends_in(s->name, ".npz"))
        return "a NumPy archive";
    if (ends_in(s->name, ".pt") || ends_in(s->name, ".pth"))
        return "a PyTorch file";
    return "a zip archive";
}

/* One compressed stream; what its name says to be text is no image. */
static const char *compressed(const struct sniffed *s)
{
    static const char *const packers[] = {".gz", ".bz2", ".xz", ".zst", ".lz4"};
    static const char *const texts[] = {".txt", ".csv",  ".tsv", ".json", ".jsonl", ".xml",
                                        ".log", ".yaml", ".md",  ".html", ".svg",   NULL};
    bool found = has(s, 0, "\x1f\x8b\x08", 3) || has(s, 0, "\xfd\x37zXZ\0", 6) ||
                 has(s, 0, "\x28\xb5\x2f\xfd", 4) || has(s, 0, "\x04\x22\x4d\x18", 4) ||
                 (has(s, 0, "BZh", 3) && has(s, 4, "\x31\x41\x59\x26\x53\x59", 6));
    if (!found)
        return NULL;
    char inner[256];
    size_t len = strlen(s->name);
    for (size_t i = 0; i < ARRAY_LEN(packers); i++) {
        if (!ends_in(s->name, packers[i]) || len >= sizeof inner)
            continue;
        memcpy(inner, s->name, len);
        inner[len - strlen(packers[i])] = 0;
        if (ends_in_any(inner, texts))
            return NULL;
        if (ends_in(inner, ".tar"))
            return "a tar archive";
    }
    return "a compressed file";
}

static uint32_t crc32c(const uint8_t *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* It begins with a record's length (8) and that length's masked CRC-32C. Only zeros match by
   chance. Shards are often named "train-00000-of-01024". */
static const char *tfrecord(const struct sniffed *s)
{
    if (s->len < 12)
        return NULL;
    uint32_t crc = crc32c(s->head, 8);
    return (crc >> 15 | crc << 17) + 0xa282ead8u == get_le32(s->head + 8) ? "a TFRecord file"
                                                                          : NULL;
}

/* Formats without a signature (or with one that is too short), for which the name stands in. */
static const char *by_name(const struct sniffed *s)
{
    static const struct {
        const char *extension, *kind;
    } names[] = {
        {".tga", "a TGA image"},
        {".vda", "a TGA image"},
        {".icb", "a TGA image"},
        {".vst", "a TGA image"},
        {".pcx", "a PCX image"},
        {".ppm", "a PNM image"},
        {".pgm", "a PNM image"},
        {".pbm", "a PNM image"},
        {".pfm", "a PNM image"},
        {".jxl", "a JPEG XL image"},
        {".tfrecord", "a TFRecord file"},
        {".tfrecords", "a TFRecord file"},
        {".pkl", "a pickle"},
        {".pickle", "a pickle"},
        {".tar", "a tar archive"},
        {".beton", "an FFCV file"},
        {".mdb", "an LMDB database"},
        {".lmdb", "an LMDB database"},
        {".h5", "an HDF5 file"},
        {".hdf5", "an HDF5 file"},
    };
    if (!s->len) /* an empty file holds nothing */
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (ends_in(s->name, names[i].extension))
            return names[i].kind;
    if (strncmp(s->name, "data_batch_", 11) == 0 || strcmp(s->name, "test_batch.bin") == 0)
        return ends_in(s->name, ".bin") ? "a CIFAR array" : NULL;
    return NULL;
}

const char *image_kind_of_unsupported(const void *head, size_t len, const char *name)
{
    static const char *(*const tests[])(const struct sniffed *) = {
        by_signature, iso_media, pnm, icon, idx, pickle, zip, compressed, tfrecord, by_name,
    };
    const char *slash = name ? strrchr(name, '/') : NULL;
    struct sniffed s = {head, len, slash ? slash + 1 : name ? name : ""};
    if (image_sniff(head, len) != IMAGE_FORMAT_COUNT)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        const char *kind = tests[i](&s);
        if (kind)
            return kind;
    }
    return NULL;
}
