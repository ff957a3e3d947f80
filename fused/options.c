#include "options.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "base/banned.h"

/* Names are believed this long while changes are watched: an hour costs nothing and bounds what
 * lost events may do. */
static const double default_timeout = 3600;

/* What fstab lines carry that is mount(8)'s or the kernel's business, or the case anyway. */
static const char *const ignored[] = {
    "defaults",      "ro",       "rw",         "auto",     "noauto",     "user",
    "nouser",        "users",    "owner",      "group",    "nofail",     "_netdev",
    "x-*",           "X-*",      "comment=*",  "exec",     "suid",       "nosuid",
    "dev",           "nodev",    "sync",       "async",    "dirsync",    "atime",
    "noatime",       "diratime", "nodiratime", "relatime", "norelatime", "strictatime",
    "nostrictatime", "lazytime", "nolazytime", "silent",   "loud",       "default_permissions",
    "sloppy",
};

static bool is_ignored(const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        if (fnmatch(ignored[i], word, 0) == 0)
            return true;
    return false;
}

static status take_string(char **to, const char *value)
{
    char *copy = mem_strdup(value);
    if (!copy)
        return STATUS_NOMEM;
    mem_free(*to);
    *to = copy;
    return STATUS_OK;
}

static status take_size(uint64_t *to, const char *value)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    const char *unit = *end ? strchr(units, *end & ~0x20) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (end == value || errno || *value == '-' || (*end && (!unit || end[1])) ||
        v > UINT64_MAX >> shift)
        return STATUS_INVALID;
    *to = v << shift;
    return STATUS_OK;
}

static status take_number(double *to, const char *value, double max)
{
    char *end;
    double v = strtod(value, &end);
    if (end == value || *end || !(v >= 0 && v <= max))
        return STATUS_INVALID;
    *to = v;
    return STATUS_OK;
}

enum value_kind { FLAG_ON, FLAG_OFF, TEXT, SIZE, COUNT, SECONDS };

struct option_row {
    const char *name;
    enum value_kind kind;
    void *value;
};

static status take_value(const struct option_row *row, const char *value)
{
    double number;
    status st;
    switch (row->kind) {
    case FLAG_ON:
    case FLAG_OFF:
        *(bool *)row->value = row->kind == FLAG_ON;
        return value ? STATUS_INVALID : STATUS_OK;
    case TEXT:
        return value && *value ? take_string(row->value, value) : STATUS_INVALID;
    case SIZE:
        return value ? take_size(row->value, value) : STATUS_INVALID;
    case COUNT:
        st = value ? take_number(&number, value, 1024) : STATUS_INVALID;
        if (!st)
            *(int *)row->value = (int)number;
        return st;
    case SECONDS:
        return value ? take_number(row->value, value, 1e8) : STATUS_INVALID;
    }
    return STATUS_INTERNAL;
}

static status take_word(struct daemon_options *o, char *word, struct errmsg *e)
{
    const struct option_row rows[] = {
        {"profile", TEXT, &o->profile},        {"cache", TEXT, &o->cache_dir},
        {"cache_size", SIZE, &o->cache_bytes}, {"memory", SIZE, &o->encoded_bytes},
        {"threads", COUNT, &o->threads},       {"timeout", SECONDS, &o->timeout},
        {"log", TEXT, &o->log_path},           {"sweep", FLAG_ON, &o->sweep},
        {"nosweep", FLAG_OFF, &o->sweep},      {"watch", FLAG_ON, &o->watch},
        {"nowatch", FLAG_OFF, &o->watch},      {"allow_other", FLAG_ON, &o->allow_other},
        {"noexec", FLAG_ON, &o->noexec},       {"debug", FLAG_ON, &o->debug},
        {"frozen", FLAG_ON, &o->frozen},
    };
    if (!*word || is_ignored(word))
        return STATUS_OK;
    char *value = strchr(word, '=');
    if (value)
        *value++ = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].name, word) != 0)
            continue;
        status st = take_value(&rows[i], value);
        return st == STATUS_INVALID ? errmsg_set(e, st, "option %s: '%s' is not what it takes",
                                                 word, value ? value : "")
                                    : st;
    }
    return errmsg_set(e, STATUS_INVALID, "unknown option '%s' (relearnfsd --help lists them)",
                      word);
}

status options_list(struct daemon_options *o, const char *list, struct errmsg *e)
{
    AUTO(mem_free) char *word = mem_alloc(strlen(list) + 1);
    if (!word)
        return STATUS_NOMEM;
    size_t n = 0;
    for (;; list++) {
        if (*list == '\\' && list[1]) {
            word[n++] = *++list;
            continue;
        }
        if (*list && *list != ',') {
            word[n++] = *list;
            continue;
        }
        word[n] = 0;
        n = 0;
        status st = take_word(o, word, e);
        if (st || !*list)
            return st;
    }
}

