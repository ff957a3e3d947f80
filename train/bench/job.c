#include "bench/work.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { SAID_MAX = 4096, PRINTED_MAX = 1 << 16 };

const char *job_id(const struct work *w, const struct job *j)
{
    return j->cell >= 0 ? w->b->cell[j->cell].id : w->b->tree[j->tree].id;
}

static status open_file(const struct work *w, const struct job *j, const char *folder,
                        const char *tail, int flags, int *out, struct errmsg *e)
{
    AUTO(mem_free) char *path = bench_path(w->b, folder, job_id(w, j), tail);
    status st =
        path ? io_open(AT_FDCWD, path, O_WRONLY | O_CREAT | flags, 0666, out) : STATUS_NOMEM;
    return st ? errmsg_set(e, st, "cannot write %s: %s", path ? path : folder, status_text(st))
              : STATUS_OK;
}

static status spawn(const struct work *w, struct job *j, const struct command *c, struct errmsg *e)
{
    AUTO(fd_close) int log = -1;
    AUTO(fd_close) int out = -1;
    AUTO(fd_close) int dir = -1;
    struct stat sb;
    status st = open_file(w, j, "logs", ".log", O_APPEND, &log, e);
    if (!st && j->cell >= 0)
        st = open_file(w, j, "runs", ".out", O_TRUNC, &out, e);
    if (!st && c->dir &&
        (st = io_open(AT_FDCWD, c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &dir)))
        errmsg_set(e, st, "cannot open %s: %s", c->dir, status_text(st));
    if (st)
        return st;
    j->log_from = fstat(log, &sb) == 0 ? sb.st_size : 0;
    const struct child_options o = {.program = c->program,
                                    .argv = c->argv,
                                    .dir_fd = dir,
                                    .out_fd = out >= 0 ? out : log,
                                    .err_fd = log,
                                    .own_group = true};
    st = child_start(&o, &j->pid);
    return st ? errmsg_set(e, st, "cannot start %s", c->program) : STATUS_OK;
}

/* A command finds its run's folder, with what it left there when it was ended. */
static status start_command(struct work *w, struct job *j, const struct bench_cell *cell,
                            struct command *c, struct errmsg *e)
{
    AUTO(mem_free) char *run = bench_path(w->b, "runs", cell->id, "");
    j->resumed = bench_there(w->b, "runs", cell->id, "");
    status st = run ? io_mkdirs(run, 0, e) : STATUS_NOMEM;
    if (!st)
        command_cell(c, w->b, cell, NULL, false);
    return st;
}

/* A run that has not come to its first checkpoint is begun anew. */
static status start_cell(struct work *w, struct job *j, struct command *c, struct errmsg *e)
{
    const struct bench_cell *cell = &w->b->cell[j->cell];
    AUTO(mem_free) struct given *options = mem_alloc(sizeof *options);
    if (bench_command(w->b, cell))
        return start_command(w, j, cell, c, e);
    status st = options ? bench_train_options(&w->b->matrix, cell, options, e) : STATUS_NOMEM;
    if (st)
        return st;
    j->resumed = bench_there(w->b, "runs", cell->id, "/checkpoint.safetensors") &&
                 bench_there(w->b, "runs", cell->id, "/config.json");
    command_cell(c, w->b, cell, options, j->resumed);
    return STATUS_OK;
}

/* A tuned tree is a folder that its command does not make. */
static status start_tree(struct work *w, struct job *j, struct command *c, struct errmsg *e)
{
    const struct bench_tree *t = &w->b->tree[j->tree];
    status st = STATUS_OK;
    if (t->kind == BENCH_TUNED) {
        AUTO(mem_free) char *part = bench_path(w->b, "trees", t->id, ".part");
        st = part ? io_mkdirs(part, 0, e) : STATUS_NOMEM;
    }
    if (!st)
        command_tree(c, w->b, j->tree);
    return st;
}

