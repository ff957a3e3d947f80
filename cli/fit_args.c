#include "fit_args.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

void fit_args_init(struct fit_args *a, struct train_fit_options *fit)
{
    *a = (struct fit_args){.fit = fit,
                           .precision = {nn_precision_names, NN_PREC_COUNT, (int)fit->precision},
                           .lr = (double)fit->lr,
                           .ema = (double)fit->ema,
                           .flip = fit->flip};
    snprintf(a->help[0], sizeof a->help[0], "default %d", fit->steps);
    snprintf(a->help[1], sizeof a->help[1], "default %d", fit->batch);
    snprintf(a->help[2], sizeof a->help[2], "default %g", a->lr);
    snprintf(a->help[3], sizeof a->help[3], "steps of linear rise to --lr; default %d",
             fit->warmup);
    snprintf(a->help[4], sizeof a->help[4], "decay of the weights' average; default %g", a->ema);
}

size_t fit_args_rows(struct fit_args *a, struct cli_option *out)
{
    struct train_fit_options *o = a->fit;
    const struct cli_option rows[] = {
        {"data", 'd', CLI_STRING, &o->data_dir, "DIR", "images, at any depth; labels are not used"},
        {"out", 'o', CLI_STRING, &o->out_file, "FILE", "where the averaged weights go"},
        {"steps", 0, CLI_INT, &o->steps, "N", a->help[0]},
        {"batch", 'b', CLI_INT, &o->batch, "N", a->help[1]},
        {"lr", 0, CLI_DOUBLE, &a->lr, "X", a->help[2]},
        {"warmup", 0, CLI_INT, &o->warmup, "N", a->help[3]},
        {"ema", 0, CLI_DOUBLE, &a->ema, "X", a->help[4]},
        {"flip", 0, CLI_FLAG, &a->flip, NULL, "mirror at random (the default; --no-flip: do not)"},
        {"augment", 0, CLI_STRING, &o->augment, "LIST",
         "what else happens to images: NAME[:KEY=VALUE…][,NAME…] of relearn train --list"},
        {"downscale", 0, CLI_INT, &o->downscale, "N", "divide the images' sides by N first"},
        {"limit", 'n', CLI_INT, &o->limit, "N", "at most N images, evenly spaced over their paths"},
        {"seed", 's', CLI_U64, &o->seed, "N", "default 0"},
        {"save-every", 0, CLI_INT, &o->save_every, "N", "steps between checkpoints; default 1000"},
        {"log", 0, CLI_STRING, &o->log_file, "FILE", "JSON lines"},
        {"note", 0, CLI_STRING, &o->note, "TEXT", "kept in FILE: relearn model info shows it"},
        {"half", 0, CLI_FLAG, &a->half, NULL, "save the weights as 16-bit floats"},
        {"resume", 0, CLI_FLAG, &a->resume, NULL, "go on from FILE.checkpoint"},
        {"force", 0, CLI_FLAG, &a->force, NULL, "replace FILE"},
        {"skip-bad", 0, CLI_FLAG, &a->skip_bad, NULL, "leave out files that do not decode"},
        {"precision", 0, CLI_CHOICE, &a->precision, "f32|bf16",
         "of activations and products; default f32"},
        {"threads", 'j', CLI_INT, &o->threads, "N", "default: all CPUs"},
        {"quiet", 'q', CLI_FLAG, &a->quiet, NULL, "no progress"},
        {"json", 0, CLI_FLAG, &a->json, NULL, "print the result as JSON"},
    };
    static_assert(ARRAY_LEN(rows) <= FIT_ROWS_MAX, "callers have no room for these rows");
    memcpy(out, rows, sizeof rows);
    return ARRAY_LEN(rows);
}

void fit_args_take(struct fit_args *a)
{
    struct train_fit_options *o = a->fit;
    o->precision = (enum nn_precision)a->precision.chosen;
    o->lr = (float)a->lr;
    o->ema = (float)a->ema;
    o->flip = a->flip;
    o->half = a->half;
    o->resume = a->resume;
    o->skip_bad = a->skip_bad;
    o->quiet = a->quiet;
}

status fit_args_check_output(const struct fit_args *a, struct errmsg *e)
{
    AUTO(mem_free) char *checkpoint = mem_printf("%s.checkpoint", a->fit->out_file);
    status st = checkpoint ? cli_output_check(a->fit->out_file, CLI_OUTPUT_FILE, a->force, e)
                           : STATUS_NOMEM;
    if (!st && !a->resume && !a->force && access(checkpoint, F_OK) == 0)
        st =
            errmsg_set(e, STATUS_EXISTS,
                       "%s is of a training that was stopped (go on with --resume, begin anew with "
                       "--force)",
                       checkpoint);
    return st;
}

int fit_args_list(const char *text, int out[], int max)
{
    int n = 0;
    while (n < max) {
        char *end;
        long v = strtol(text, &end, 10);
        if (end == text || v < 1 || v > 1 << 16 || (*end && *end != ','))
            return 0;
        out[n++] = (int)v;
        if (!*end)
            return n;
        text = end + 1;
    }
    return 0;
}

json_t *fit_result_json(const struct fit_args *a, const struct train_fit_result *r)
{
    return json_pack("{s:s, s:s, s:i, s:o, s:f, s:I}", "file", a->fit->out_file, "precision",
                     nn_precision_names[a->fit->precision], "steps", r->steps, "loss",
                     cli_json_real(r->loss), "images_per_s", r->images_per_s, "parameters",
                     (json_int_t)r->parameters);
}

void fit_result_print(const struct fit_args *a, const struct train_fit_result *r)
{
    printf("%d steps, loss %.5f, %lld parameters, %.0f images/s (%s)\n", r->steps, r->loss,
           (long long)r->parameters, r->images_per_s, nn_precision_names[a->fit->precision]);
}