/* Relative names would change their meaning when the daemon leaves the directory. */
static status make_absolute(char **path)
{
    char cwd[PATH_MAX];
    if (!*path || **path == '/')
        return STATUS_OK;
    if (!getcwd(cwd, sizeof cwd))
        return status_from_errno(errno);
    char *full = mem_printf("%s/%s", cwd, *path);
    if (!full)
        return STATUS_NOMEM;
    mem_free(*path);
    *path = full;
    return STATUS_OK;
}

static void usage(FILE *to)
{
    fputs("usage: relearnfsd [-f] [-o OPTION[,OPTION...]] SOURCE MOUNTPOINT\n", to);
}

static void help(void)
{
    usage(stdout);
    fputs(
        "\nMounts a read-only purified view of SOURCE. `relearn mount` is the same for people.\n\n"
        "  -f                   stay in the foreground, log to stderr\n"
        "  -d                   -f, and print every FUSE request\n"
        "  -o profile=P         what is done to an image (default: \"default\")\n"
        "  -o cache=DIR         where purified pixels are kept\n"
        "  -o cache_size=SIZE   limit of that directory, such as 50G (default: none)\n"
        "  -o memory=SIZE       encoded images kept in memory (default 256M)\n"
        "  -o threads=N         of the purifier (default: one per CPU)\n"
        "  -o nosweep           do not purify ahead while nobody reads\n"
        "  -o nowatch           do not watch SOURCE: changes are seen after a second\n"
        "  -o frozen            SOURCE will not change: once everything is purified, files are\n"
        "                       opened without asking the daemon\n"
        "  -o timeout=SECONDS   the kernel may believe names and sizes that long (default 3600)\n"
        "  -o allow_other       other users may use the mount\n"
        "  -o noexec            as for any mount\n"
        "  -o log=FILE          of the daemon (default: relearnfsd-HASH.log in the cache "
        "directory)\n"
        "  --help, --version\n\n"
        "Options of fstab lines that mean nothing here (defaults, ro, x-..., _netdev, ...) are "
        "accepted.\n",
        stdout);
}

static int mistake(const struct errmsg *e, status st)
{
    fprintf(stderr, "relearnfsd: %s\n", errmsg_text(e, st));
    usage(stderr);
    return 2;
}

/* mount(8) runs its helper as: mount.TYPE SOURCE MOUNTPOINT [-sfnv] [-N NS] [-o LIST] [-t TYPE]. */
static bool is_mount_helper(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    return strncmp(slash ? slash + 1 : argv0, "mount.", 6) == 0;
}

static int parse_words(int argc, char **argv, struct daemon_options *o)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
    bool helper = is_mount_helper(argv[0]);
    struct errmsg e = {""};
    int code;
    optind = 0;
    opterr = 0;
    while ((code = getopt_long(argc, argv, helper ? "sfnvN:o:t:h" : "fdho:V", longs, NULL)) != -1) {
        switch (code) {
        case 'h':
            help();
            return 0;
        case 'V':
            puts("relearnfsd 0.1.0");
            return 0;
        case 'f':
            *(helper ? &o->fake : &o->foreground) = true;
            break;
        case 'd':
            o->debug = o->foreground = true;
            break;
        case 'o': {
            status st = options_list(o, optarg, &e);
            if (st)
                return mistake(&e, st);
            break;
        }
        case '?':
            errmsg_set(&e, STATUS_INVALID, "unknown option, or one without its argument: %s",
                       argv[optind - 1]);
            return mistake(&e, STATUS_INVALID);
        default:
            break; /* mount's -s -n -v -N -t */
        }
    }
    if (o->frozen && !o->sweep) {
        errmsg_set(&e, STATUS_INVALID, "frozen wants everything purified: it needs the sweep");
        return mistake(&e, STATUS_INVALID);
    }
    if (argc - optind != 2) {
        errmsg_set(&e, STATUS_INVALID, "SOURCE and MOUNTPOINT are needed");
        return mistake(&e, STATUS_INVALID);
    }
    return take_string(&o->source, argv[optind]) || take_string(&o->mountpoint, argv[optind + 1])
               ? 1
               : OPTIONS_GO;
}

int options_parse(int argc, char **argv, struct daemon_options *out)
{
    struct daemon_options o = {.sweep = true, .watch = true, .timeout = default_timeout};
    int rc = parse_words(argc, argv, &o);
    size_t len = o.profile ? strlen(o.profile) : 0;
    bool profile_is_file =
        len && (strchr(o.profile, '/') || (len > 4 && strcmp(o.profile + len - 4, ".ini") == 0));
    if (rc == OPTIONS_GO && ((profile_is_file && make_absolute(&o.profile)) ||
                             make_absolute(&o.cache_dir) || make_absolute(&o.log_path))) {
        fprintf(stderr, "relearnfsd: the current directory is gone\n");
        rc = 1;
    }
    if (o.debug)
        o.foreground = true;
    if (rc == OPTIONS_GO)
        *out = o;
    else
        options_done(&o);
    return rc;
}

void options_done(struct daemon_options *o)
{
    mem_free(o->source);
    mem_free(o->mountpoint);
    mem_free(o->profile);
    mem_free(o->cache_dir);
    mem_free(o->log_path);
    memset(o, 0, sizeof *o);
}
