/* relearnfsd's command line. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>

#include "base/banned.h"

/* Names are believed this long while changes are watched: an hour costs nothing and bounds what
 * lost events may do. */
static const double default_timeout = 3600;

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
        "  -o cache_size=SIZE   limit of that directory, such as 50G; none: no limit (the default "
        "is\n"
        "                       said when it is mounted)\n"
        "  -o min_free=SIZE     of its file system stays free\n"
        "  -o memory=SIZE       encoded images kept in memory (default 256M)\n"
        "  -o max_pixels=N      larger images are not purified\n"
        "  -o threads=N         of the purifier (default: one per CPU)\n"
        "  -o include=GLOBS     purify these although they are excluded; label images too\n"
        "                       where it matches their own names and not only a folder\n"
        "  -o exclude=GLOBS     serve these as they are; ':' between patterns\n"
        "  -o strict            images that cannot be purified are errors, not served as they are\n"
        "  -o follow            show what links out of SOURCE lead to, purified\n"
        "  -o immutable         SOURCE never changes under the same names: files are known again "
        "by\n"
        "                       inode, size and times, without being read\n"
        "  -o nosweep           do not purify ahead while nobody reads\n"
        "  -o nowatch           do not watch SOURCE: changes are seen after a second\n"
        "  -o frozen            SOURCE will not change: once everything is purified, files are\n"
        "                       opened without asking the daemon\n"
        "  -o timeout=SECONDS   the kernel may believe names and sizes that long (default 3600)\n"
        "  -o allow_other       other users may use the mount\n"
        "  -o nonempty          MOUNTPOINT may have something in it, which is then not seen\n"
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
    fprintf(stderr, "relearnfsd: %s\n", TEXT_SHOWN(errmsg_text(e, st)));
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
            status wrong = options_list(o, optarg, &e);
            if (wrong)
                return mistake(&e, wrong);
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
    status st = options_check(o, &e);
    if (st)
        return mistake(&e, st);
    if (argc - optind != 2) {
        errmsg_set(&e, STATUS_INVALID, "SOURCE and MOUNTPOINT are needed");
        return mistake(&e, STATUS_INVALID);
    }
    return options_take_string(&o->source, argv[optind]) ||
                   options_take_string(&o->mountpoint, argv[optind + 1])
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