status job_start(struct work *w, struct job *j, struct errmsg *e)
{
    struct tree_tick tick = {work_tick, w};
    j->began_ns = time_mono_ns();
    if (j->cell < 0 && w->b->tree[j->tree].kind <= BENCH_GIVEN)
        return tree_write_images(w->b, j->tree, tick, e);
    if (j->cell < 0 && w->b->tree[j->tree].kind == BENCH_DILUTED)
        return tree_write_diluted(w->b, j->tree, tick, e);
    struct command c = {.n = 0};
    status st = j->cell >= 0 ? start_cell(w, j, &c, e) : start_tree(w, j, &c, e);
    if (!st)
        st = c.st ? c.st : spawn(w, j, &c, e);
    command_done(&c);
    return st;
}

/* ---- the end ---- */

/* The last line of a file from an offset on that is not blank, in text; "": there is none. */
static const char *last_line(const char *path, off_t from, char text[SAID_MAX + 1])
{
    AUTO(fd_close) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    size_t n = 0;
    struct stat sb;
    if (fd >= 0 && fstat(fd, &sb) == 0 && sb.st_size - from > SAID_MAX)
        from = sb.st_size - SAID_MAX;
    if (fd < 0 || io_pread(fd, text, SAID_MAX, from, &n))
        n = 0;
    while (n && strchr("\n\r ", text[n - 1]))
        n--;
    text[n] = 0;
    const char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

/* What a child said last, without its "relearn: ". */
static void said(const struct work *w, const struct job *j, int code, struct errmsg *e)
{
    AUTO(mem_free) char *path = bench_path(w->b, "logs", job_id(w, j), ".log");
    char text[SAID_MAX + 1];
    const char *line = last_line(path, j->log_from, text);
    line += strncmp(line, "relearn: ", 9) == 0 ? 9 : 0;
    bool command = j->cell >= 0 && bench_command(w->b, &w->b->cell[j->cell]);
    const char *who = command ? "the command" : "relearn";
    if (*line)
        errmsg_set(e, STATUS_IO, "%s", line);
    else if (code > 128)
        errmsg_set(e, STATUS_IO, "%s was ended by signal %d", who, code - 128);
    else
        errmsg_set(e, STATUS_IO, "%s ended with status %d and said nothing", who, code);
}

/* A victim's command may have printed more, before its figures. */
static status end_command(const struct work *w, const struct job *j, double seconds,
                          struct errmsg *e)
{
    const struct bench_cell *c = &w->b->cell[j->cell];
    AUTO(mem_free) char *out = bench_path(w->b, "runs", c->id, ".out");
    char text[SAID_MAX + 1];
    const struct bench_figures f = {last_line(out, 0, text), seconds, j->resumed};
    return bench_result_write(w->b, c, &f, e);
}

static status end_training(const struct work *w, const struct job *j, double seconds,
                           struct errmsg *e)
{
    const struct bench_cell *c = &w->b->cell[j->cell];
    AUTO(mem_free) char *out = bench_path(w->b, "runs", c->id, ".out");
    AUTO(mem_free) void *text = NULL;
    size_t len;
    status st = out ? io_read_file(out, PRINTED_MAX, &text, &len, e) : STATUS_NOMEM;
    const struct bench_figures f = {text, seconds, j->resumed};
    return st ? st : bench_result_write(w->b, c, &f, e);
}

static status end_cell(struct work *w, struct job *j, double seconds, struct errmsg *e)
{
    const struct bench_cell *c = &w->b->cell[j->cell];
    status st =
        bench_command(w->b, c) ? end_command(w, j, seconds, e) : end_training(w, j, seconds, e);
    if (!st)
        bench_remove_aside(w->b, "results", c->id);
    if (!st)
        work_remove_run(w, c);
    return st;
}

/* Of what went well, most often nothing was said. */
static void drop_empty_log(const struct work *w, const struct job *j)
{
    struct stat sb;
    AUTO(mem_free) char *path = bench_path(w->b, "logs", job_id(w, j), ".log");
    if (path && stat(path, &sb) == 0 && sb.st_size == 0)
        (void)unlink(path);
}

status job_end(struct work *w, struct job *j, int code, struct errmsg *e)
{
    double seconds = (double)(time_mono_ns() - j->began_ns) / 1e9;
    j->pid = 0;
    if (code) {
        said(w, j, code, e);
        return STATUS_IO;
    }
    drop_empty_log(w, j);
    return j->cell >= 0 ? end_cell(w, j, seconds, e)
                        : tree_finish(w->b, j->tree, seconds, (struct tree_tick){work_tick, w}, e);
}
