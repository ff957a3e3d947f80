/* Tables of parameters: what is read is what is written, and what is refused says what is wanted.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum shade { LIGHT, DARK, GREY };
static const char *const shades[] = {"light", "dark", "grey", NULL};
struct paint {
    int coats;
    uint64_t seed;
    float gloss;
    double price;
    bool lead;
    enum shade shade;
    char maker[PARAM_TEXT_MAX];
};
static const struct param rows[] = {
    {"coats", PARAM_INT, offsetof(struct paint, coats), .lo = 1, .hi = 9, .standard = "2",
     .unit = "layers", .about = "how thick it is put on"},
    {"seed", PARAM_U64, offsetof(struct paint, seed), .standard = "0", .about = "of the pattern"},
    {"gloss", PARAM_FLOAT, offsetof(struct paint, gloss), .lo = 0, .hi = 1, .standard = "0.5",
     .about = "how much it shines"},
    {"list_price", PARAM_DOUBLE, offsetof(struct paint, price), .lo = -1e9, .hi = 1e9,
     .standard = "0.1", .about = "what it costs"},
    {"lead", PARAM_BOOL, offsetof(struct paint, lead), .standard = "no", .about = "poisonous"},
    {"shade", PARAM_ENUM, offsetof(struct paint, shade), .names = shades, .standard = "dark",
     .about = "of the colour"},
    {"maker", PARAM_TEXT, offsetof(struct paint, maker), .standard = "", .about = "who made it"},
};
static const struct param_table table = PARAM_TABLE(rows, struct paint);

static void defaults_are_those_of_the_rows(void **state)
{
    (void)state;
    struct paint p;
    memset(&p, 0xa5, sizeof p);
    param_defaults(&table, &p);
    assert_int_equal(p.coats, 2);
    assert_true(p.gloss == 0.5f && p.price == 0.1 && p.seed == 0 && !p.lead && p.shade == DARK);
    assert_string_equal(p.maker, "");
}

static void what_is_read_is_what_is_written(void **state)
{
    (void)state;
    static const struct param_arg given[] = {
        {"coats", "9"},        {"seed", "18446744073709551615"},
        {"gloss", "0.1"},      {"list-price", "0.3"},
        {"lead", "on"},        {"shade", "grey"},
        {"maker", "A & Sons"},
    };
    struct paint p, q;
    struct errmsg e = {""};
    assert_int_equal(param_set_all(&table, &p, given, (int)ARRAY_LEN(given), &e), STATUS_OK);
    assert_int_equal(p.coats, 9);
    assert_true(p.seed == UINT64_MAX && p.gloss == 0.1f && p.price == 0.3 && p.lead);
    assert_int_equal(p.shade, GREY);
    param_defaults(&table, &q);
    for (int i = 0; i < table.n; i++) {
        AUTO(buf_done) struct buf b = BUF_INIT(4096);
        assert_int_equal(param_get(&rows[i], &p, &b), STATUS_OK);
        assert_int_equal(param_set_row(&rows[i], &q, b.data ? b.data : "", &e), STATUS_OK);
    }
    assert_memory_equal(&p, &q, sizeof p);
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    assert_int_equal(param_text(&table, &p, &text), STATUS_OK);
    assert_string_equal(text.data, "coats=9\nseed=18446744073709551615\ngloss=0.100000001\n"
                                   "list_price=0.3\nlead=yes\nshade=grey\nmaker=A & Sons\n");
}

static void what_is_wrong_says_what_is_wanted(void **state)
{
    (void)state;
    static const struct {
        const char *key, *text, *says;
    } wrong[] = {
        {"coats", "0", "coats is \"0\", not a whole number from 1 to 9"},
        {"coats", "2.5", "not a whole number from 1 to 9"},
        {"coats", "", "not a whole number"},
        {"seed", "-1", "not a whole number"},
        {"gloss", "inf", "not a number from 0 to 1"},
        {"gloss", "0x1", "not a number from 0 to 1"},
        {"list_price", "nan", "not a number"},
        {"lead", "maybe", "not yes or no"},
        {"shade", "blue", "not light, dark or grey"},
        {"maker", "a;b", "holds a ';'"},
        {"maker", " a", "begins or ends with a blank"},
        {"colour", "x", "there are coats, seed, gloss, list_price, lead, shade, maker"},
    };
    struct paint p, before;
    param_defaults(&table, &p);
    before = p;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct errmsg e = {""};
        assert_int_equal(param_set(&table, &p, wrong[i].key, wrong[i].text, &e), STATUS_INVALID);
        if (!strstr(e.text, wrong[i].says))
            fail_msg("%s=%s says: %s", wrong[i].key, wrong[i].text, e.text);
    }
    assert_memory_equal(&p, &before, sizeof p);
}

static void values_set_in_code_are_checked(void **state)
{
    (void)state;
    struct paint p;
    struct errmsg e = {""};
    const char *key;
    param_defaults(&table, &p);
    assert_int_equal(param_check(&table, &p, &key, &e), STATUS_OK);
    assert_null(key);
    p.shade = 3;
    assert_int_equal(param_check(&table, &p, &key, &e), STATUS_INVALID);
    assert_string_equal(key, "shade");
    p.shade = LIGHT;
    p.gloss = 0.0f / 0.0f;
    assert_int_equal(param_check(&table, &p, &key, &e), STATUS_INVALID);
    assert_string_equal(key, "gloss");
}

static void help_says_range_unit_and_default(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = BUF_INIT(4096);
    assert_int_equal(param_help(&rows[0], &b), STATUS_OK);
    assert_string_equal(b.data, "how thick it is put on (layers), 1 to 9; default 2");
    buf_reset(&b);
    assert_int_equal(param_help(param_find(&table, "shade"), &b), STATUS_OK);
    assert_string_equal(b.data, "of the colour: light, dark or grey; default dark");
    buf_reset(&b);
    assert_int_equal(param_wanted(&rows[0], &b), STATUS_OK);
    assert_string_equal(b.data, "a whole number from 1 to 9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_rows),
        cmocka_unit_test(what_is_read_is_what_is_written),
        cmocka_unit_test(what_is_wrong_says_what_is_wanted),
        cmocka_unit_test(values_set_in_code_are_checked),
        cmocka_unit_test(help_says_range_unit_and_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
