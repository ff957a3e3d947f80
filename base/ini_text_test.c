#include "buf.h"
#include "ini_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static status write_down(void *arg, const struct ini_value *v, struct errmsg *why)
{
    if (strcmp(v->key, "bad") == 0)
        return errmsg_set(why, STATUS_NOT_FOUND, "no %s", v->value);
    return buf_addf(arg, "%d[%s]%s%s%s;", v->line, v->section, v->key, v->more ? "+" : "=",
                    v->value);
}

static void lines_are_counted_and_continued(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf seen = BUF_INIT(1 << 12);
    static const char text[] = "# a\n[one]\nx = 1\n  2\n\n[two words]\ny=3 ; a comment\nz =\n";
    struct errmsg e = {""};
    assert_int_equal(ini_text_read("f", text, sizeof text - 1, write_down, &seen, &e), STATUS_OK);
    assert_string_equal(seen.data, "3[one]x=1;4[one]x+2;7[two words]y=3;8[two words]z=;");
}

static void refuse(const char *text, size_t len, status want, const char *says)
{
    AUTO(buf_done) struct buf seen = BUF_INIT(1 << 12);
    struct errmsg e = {""};
    assert_int_equal(ini_text_read("f", text, len, write_down, &seen, &e), want);
    assert_string_equal(e.text, says);
}

static void mistakes_name_their_line(void **state)
{
    (void)state;
    char longer[400];
    memset(longer, 'x', sizeof longer);
    longer[0] = '\n';
    longer[sizeof longer - 1] = 0;
    refuse("[a]\nbad = luck\nx = 1\n", 20, STATUS_NOT_FOUND, "f:2: no luck");
    refuse("[a]\nnothing\n", 12, STATUS_INVALID,
           "f:2: neither [section], key = value nor # comment");
    refuse("[a]\nx\0y = 1\n", 12, STATUS_INVALID, "f:2: a NUL byte: this is no text file");
    refuse(longer, sizeof longer - 1, STATUS_INVALID, "f:2: the line is too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_counted_and_continued),
        cmocka_unit_test(mistakes_name_their_line),
    };
    return cmocka_run_group_tests_name("ini_text", tests, NULL, NULL);
}
