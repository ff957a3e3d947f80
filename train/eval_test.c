#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model.h"
#include "nets.h"
#include "toy.h"

#include <math.h>

static void counts_hand_made_predictions(void **state)
{
    (void)state;
    struct train_eval ev;
    assert_int_equal(train_eval_init(&ev, 3), STATUS_OK);
    assert_true(train_eval_accuracy(&ev) == 0);
    static const float logits[] = {
        2, 1, 0, /* 0, right */
        0, 0, 0, /* tie: 0, right */
        0, 5, 1, /* 1, label 0 */
        0, 1, 9, /* 2, right */
        9, 0, 0, /* label -1: not counted */
    };
    static const int32_t labels[] = {0, 0, 0, 2, -1};
    train_eval_add(&ev, logits, labels, 2);
    train_eval_add(&ev, logits + 6, labels + 2, 3);
    assert_int_equal(ev.samples, 4);
    assert_int_equal(ev.correct, 3);
    static const int64_t confusion[] = {2, 1, 0, 0, 0, 0, 0, 0, 1};
    assert_memory_equal(ev.confusion, confusion, sizeof confusion);
    assert_true(fabs(train_eval_class_accuracy(&ev, 0) - 2.0 / 3) < 1e-12);
    assert_true(isnan(train_eval_class_accuracy(&ev, 1)));
    double want = (log(exp(2) + exp(1) + 1) - 2 + log(3) + log(1 + exp(5) + exp(1)) +
                   log(1 + exp(1) + exp(9)) - 9) /
                  4;
    assert_true(fabs(ev.loss - want) < 1e-9);
    train_eval_done(&ev);
}

static void published_parameter_counts(void **state)
{
    (void)state;
    /* ResNet-18 with ten classes and a 3x3 stem; ResNet-20 of the CIFAR port without shortcut
     * weights. */
    static const struct {
        const char *arch, *name;
        int64_t count;
    } want[] = {
        {"resnet18", "layer4.0.downsample.1.running_var", 11173962},
        {"resnet20", "layer3.2.conv2.weight", 269722},
        {"resnet8", "layer2.0.downsample.0.weight", 78042},
        /* As torchvision's with ten classes, but for the stems and VGG's two layers less. */
        {"resnet50", "layer1.0.downsample.1.running_mean", 23520842},
        {"vgg16", "features.40.weight", 14728266},
        {"mobilenetv2", "features.17.conv.1.0.weight", 2236682},
        {"densenet121", "features.denseblock4.denselayer16.conv2.weight", 6956426},
        {"vit", "encoder.layers.encoder_layer_5.self_attention.in_proj_weight", 2693578}};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const struct train_net *net = train_net_find(want[i].arch);
        struct nn_params *p = NULL;
        struct nn_graph *g = NULL;
        assert_int_equal(nn_params_new(&p), STATUS_OK);
        assert_int_equal(nn_graph_new(p, &g), STATUS_OK);
        struct nn_val x = nn_input(g, "x", NN_F32, nn_shape4(2, 32, 32, 3)),
                      stage[TRAIN_STAGES_MAX];
        struct nn_val y = net->build(g, (struct train_net_shape){32, 32, 3, 10}, x, true, stage);
        assert_int_equal(nn_graph_status(g, NULL), STATUS_OK);
        assert_true(nn_shape_equal(nn_val_shape(g, y), nn_shape2(2, 10)));
        for (int s = 0; s < net->stages; s++)
            assert_int_equal(nn_val_shape(g, stage[s]).rank, 4);
        assert_non_null(nn_params_find(p, want[i].name));
        assert_int_equal(nn_params_elements(p, true), want[i].count);
        nn_graph_free(g);
        nn_params_free(p);
    }
}

static void stages_own_their_parameters(void **state)
{
    (void)state;
    const struct train_net *net = train_net_find("resnet18");
    assert_int_equal(train_net_stage_of(net, "conv1.weight"), 0);
    assert_int_equal(train_net_stage_of(net, "bn1.bias"), 0);
    assert_int_equal(train_net_stage_of(net, "layer1.1.conv2.weight"), 0);
    assert_int_equal(train_net_stage_of(net, "layer4.0.downsample.0.weight"), 3);
    assert_int_equal(train_net_stage_of(net, "layer10.0.conv1.weight"), -1);
    assert_int_equal(train_net_stage_of(net, "fc.weight"), -1);
    assert_int_equal(train_net_stage_of(train_net_find("percept"), "stage.2.conv1.bias"), 2);
}

