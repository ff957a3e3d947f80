/* Commands with subcommands: finding the one that was named. */
#include "cli.h"

#include <string.h>

#include "base/banned.h"

static int list_commands(const char *command, const char *about, const struct cli_command *table,
                         size_t n, FILE *to)
{
    fprintf(to, "usage: %s COMMAND [OPTION…]\n\n%s\n\n", command, about);
    for (size_t i = 0; i < n; i++)
        fprintf(to, "  %-12s %s\n", table[i].name, table[i].help);
    fprintf(to, "\n%s COMMAND --help tells more.\n", command);
    return to == stdout ? 0 : 2;
}

/* How many letters must be inserted, left out, exchanged or swapped with their neighbour to make b
   of a (Damerau 1964). */
static int distance(const char *a, const char *b)
{
    enum { LONGEST = 24 };
    int d[LONGEST + 1][LONGEST + 1], n = (int)strlen(a), m = (int)strlen(b);
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    for (int i = 0; i <= n; i++)
        for (int j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            d[i][j] = swapped && d[i - 2][j - 2] + 1 < best ? d[i - 2][j - 2] + 1 : best;
        }
    return d[n][m];
}

/* The command that was probably meant; NULL when none is similar. */
static const char *nearest(const struct cli_command *table, size_t n, const char *word)
{
    const char *best = NULL;
    int least = 3; /* at most two edits, and fewer than the word has letters */
    for (size_t i = 0; i < n; i++) {
        int d = distance(word, table[i].name);
        if (d < least && d < (int)strlen(word)) {
            least = d;
            best = table[i].name;
        }
    }
    return best;
}

int cli_dispatch(const char *command, const char *about, const struct cli_command *table, size_t n,
                 int argc, char **argv)
{
    if (argc < 2)
        return list_commands(command, about, table, n, stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return list_commands(command, about, table, n, stdout);
    for (size_t i = 0; i < n; i++)
        if (strcmp(argv[1], table[i].name) == 0)
            return table[i].run(argc - 1, argv + 1);
    const char *near = nearest(table, n, argv[1]);
    if (near)
        fprintf(stderr,
                "relearn: unknown command '%s': did you mean '%s %s'? (%s --help lists them)\n",
                TEXT_SHOWN(argv[1]), command, near, command);
    else
        fprintf(stderr, "relearn: unknown command '%s' (%s --help lists them)\n",
                TEXT_SHOWN(argv[1]), command);
    return 2;
}