/* Every architecture's weights file says enough to build it again. */
static void a_saved_model_loads_from_its_metadata(void **state)
{
    (void)state;
    toy_tree("classes", 3, 1, 12, 1, 1);
    struct train_set *set = NULL;
    assert_int_equal(
        train_set_open(&(struct train_data_options){.dir = toy_path("classes")}, &set, NULL),
        STATUS_OK);
    const struct train_net *net;
    for (int i = 0; (net = train_net_at(i)); i++) {
        struct train_model *m = NULL, *back = NULL;
        struct errmsg e = {""};
        assert_int_equal(train_model_new(net, (struct train_net_shape){12, 12, 1, 3}, set, &m),
                         STATUS_OK);
        assert_int_equal(nn_params_init(m->params, 4), STATUS_OK);
        struct kv_list kv = {.n = 0};
        train_model_to_kv(m, &kv);
        assert_int_equal(kv.st, STATUS_OK);
        const char *path = toy_path("model.safetensors");
        assert_int_equal(nn_params_save(m->params, path, kv.pair, kv.n, false, &e), STATUS_OK);
        if (train_model_load(path, NULL, &back, &e))
            fail_msg("%s: %s", net->name, e.text);
        assert_string_equal(back->net->name, net->name);
        assert_int_equal(back->shape.width, 12);
        assert_string_equal(back->class_name[2], "c");
        assert_true(back->mean[0] == net->mean && back->std[0] == net->std);
        const struct nn_param_entry *a = nn_params_at(m->params, 0),
                                    *b = nn_params_at(back->params, 0);
        assert_memory_equal(a->value, b->value, (size_t)nn_shape_count(a->shape) * sizeof(float));
        train_kv_done(&kv);
        train_model_free(m);
        train_model_free(back);
    }
    train_set_free(set);
}

static void refuses_files_that_do_not_say_what_they_are(void **state)
{
    (void)state;
    struct train_model *m = NULL;
    struct errmsg e = {""};
    float one[1] = {0};
    const struct nn_save_tensor t = {"x", nn_shape1(1), one, false};
    const struct {
        struct nn_meta meta[4];
        int n;
        const char *says;
    } bad[] = {
        {{{"a", "b"}}, 1, "--arch"},
        {{{"architecture", "lenet"}}, 1, "--arch"},
        {{{"architecture", "resnet8"}}, 1, "does not say"},
        {{{"architecture", "resnet8"},
          {"in_channels", "2"},
          {"classes", "3"},
          {"image_size", "8x8"}},
         4,
         "does not say"},
        {{{"architecture", "resnet8"}, {"in_channels", "1"}, {"classes", "3"}, {"image_size", "8"}},
         4,
         "image_size"},
        {{{"architecture", "resnet8"},
          {"in_channels", "1"},
          {"classes", "3"},
          {"image_size", "8x8"}},
         4,
         "no tensor"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *path = toy_path("bad.safetensors");
        assert_int_equal(nn_file_save(path, &t, 1, bad[i].meta, bad[i].n, &e), STATUS_OK);
        assert_int_not_equal(train_model_load(path, NULL, &m, &e), STATUS_OK);
        if (!strstr(e.text, bad[i].says))
            fail_msg("\"%s\" does not say \"%s\"", e.text, bad[i].says);
        assert_null(m);
    }
    assert_int_equal(train_model_load(toy_path("none"), NULL, &m, &e), STATUS_NOT_FOUND);
}

/* The weights of a resnet20 or resnet8 as others call them: "head" is what the last layer is. */
static void save_as_others(const char *path, struct nn_params *p, const char *prefix,
                           const char *head, bool one_more)
{
    static struct nn_save_tensor t[256];
    static char name[256][128];
    int n = 0;
    for (int i = 0; i < nn_params_count(p); i++, n++) {
        const struct nn_param_entry *q = nn_params_at(p, i);
        const char *rest = q->name, *shortcut = strstr(q->name, ".downsample.");
        bool is_head = strncmp(rest, "fc.", 3) == 0 || strncmp(rest, "linear.", 7) == 0;
        if (is_head)
            snprintf(name[n], sizeof name[n], "%s%s%s", prefix, head, strchr(rest, '.'));
        else if (shortcut)
            snprintf(name[n], sizeof name[n], "%s%.*s.shortcut.%s", prefix, (int)(shortcut - rest),
                     rest, shortcut + strlen(".downsample."));
        else
            snprintf(name[n], sizeof name[n], "%s%s", prefix, rest);
        t[n] = (struct nn_save_tensor){name[n], q->shape, q->value, false};
    }
    static const float counter[1] = {5};
    snprintf(name[n], sizeof name[n], "%sbn1.num_batches_tracked", prefix);
    t[n] = (struct nn_save_tensor){name[n], nn_shape1(1), counter, false};
    n++;
    if (one_more) {
        snprintf(name[n], sizeof name[n], "%slayer1.9.conv1.weight", prefix);
        t[n] = (struct nn_save_tensor){name[n], nn_shape1(1), counter, false};
        n++;
    }
    struct errmsg e = {""};
    toy_good(nn_file_save(path, t, n, NULL, 0, &e), &e);
}

static void weights_of_others_load_by_their_names(void **state)
{
    (void)state;
    static const struct {
        const char *arch, *prefix, *head;
    } like[] = {{"resnet18", "", "fc"},
                {"resnet18", "net.module.", "linear"},
                {"resnet20", "module.", "fc"},
                {"resnet20", "state_dict.", "linear"},
                {"resnet8", "model.", "linear"}};
    toy_tree("others", 3, 1, 12, 3, 1);
    struct train_set *set = NULL;
    assert_int_equal(
        train_set_open(&(struct train_data_options){.dir = toy_path("others")}, &set, NULL),
        STATUS_OK);
    const char *path = toy_path("others.safetensors");
    for (size_t i = 0; i < ARRAY_LEN(like); i++) {
        struct train_model *m = NULL, *back = NULL;
        struct errmsg e = {""};
        struct train_model_hint hint = {.shape = {.width = 12, .height = 12}};
        assert_int_equal(train_model_new(train_net_find(like[i].arch),
                                         (struct train_net_shape){12, 12, 3, 3}, set, &m),
                         STATUS_OK);
        assert_int_equal(nn_params_init(m->params, 4 + i), STATUS_OK);
        save_as_others(path, m->params, like[i].prefix, like[i].head, false);
        toy_good(train_model_load(path, &hint, &back, &e), &e);
        assert_string_equal(back->net->name, like[i].arch);
        assert_int_equal(back->shape.classes, 3);
        assert_int_equal(back->shape.channels, 3);
        for (int k = 0; k < nn_params_count(m->params); k++) {
            const struct nn_param_entry *a = nn_params_at(m->params, k),
                                        *b = nn_params_find(back->params, a->name);
            assert_memory_equal(a->value, b->value,
                                (size_t)nn_shape_count(a->shape) * sizeof(float));
        }
        train_model_free(TAKE(back));
        assert_int_equal(toy_bad(train_model_load(path, NULL, &back, &e), &e, "--size"),
                         STATUS_INVALID);
        /* A deeper network holds all of a shallower one; it is another all the same. */
        save_as_others(path, m->params, like[i].prefix, like[i].head, true);
        toy_bad(train_model_load(path, &hint, &back, &e), &e, "--arch");
        hint.arch = "lenet";
        toy_bad(train_model_load(path, &hint, &back, &e), &e, "resnet8s2");
        train_model_free(m);
    }
    train_set_free(set);
}

static void a_directory_must_fit_the_model(void **state)
{
    (void)state;
    toy_tree("three", 3, 4, 12, 1, 2);
    toy_tree("two", 2, 4, 12, 1, 2);
    toy_tree("small", 3, 4, 8, 1, 2);
    struct train_set *set = NULL;
    struct train_model *m = NULL;
    struct errmsg e = {""};
    assert_int_equal(
        train_set_open(&(struct train_data_options){.dir = toy_path("three")}, &set, NULL),
        STATUS_OK);
    assert_int_equal(
        train_model_new(train_net_find("resnet8"), (struct train_net_shape){12, 12, 1, 3}, set, &m),
        STATUS_OK);
    assert_int_equal(nn_params_init(m->params, 4), STATUS_OK);
    struct train_eval ev;
    struct train_eval_options o = {.data = {.dir = toy_path("three")}, .batch = 5, .quiet = true};
    assert_int_equal(train_evaluate(m, &o, &ev, &e), STATUS_OK);
    assert_int_equal(ev.samples, 12);
    double loss = ev.loss;
    train_eval_done(&ev);
    o.precision = NN_PREC_BF16;
    if (nn_precision_supported(NULL, o.precision)) {
        assert_int_equal(train_evaluate(m, &o, &ev, &e), STATUS_OK);
        assert_int_equal(ev.samples, 12);
        assert_true(ev.loss != loss); /* near it, but computed otherwise */
        assert_true(fabs(ev.loss - loss) < .05);
        train_eval_done(&ev);
    } else {
        assert_int_equal(train_evaluate(m, &o, &ev, &e), STATUS_UNSUPPORTED);
        assert_non_null(strstr(e.text, "--precision f32"));
    }
    o.precision = NN_PREC_F32;
    o.data.dir = toy_path("two");
    assert_int_equal(train_evaluate(m, &o, &ev, &e), STATUS_INVALID);
    o.data.dir = toy_path("small");
    assert_int_equal(train_evaluate(m, &o, &ev, &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "8x8"));
    o.data.size = 12;
    assert_int_equal(train_evaluate(m, &o, &ev, &e), STATUS_OK);
    train_eval_done(&ev);
    mem_free(m->class_name[1]);
    m->class_name[1] = mem_strdup("other");
    assert_int_equal(train_evaluate(m, &o, &ev, &e), STATUS_INVALID);
    assert_non_null(strstr(e.text, "other"));
    train_model_free(m);
    train_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_hand_made_predictions),
        cmocka_unit_test(published_parameter_counts),
        cmocka_unit_test(stages_own_their_parameters),
        cmocka_unit_test(a_saved_model_loads_from_its_metadata),
        cmocka_unit_test(refuses_files_that_do_not_say_what_they_are),
        cmocka_unit_test(weights_of_others_load_by_their_names),
        cmocka_unit_test(a_directory_must_fit_the_model),
    };
    return cmocka_run_group_tests_name("eval", tests, toy_setup, toy_teardown);
}
