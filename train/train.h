#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H
/*
 * train: classifiers, diffusion models and restorers trained on image directories, generators of
 * unlearnable examples, evaluation, and the report.
 *
 * It reads DIR/<class>/<image> like any other program: a purified mount and a plain directory are
 * the same to it. It knows nothing of caches or mounts.
 *
 * Parts, bottom up: image set -> loader (batches, decoded ahead) -> networks -> evaluation ->
 * recipes -> training run (checkpoints, log); beside them trainings by steps (diffusion models,
 * restorers), protections, unpacking of array archives, benches (tables of experiments), report.
 *
 * What depends on what: a batch is a pure function of (files, options, seed, epoch, batch number);
 * a run is a pure function of (files, options, seed, thread count) on one machine. A run that was
 * interrupted and resumed ends with the same bits as one that was not.
 *
 * Precision is one of these options, NN_PREC_F32 unless asked for otherwise; nn.h says what stays
 * f32 in either. A CPU that cannot compute in it is STATUS_UNSUPPORTED before anything is written.
 * A run's steps, tests and measurements are all of its precision. Weights on disk are the same kind
 * of file in both: any may be used in any precision.
 *
 * Images are 8-bit grey or RGB; a network sees (pixel/255 - mean) / std per channel. Alpha is
 * ignored.
 *
 * Threads: every object belongs to one thread at a time; a loader has decoding threads of its own.
 * Long calls ask stop_requested() between steps, leave what can be resumed, and return
 * STATUS_CANCELLED. Calls that show progress or log say so; nothing here prints results.
 *
 *     struct train_options opt = train_options_default();
 *     opt.data_dir = "mnt/train"; opt.test_dir = "clean/test"; opt.out_dir = "run1";
 *     struct train_result r;
 *     st = train_run(&opt, &r, &err);          // r.test_accuracy; run1/{config.json,log.jsonl,...}
 */
#include "base/base.h"
#include "nn/nn.h"
#include "purify/purify.h"

#include <stdbool.h>
#include <stdint.h>

enum { TRAIN_CHANNELS_MAX = 3, TRAIN_STAGES_MAX = 6, TRAIN_CLASSES_MAX = 10000 };

/* ================================ image sets ================================ */
/*
 * A set is the list of files below a directory with their labels, in bytewise order of class name,
 * then of path: the order torchvision's ImageFolder gives. All images must have one size unless
 * `size`, `min_side` or `any_size` says what to do about it; nothing is resized silently.
 */
struct train_data_options {
    const char *dir;
    bool flat;     /* no labels: every image below dir, at any depth; label -1 */
    int limit;     /* at most so many, the 1st of each class, then the 2nd of each, ...; of a flat
                      tree, evenly spaced over its list; 0: all */
    int size;      /* resize every image to size x size (box average down, bilinear up); 0: no */
    int downscale; /* divide both sides by this whole factor, box average, before all else; 0: 1 */
    int min_side;  /* images may differ in size but no side may be smaller; 0: one size for all */
    bool any_size; /* images may differ in size */
    bool keys;     /* messages tell users of keys in a matrix's [bench], not of options */
    int channels;  /* 1 or 3: converted to that (Rec. 601 luma; grey repeated); 0: as the first */
    bool skip_bad; /* leave out files that do not decode, counted, instead of failing; decodes the
                      whole set at once to know them */
    size_t memory_bytes; /* decoded pixels are kept up to so many bytes in all; 0: 1 GiB */
    int threads;         /* decoding threads; 0: cpu_count() */
};
struct train_set_info {
    int samples, classes;
    int width, height; /* of every sample (any_size: of the first); min_side when that is set */
    int channels;
    int bad;             /* files left out */
    char first_bad[256]; /* "" when bad is 0 */
};
struct train_set;
/* Lists the directory and decodes the first image. STATUS_NOT_FOUND: no directory or no image in
   it; STATUS_INVALID: fewer than two classes (unless flat). */
status train_set_open(const struct train_data_options *opt, struct train_set **out,
                      struct errmsg *e) MUST_USE;
void train_set_free(struct train_set *s);
DEFINE_FREEP(struct train_set *, train_set_free)
struct train_set_info train_set_info(const struct train_set *s);
const char *train_set_class(const struct train_set *s, int k); /* name of class k; NULL when flat */
const char *train_set_path(const struct train_set *s, int i);  /* relative to the directory */
int train_set_label(const struct train_set *s, int i);
/* SHA-256 over (path, label, size, pixels as used) of all samples; decodes what was not yet. */
status train_set_digest(struct train_set *s, struct digest *out, struct errmsg *e) MUST_USE;
/* 8-bit pixels (H,W,C) of one sample into out (w*h*c bytes of train_set_info). */
status train_set_pixels(struct train_set *s, int i, uint8_t *out, struct errmsg *e) MUST_USE;

/* ================================ loader ================================ */
/*
 * Batches of an epoch in a Philox permutation of (seed, epoch), decoded by threads into a bounded
 * ring ahead of the consumer. A crop of (H,W) is taken at an offset uniform over [-pad, side - crop
 * + pad] (zeros outside), then mirrored with probability 1/2; then come the rows of `augment`. All
 * of it is from Philox of (seed, epoch, sample), so batches do not depend on thread timing.
 */
struct train_augment {
    const char *name, *summary;
    struct param_table params;
};
const struct train_augment *train_augment_at(int i); /* NULL past the end */

struct train_loader_options {
    int batch;
    bool shuffle;   /* false: in the order of the set */
    bool drop_last; /* leave out the last, smaller batch */
    int crop;       /* side of the crop; 0: the image's own size */
    int pad;        /* zeros around the image that a crop may reach into; 0 with crop 0: no crop */
    bool flip;
    const char *augment; /* NAME[:KEY=VALUE...][,NAME...] of train_augment_at; NULL: none. Read by
                            train_loader_new */
    /* (optional) Changes a whole sample, (H,W,C) in [0,1], before it is cropped; the zeros around it
       stay. What leaves [0,1] is kept, or cut off if `augment` works on pixels. From several threads
       at a time. */
    void (*image)(const void *arg, int sample, float *x);
    const void *image_arg;
    uint64_t seed;
    float mean[TRAIN_CHANNELS_MAX], std[TRAIN_CHANNELS_MAX]; /* std 0 counts as 1 */
    int threads;                                             /* 0: cpu_count() */
    int ahead;                                               /* batches in the ring; 0: 4 */
};
struct train_batch {
    int n;
    const float *x;       /* (batch,H,W,C); rows n.. are zero */
    const int32_t *label; /* (batch); -1 in rows n.. */
    const int *index;     /* (batch) sample numbers */
};
struct train_loader;
status train_loader_new(struct train_set *s, const struct train_loader_options *opt,
                        struct train_loader **out, struct errmsg *e) MUST_USE;
void train_loader_free(struct train_loader *l); /* before the set */
DEFINE_FREEP(struct train_loader *, train_loader_free)
int train_loader_batches(const struct train_loader *l); /* in an epoch */
/* Begins an epoch at batch `first`, whatever was in progress. */
status train_loader_start(struct train_loader *l, uint64_t epoch, int first) MUST_USE;
/* The next batch, valid until the next call; NULL after the last. Blocks while it is being decoded;
   CANCELLED soon after stop_requested() when it is not. */
status train_loader_next(struct train_loader *l, const struct train_batch **out,
                         struct errmsg *e) MUST_USE;

/* ================================ networks ================================ */
/*
 * One row per architecture. `build` returns logits (N,classes) and, unless out_stage is NULL, the
 * activation at the end of each stage, shallow to deep; parameters of stage s are those whose name
 * starts with one of the `|`-separated prefixes of groups[s] (the head belongs to no stage).
 */
struct train_net_shape {
    int width, height, channels, classes;
};
struct train_net {
    const char *name, *summary;
    int stages;
    const char *groups[TRAIN_STAGES_MAX];
    float mean, std; /* how pixels are scaled before the network, all channels alike */
    float lr;        /* default learning rate at batch 128 */
    struct nn_val (*build)(struct nn_graph *g, struct train_net_shape s, struct nn_val x,
                           bool training, struct nn_val *out_stage);
};
const struct train_net *train_net_find(const char *name); /* NULL if there is none */
const struct train_net *train_net_at(int i);              /* NULL past the end */

/* A network with weights, as a weights file describes it. */
struct train_model {
    const struct train_net *net;
    struct train_net_shape shape;
    float mean[TRAIN_CHANNELS_MAX], std[TRAIN_CHANNELS_MAX];
    char **class_name; /* (classes); NULL when the file names none */
    struct nn_params *params;
};
/*
 * Our weights files say what they hold. A file that others wrote (nn_file_open_any) is recognised
 * when its tensors are those of one of our networks, under our names or the ones that other PyTorch
 * code commonly uses.
 */
struct train_model_hint {
    const char *arch;
    struct train_net_shape shape; /* zeros: from the file */
    int size;                     /* side of the images, where neither of them says it */
    const float *mean, *std;      /* (channels) or NULL: from the file, else the architecture's */
};
status train_model_load(const char *path, const struct train_model_hint *hint,
                        struct train_model **out, struct errmsg *e) MUST_USE;
void train_model_free(struct train_model *m);
DEFINE_FREEP(struct train_model *, train_model_free)

/* ================================ evaluation ================================ */

struct train_eval {
    int classes;
    int64_t samples, correct;
    double loss;        /* mean cross entropy */
    int64_t *confusion; /* (K,K): row = label, column = prediction */
    double images_per_s;
};
status train_eval_init(struct train_eval *ev, int classes) MUST_USE;
void train_eval_done(struct train_eval *ev);
/* Counts rows of logits (n,K); labels outside 0..K-1 are not counted. Ties go to the lower class.
 */
void train_eval_add(struct train_eval *ev, const float *logits, const int32_t *labels, int n);
double train_eval_accuracy(const struct train_eval *ev); /* 0 when nothing was counted */
double train_eval_class_accuracy(const struct train_eval *ev,
                                 int k); /* recall; NAN without samples */

/* The model on a directory whose class names must be those of the model (when both have names).
   Shows progress unless quiet. out is initialised by the call. */
struct train_eval_options {
    struct train_data_options data;
    int batch;   /* 0: 256 */
    int threads; /* 0: cpu_count() */
    enum nn_precision precision;
    bool quiet;
};
status train_evaluate(const struct train_model *m, const struct train_eval_options *opt,
                      struct train_eval *out, struct errmsg *e) MUST_USE;

/* ================================ certificate ================================ */
/*
 * A figure of Wang et al., "Provably Unlearnable Data Examples" (arXiv 2405.03316): how well networks near
 * a surrogate do on clean images at most, where the surrogate was trained on what is to be unlearnable.
 *
 * What is certified. Let w be all trainable parameters of the surrogate, A(v) the accuracy on the given
 * images of the network with parameters v, and Z normal noise, independent in each parameter, of mean 0
 * and deviation sigma. For an eta the figure is an accuracy a, and with the confidence it is true that
 *
 *     for every w' with |w' - w| <= eta (the Euclidean norm):   P(A(w' + Z) <= a) >= quantile
 *
 * that is, of the networks that such noise makes of any w' so near, no more than 1 - quantile are better
 * than a. The confidence is about the draws from which a was estimated, taken as independent and normal: the
 * surrogate and the images are given.
 *
 * Why. Let q' = Phi(Phi^-1(quantile) + eta / sigma), and t the least accuracy with P(A(w + Z) <= t) >= q'.
 * The set of all v with A(v) <= t has a probability of q' or more around w. Of all such sets a half-space
 * that lies away from w' is the one with the least probability around w' (Neyman and Pearson: both are
 * normal, with one covariance), and that is Phi(Phi^-1(q') - |w' - w| / sigma) >= quantile. So t is such an
 * a. It is not known, but a draw of A(w + Z) is below t with probability q' at most, so that the k-th
 * smallest of N draws is below t with P(Binomial(N, q') >= k) at most. a is the k-th smallest, for the
 * smallest k where that is less than 1 - confidence. Where even k = N is not enough nothing is certified:
 * N draws reach up to an eta_max, with the defaults 1.32 sigma.
 *
 * What is not certified:
 *
 * - anything of a network without noise, A(w) and A(w') themselves: only of most of those drawn around it;
 *
 * - anything of trainings. Nothing says that a training on these or other images ends within eta of w. One
 *   from another seed, with more epochs, or of another kind as a rule does not;
 *
 * - much of the neighbourhood. With d parameters the noise has a norm of about sigma * sqrt(d), and eta is
 *   at most a small multiple of sigma: the more parameters, the smaller a change of each it is. And a norm
 *   of parameters depends on how a network is written: before a normalisation all weights can be scaled,
 *   which changes no output, and every distance;
 *
 * - that the images are to blame. Noise that destroys any network gives a small a for any surrogate, also
 *   one of clean images. So the accuracy without noise and the median with it stand beside: only where
 *   most of what the surrogate knows is left (`left`) does a say something about the images. Of one that
 *   is no better than guessing that cannot be told: then a surrogate of clean images with the same sigma
 *   is what to compare with;
 *
 * - other images than those given, and all eta at once: m of them hold together with 1 - m(1 - confidence).
 *
 * Noise is put on everything that is trained, weights, biases and the scales and shifts of normalisations.
 * Their running means and variances are no trained parameters: they stay the surrogate's, of w' as well, as
 * in the authors' programs, and after much noise they no longer fit. Who takes them anew from images has a
 * better network of the same weights, which the bound is not about. Measured on 1,000 images of CIFAR-10, a
 * resnet8s2 of 33 %: the median is 31 % at sigma .02, 34 % with statistics of each batch; 18 % and 28 % at
 * .05; at .25, 10 % and 11 %, nothing is left either way.
 *
 * The noise of draw i is a function of the seed and i alone.
 */
enum { TRAIN_CERTIFY_ETAS_MAX = 32, TRAIN_CERTIFY_DRAWS_MAX = 1000000 };
struct train_certify_options {
    struct train_eval_options eval;
    int draws;                   /* N */
    double sigma;                /* > 0 */
    double quantile, confidence; /* above 0, below 1 */
    uint64_t seed;
    double eta[TRAIN_CERTIFY_ETAS_MAX]; /* >= 0 */
    int etas;                           /* 0: nine from .004 to 8 times sigma */
};
/* The authors': 1000 draws of sigma .25, quantile .9, confidence .99; with that sigma eta .001 to 2. */
struct train_certify_options train_certify_default(void);
struct train_certified {
    double eta;
    int rank;        /* k; 0: none, with so few draws */
    double accuracy; /* a; NAN: none */
};
struct train_certify_result {
    int64_t samples, parameters;                     /* images; the trainable ones' number d */
    double norm;                                     /* |w| */
    double plain;                                    /* A(w) */
    double lowest, median, highest, mean, deviation; /* of A(w + Z) */
    double left; /* (median - 1/K) / (plain - 1/K), K classes; NAN where plain is less than three
                    standard deviations of a guess above 1/K */
    double eta_max;
    int etas;
    struct train_certified certified[TRAIN_CERTIFY_ETAS_MAX]; /* in the order of the options */
    double seconds;
};
/* INVALID: an option is not as above, or so few draws certify nothing at any eta. CANCELLED when asked to
   stop. The model's parameters are changed meanwhile, and always are as before afterwards, to the bit.
   Images are decoded once as long as they fit into data.memory_bytes. Shows progress unless quiet. */
status train_certify(struct train_model *m, const struct train_certify_options *opt,
                     struct train_certify_result *out, struct errmsg *e) MUST_USE;

/* ================================ audit ================================ */
/*
 * Whether the images of a directory carry a protection. In images as they were taken, the class shows
 * in what they depict, and hardly in faint noise, its texture where the image is smooth, or in one odd
 * pixel. A protection that works is read from just there (Yu et al., "Availability Attacks Create
 * Shortcuts", KDD 2022: perturbations are almost linearly separable). So a linear classifier is trained
 * to read the class from each of these on one half of the images and tested on the other
 * (audit/views.h, audit/ridge.h). Nothing is known of any protection's key, and nothing is purified.
 *
 * An agreement is the accuracy over chance, (accuracy - 1/K) / (1 - 1/K). From TRAIN_AUDIT_SURE on, of
 * any of the three, the verdict is "protected"; from TRAIN_AUDIT_DOUBT on "unclear".
 *
 * Where the same images are there from before (`clean_dir`), what was added to each, its delta, is known
 * and measured as it is: its size, how well a linear classifier reads the class of held-out deltas from
 * their values and from their texture, and how much of them the images of a class have in common:
 *
 *     shared = mean over pairs of different images of a class of d_i . d_j, over mean |d_i|^2
 *
 * which is 1 where a class's images carry one delta, and 0 where each has its own, whatever the number of
 * images (the norm of a class's mean falls with that). Then the verdict is of the deltas, too.
 */
enum train_audit_sign {
    TRAIN_AUDIT_PATTERN, /* faint noise at its place: EMN, LSP, PIL and such */
    TRAIN_AUDIT_TEXTURE, /* filters, autoregressive noise: CUDA, AR; and most of the above */
    TRAIN_AUDIT_SPOT,    /* one pixel: OPS */
    TRAIN_AUDIT_SIGN_COUNT
};
extern const char *const train_audit_signs[TRAIN_AUDIT_SIGN_COUNT + 1]; /* then NULL */
enum train_audit_verdict { TRAIN_AUDIT_CLEAR, TRAIN_AUDIT_UNCLEAR, TRAIN_AUDIT_PROTECTED };
extern const char *const train_audit_verdicts[];
#define TRAIN_AUDIT_DOUBT .4
#define TRAIN_AUDIT_SURE .5
struct train_audit_options {
    struct train_data_options data; /* limit 0: TRAIN_AUDIT_LIMIT; any_size is set */
    const char *clean_dir; /* the same images from before, by the same paths up to the extension; or
                              NULL */
    bool family;           /* say of which family a protection is, where there is one */
    uint64_t seed;
    bool quiet;
};
enum { TRAIN_AUDIT_LIMIT = 2000, TRAIN_AUDIT_LIMIT_MAX = 10000, TRAIN_AUDIT_EACH_MIN = 8 };
struct train_audit_reading {
    double accuracy, deviation; /* of held-out images; of one parting of three */
    double agreement;
};
/* Whether images of a class carry one delta; by `shared`. */
enum train_audit_kind {
    TRAIN_AUDIT_SAMPLE_WISE, /* below TRAIN_AUDIT_OWN: each has its own */
    TRAIN_AUDIT_PARTLY,
    TRAIN_AUDIT_CLASS_WISE, /* from TRAIN_AUDIT_SAME on */
    TRAIN_AUDIT_UNIVERSAL,  /* of different classes, too */
    TRAIN_AUDIT_KIND_COUNT
};
extern const char *const train_audit_kinds[TRAIN_AUDIT_KIND_COUNT + 1]; /* then NULL */
#define TRAIN_AUDIT_OWN .2
#define TRAIN_AUDIT_SAME .7
/* Deltas are in grey levels. All but the first two are of images that were changed, and the readings and
   what is shared of those in classes with TRAIN_AUDIT_EACH_MIN changed images or more, in the middle
   that is looked at: NAN where fewer than two classes have that. */
struct train_audit_delta {
    int images, changed;
    int classes;           /* that are read */
    double psnr_db;        /* by the mean squared error over all their pixels */
    int linf;              /* the largest difference of all */
    double linf_mean;      /* mean over images of the largest difference in each */
    double changed_pixels; /* share of pixels that differ in any channel */
    struct train_audit_reading linear, texture;
    double mean_norm; /* of a class's mean delta, over that of a delta (roots of mean squares) */
    double shared, shared_across; /* in a class; by images of different classes */
    enum train_audit_kind kind;
};
/*
 * Of which family a protection is: what the shipped restorer takes from groups of the images, each of one
 * class, is compared with what it takes from groups that carry something of a family that restorers are
 * trained with (train_family), drawn on the spot and put on what was left of the same images
 * (audit/kin.h). Each group votes for what it is nearest to, or for nothing that it could be. It is a
 * guess at a kind, by its looks; no key of a protection is known, and nothing is said of what removes it.
 */
enum train_audit_kin {
    TRAIN_AUDIT_KIN_NONE,      /* not asked for, or the verdict is not "protected" */
    TRAIN_AUDIT_KIN_TOLD,      /* TRAIN_AUDIT_KIN_SURE of the votes, or more, are for one */
    TRAIN_AUDIT_KIN_UNDECIDED, /* of no one */
    TRAIN_AUDIT_KIN_UNKNOWN,   /* so many are for nothing that is known */
    TRAIN_AUDIT_KIN_COUNT
};
extern const char *const train_audit_kins[TRAIN_AUDIT_KIN_COUNT + 1]; /* then NULL */
#define TRAIN_AUDIT_KIN_SURE .6
enum { TRAIN_AUDIT_VOTES_MAX = 16, TRAIN_AUDIT_GROUPS_MIN = 4 };
struct train_audit_family {
    enum train_audit_kin kin;
    int groups, images; /* with fewer than TRAIN_AUDIT_GROUPS_MIN it is undecided; of one group */
    double share;       /* of the votes, for the one that is told, or for nothing known */
    int n;              /* what votes are for, most first */
    struct {
        const char *told, *like; /* of train_family; NULL, NULL: nothing that is known */
        double share;
    } vote[TRAIN_AUDIT_VOTES_MAX];
};
struct train_audit_result {
    int samples, classes, held_out;
    int width, height; /* of the middle of each image, which is what was looked at */
    struct train_audit_reading sign[TRAIN_AUDIT_SIGN_COUNT];
    enum train_audit_verdict verdict;
    enum train_audit_sign strongest; /* by agreement */
    bool has_delta;                  /* clean_dir was given */
    bool by_delta;                   /* by the signs alone the verdict would be a lesser one */
    struct train_audit_delta delta;
    struct train_audit_family family;
};
/* INVALID: fewer than two classes, or fewer than TRAIN_AUDIT_EACH_MIN images of one, or images too
   small, or the two trees do not hold the same. CANCELLED when asked to stop. */
status train_audit(const struct train_audit_options *opt, struct train_audit_result *out,
                   struct errmsg *e) MUST_USE;

/* ================================ activation clusters ================================ */
/*
 * What ST-style staged training (recipes/staged.h) watches, and any recipe can log. Published about
 * the method (arXiv 2306.02064): networks trained on unlearnable examples fall into a trap of
 * perturbation features that SHALLOW layers learn first; an "Activation Cluster Measurement" (ACM)
 * tells how far; a self-adaptive, layer-wise learning-rate schedule, which slows shallow layers
 * when it does, avoids it. Its formulas are not public. Everything here and there is OURS, is
 * called "ST-style" wherever a user sees it, and no number of theirs is claimed for it.
 *
 * Our ACM of a stage. Let f_i be the stage's output for probe image i, averaged over space, mu_k
 * the mean of class k, mu of all. Then
 *
 *     ACM = sum_k n_k |mu_k - mu|^2 / sum_k sum_{i in k} |f_i - mu_k|^2,
 *
 * between-class over within-class scatter in trace form: 0 when labels explain nothing (about
 * (K-1)/(n-K) for noise), without bound as activations collapse onto one point per class. Scaling,
 * rotating or shifting the features does not change it. The probe is a fixed, label-balanced subset
 * of the training images, without augmentation, seen in evaluation mode. Trace form, because it
 * needs no inverse, no distance matrix and no embedding: it costs one forward pass.
 *
 * Why it may warn: a perturbation is the same (or linearly coded) for all images of a class and
 * sits in texture, so the first stages can separate the classes by it at once; natural classes are
 * separated by depth, and the first stages of a network trained on them stay nearer to what random
 * weights give.
 *
 * It does not tell protected from clean data early. Measured on sets of 2,000 images (16 protected by
 * eight methods, 10 as they were; CIFAR-10 and Fashion-MNIST; resnet8, the third epoch of batches of
 * 32), as the area under the ROC curve: .44 to .49 for the ACM of any stage, .46 for the training
 * accuracy. The ratio of the last stage's ACM to that of the same images broken gives .48 (JPEG of
 * quality 10), .73 (grey besides) and .53 (low frequencies, JPEG); the difference of their losses at
 * best .83: by then the network has learned little more of most perturbations than of the pictures.
 * The linear classifiers of train_audit, which see 1,200 images of a set, have 1.00 on these and one
 * more (agreement .63 to 1.00 if protected, else .21 to .34): recipes/detect.c asks them instead.
 */
status train_acm(const float *feature /* (n,c) */, const int32_t *label, int n, int c, int classes,
                 double *out) MUST_USE;

/* ================================ sharpness of layers ================================ */
/*
 * Sharpness-aware learnability (SAL) and unlearnable distance (UD), from Ye et al., "How Far Are We
 * from True Unlearnability?", ICLR 2025 (arXiv 2509.08058). On clean images, they say, many layers
 * of a network move its loss much when their weights are moved a little, again and again as it
 * trains; on images that teach nothing few do.
 *
 * SAL of a layer: its weights W alone are moved, all else is as it is and in evaluation mode. Plain
 * SGD with steps of TRAIN_SAL_STEP goes TRAIN_SAL_PASSES times through some images, once down the
 * loss and once up. After each pass what is farther from W than TRAIN_SAL_RADIUS of W's norm is
 * brought back to there, and the loss of all these images is measured. Then
 *
 *     SAL = max(highest loss - loss at W, loss at W - lowest loss)
 *
 * Layers are convolutions and linear layers, without their biases. UD compares two runs, one on
 * clean images and one on others:
 *
 *     threshold = mean over epochs of (the midpoint between the centres of the two clusters that the
 *                 clean run's layers fall into by their SAL)
 *     count     = mean over epochs of the number of layers whose SAL is above that
 *     UD        = count of the other run / count of the clean run
 *
 * 1 is as learnable as clean images, less is less. Clusters are those of the least sum of squares
 * within, which in one dimension is found by trying each cut; theirs are of k-means from random
 * starts.
 *
 * What is ours. The images are a fixed, label-balanced subset of the training images (as of the
 * ACM), without augmentation, in batches of at most 64 in a fixed order; theirs are all of them,
 * augmented, in batches of 256. So their pass has 196 steps and ours, of 256 images, 4: where
 * gradients are small we do not come as far as they do, and no number of theirs can be compared.
 */
#define TRAIN_SAL_STEP .1f
#define TRAIN_SAL_RADIUS .05
enum { TRAIN_SAL_PASSES = 10, TRAIN_SAL_IMAGES = 256 };

struct train_ud {
    int layers, epochs;        /* of either run */
    double threshold;          /* of the SAL */
    double clean_count, count; /* layers above it */
    double distance;           /* NAN where no layer of the clean run is above it */
};
/* Of two runs that logged their SAL in as many epochs. NOT_FOUND: one did not. INVALID: they are of
   different layers or lengths, or of fewer than two layers. CORRUPT names the line that cannot be
   read. */
status train_ud(const char *clean_run_dir, const char *run_dir, struct train_ud *out,
                struct errmsg *e) MUST_USE;

/* ================================ training run ================================ */

struct train_recipe {
    const char *name, *summary;
    struct param_table params;
};
const struct train_recipe *train_recipe_at(int i); /* NULL past the end */

/*
 * What a run keeps in RUNDIR:
 *
 * - config.json: every option, and classes, shape and digest of the data; path and digest of the
 *   weights that it began with; the version and the machine; of images that `relearn protect` made
 *   what their protection.json says, and of images in a relearnfs mount profile, models and version
 *   that purified them;
 *
 * - log.jsonl: one line per epoch, in order; epoch 0 is the ACM of the random network, where the
 *   ACM is measured; "sal", where that is measured, is the SAL of each layer by its name, shallow to
 *   deep;
 *
 * - test.json: of the last evaluation on test images, what they were taken for: "confusion" (K,K),
 *   row = label, column = prediction, in the order of config.json's class_names;
 *
 * - checkpoint.safetensors, after each epoch and on interruption: weights, momentum, position;
 *
 * - good.safetensors: the state that a recipe which undoes epochs returns to;
 *
 * - weights.safetensors, when finished.
 */
struct train_options {
    const char *data_dir, *test_dir /* NULL: none */, *out_dir;
    const char *arch;      /* of train_net_at */
    const char *init_file; /* weights to begin with (fine-tuning): of the same network, any file of
                              train_model_load. For other classes the last layer begins anew.
                              NULL: random ones, by the seed */
    const char *recipe;    /* of train_recipe_at */
    const struct param_arg *recipe_arg; /* its parameters; the last of a key counts */
    int n_recipe_args;
    int epochs, batch;
    float lr, momentum, weight_decay; /* SGD; lr (0: the network's own) falls to 0 by a cosine */
    float clip;                       /* joint gradient norm; 0: none */
    int warmup;                       /* steps of linear rise to lr */
    int pad;                          /* of the random crop; 0: none */
    bool flip;
    const char *augment; /* of train_loader_options, for training images; NULL: none */
    uint64_t seed;
    int limit, test_limit, size, channels;
    bool skip_bad;
    enum nn_precision precision;
    int threads;    /* 0: cpu_count() */
    bool acm;       /* measure and log the ACM in every recipe, without acting on it */
    int probe;      /* images that it is measured on; 0: 1000. INVALID when it is not measured */
    bool sal;       /* measure and log the SAL of each layer after each epoch */
    int sal_images; /* that it is measured on; 0: TRAIN_SAL_IMAGES. INVALID when it is not measured */
    int test_every; /* epochs between evaluations; the last is always evaluated; 0: only the last */
    bool resume;    /* go on from RUNDIR/checkpoint; options must be those it was started with */
    bool force;     /* an existing run in RUNDIR is replaced, once this one has a checkpoint */
    bool quiet;
};
struct train_options train_options_default(void);
/* The options that the run in run_dir was started with, by its config.json, with resume set. Their
   text lives until train_config_free. NOT_FOUND: there is no run. */
struct train_config;
status train_config_open(const char *run_dir, struct train_config **out, struct errmsg *e) MUST_USE;
struct train_options train_config_options(const struct train_config *c);
void train_config_free(struct train_config *c);
DEFINE_FREEP(struct train_config *, train_config_free)
struct train_result {
    int epochs;
    double train_loss, train_accuracy;        /* of the last epoch */
    double test_accuracy, best_test_accuracy; /* NAN without a test set */
    int best_epoch;
    double images_per_s; /* training steps only */
    double seconds;
    int bad_files;
};
/* Shows progress unless quiet, logs warnings. A call that fails before the first checkpoint leaves
   RUNDIR as it was before. STATUS_CANCELLED on SIGINT (resumable); STATUS_EXISTS
   when RUNDIR holds a run; STATUS_INVALID when options or data contradict each other;
   STATUS_CORRUPT with the step when the loss is no longer a number. */
status train_run(const struct train_options *opt, struct train_result *out,
                 struct errmsg *e) MUST_USE;

/* ================================ training by steps ================================ */
/*
 * What trainings of diffusion models and restorers have in common: so many steps, of batches of
 * squares cut out of the images at random. Adam; the learning rate rises linearly and falls to 0 by
 * a cosine (ours: for short runs); gradients are clipped to norm 1. What is saved is an exponential
 * moving average of the weights. Labels are not needed, so any tree of images will do (a restorer's
 * family `gradients` takes folders for classes, where there are several).
 *
 * The file says what it was trained on, so that a table of what the network does can say it, too:
 * its metadata have all options (train.*), the digest of the images and their directory's own name
 * (data_digest, data_name), and the user's note.
 *
 * Such a call shows progress unless quiet. STATUS_CANCELLED on SIGINT: out_file.checkpoint is what
 * `resume` goes on from, with the same options; INVALID names one that is another. CORRUPT with the
 * step when the loss is no longer a number.
 */
enum { TRAIN_NOTE_MAX = 1000 };
struct train_fit_options {
    const char *data_dir, *out_file;
    const char *from; /* weights to start from (fine-tuning), whose network it then is; or NULL */
    const char *log_file; /* JSON lines, appended; or NULL */
    const char *note;     /* for people, a line of at most TRAIN_NOTE_MAX bytes; NULL: none, or when
                         resumed the one that was given before */
    int steps, batch, warmup;
    float lr, ema;
    bool flip;
    const char *augment; /* of train_loader_options, what else happens to an image; NULL: nothing */
    int downscale, limit; /* as of train_data_options */
    uint64_t seed;
    int threads; /* 0: cpu_count() */
    enum nn_precision precision;
    int save_every; /* steps between checkpoints; 0: 1000 */
    bool half;      /* weights as F16 */
    bool resume, skip_bad, quiet;
};
struct train_fit_result {
    int steps;
    double loss; /* mean of the last 100 steps */
    double images_per_s;
    int64_t parameters;
};

/* ================================ diffusion models ================================ */

/*
 * Mean squared error of the predicted noise (Ho et al. 2020, eq. 14), t uniform in 0..t_max-1, each
 * image's weighted by its t. With SNR(t) = alpha_bar_t / (1 - alpha_bar_t):
 *
 *     constant    1, as Ho et al. train
 *     min-snr     min(SNR(t), gamma) / SNR(t)     (Hang et al. 2023, arXiv 2303.09556, for noise)
 *
 * In terms of the image that a prediction implies, constant is SNR(t) times its squared error, much
 * where t is small; min-snr is min(SNR(t), gamma) times.
 */
enum train_weighting { TRAIN_WEIGHT_CONSTANT, TRAIN_WEIGHT_MIN_SNR, TRAIN_WEIGHTING_COUNT };
extern const char *const train_weighting_names[TRAIN_WEIGHTING_COUNT + 1]; /* ends with NULL */

struct train_diffusion_options {
    struct train_fit_options fit;
    enum train_weighting weighting;
    float snr_gamma;        /* > 0; of min-snr only */
    struct purify_unet cfg; /* in_channels 0: as the first image. With fit.from only t_max counts,
                               which may be less than that network's */
};
struct train_diffusion_options train_diffusion_default(void);
status train_diffusion_run(const struct train_diffusion_options *opt, struct train_fit_result *out,
                           struct errmsg *e) MUST_USE;

struct train_sample_options {
    const char *weights, *out_file; /* a PNG grid */
    const char *data_dir; /* t_max < T: images that are diffused to t_max, the start of the chain */
    int rows, columns;
    int steps; /* evaluations; 0: every t */
    uint64_t seed;
    int threads;
    enum nn_precision precision;
    bool quiet;
};
/* STATUS_INVALID without data_dir for a model that was trained on t < t_max < T only: it cannot
   start from noise. With data_dir the grid's upper half of each pair of rows shows the images. */
status train_diffusion_sample(const struct train_sample_options *opt, struct errmsg *e) MUST_USE;

/* ================================ restorers ================================ */
/*
 * A restorer (purify_restorer) learns from unprotected images and perturbations that are put on
 * them: it is shown x = clip(round(clean + delta)), as a published protection would be stored, and
 * is to say x - clean. The perturbations are of families (train_family_at), each drawn anew. So it
 * knows the kinds of what published protections add, and no protection's key.
 *
 * What a victim can learn of a protection is what is left alike in all images that carry the same
 * perturbation: E[r | delta] of the remainder r = (x - clean) - predicted. A network that minimises
 * r^2 shrinks what it predicts, and leaves a part of every delta. So in a batch K images (`group`)
 * carry one delta, and the mean of their remainders is penalised:
 *
 *     loss = mean r^2 + coherence * K * mean over groups (mean of r over the group)^2
 *
 * With r = c + e, c the part that is alike and e independent from image to image, of mean 0, the
 * second mean is c^2 + E[e^2] / K. Times K, what is not alike counts as in the first:
 *
 *     E[loss] = (1 + coherence) E[e^2] + (1 + coherence * K) c^2
 *
 * and with the defaults (coherence 1, K 4) what is alike counts 2.5 times as much as what is not,
 * and at most K times, whatever the coherence. (A family whose perturbation depends on the image does
 * the same to all images of a group.)
 *
 * Where the perturbation of an image is larger than 16 grey levels (root of the mean square), as
 * that of a blur, its r is divided by that size first, in units of 16: it counts no more than another.
 *
 * Family `gradients` trains networks of its own on the way: for every 2,000 steps small classifiers,
 * each for a short while on a few of the images, with the images' folders or random numbers as
 * labels; what is put on images are steps along their gradients. They are a function of the seed and
 * the step and are not kept. With that family in its default share a step costs
 * about a seventh more in bf16, and less in f32.
 *
 * To a share of the groups (noise_share) normal noise is added behind the rounding, of a deviation
 * drawn anew from 0 to `noise`: this belongs to what the network is to say. Such a network also
 * denoises (Zhang et al. 2017, "DnCNN-B", arXiv 1608.03981), which purifier `denoise` wants.
 *
 * Pairs of images, clean and protected, take the families' place in a share of the groups: the
 * perturbation is what the two differ by. In a part of these (pair_transfer) one pair's is put on
 * other images, too, which are then a group; otherwise each image is a pair's own, and the pairs of
 * a group are of one folder, chosen by a pair of all. Folders should be classes as a protection
 * knew them: what is left alike in a class is what a victim learns instead of it.
 */
enum { TRAIN_FAMILIES_MAX = 16 };
struct train_family {
    const char *name, *summary;
    double share; /* default weight, relative to the sum of all */
    /* What an audit calls it when it finds it; the same for rows that cannot be told apart; NULL: it is
       nothing. And the published protections that are of this kind, "A, B"; NULL: none is known. */
    const char *told, *like;
};
const struct train_family *train_family_at(int i); /* NULL past the end */

struct train_restore_options {
    struct train_fit_options fit; /* batch: a multiple of group */
    struct purify_restorer cfg;   /* in_channels 0: as the first image. With fit.from the network is
                                     that file's */
    int size;                     /* side of the squares, a multiple of purify_restorer_unit */
    const char *families;         /* NAME:SHARE[,NAME:SHARE...]; NULL: all, by their own shares */
    int group;                    /* K; with 1 nothing is alike, and coherence counts for nothing */
    float coherence;              /* >= 0 */
    float noise;                  /* the largest deviation of added noise, grey levels; 0: none */
    float noise_share;            /* of the groups, 0 to 1 */
    /* Trees with the same relative paths up to the extension, and the same sizes; or NULL. As they
       are: limit and downscale are of the other images alone. */
    const char *pairs_clean, *pairs_protected;
    int pair_limit;      /* at most so many, evenly spaced over the list of paths; 0: all */
    float pair_share;    /* of the groups, 0 to 1 */
    float pair_transfer; /* of those, 0 to 1 */
};
struct train_restore_options train_restore_default(void);
/* How much of a family was taken away in the last window of the log (up to 100 steps), by the
   weights of its steps, before they were averaged. */
struct train_restore_family {
    const char *name; /* "pairs": of the pairs; "noise": of all that was shown with noise */
    int64_t images;
    double removed; /* 1 - sum r^2 / sum (x - clean)^2; NAN where nothing was put on */
    /* The same of the part that is alike in a group, without bias: r^2 in the sum is the mean of
       r_i r_j over pairs of different images. NAN without groups. */
    double removed_coherent;
    double rest; /* root of the mean r^2, in grey levels */
};
struct train_restore_result {
    struct train_fit_result fit;
    int families; /* those that images of the window had */
    struct train_restore_family family[TRAIN_FAMILIES_MAX];
};
/* The log's lines have "families": {NAME: {"images","removed","coherent","rest"}}. */
status train_restore_run(const struct train_restore_options *opt, struct train_restore_result *out,
                         struct errmsg *e) MUST_USE;

/* ================================ filter estimators ================================ */
/*
 * A filter estimator (purify_estimator) learns from unprotected images that went through kernels of
 * CUDA's kind (Sadasivan et al., CVPR 2023): one entry is 1, at a position drawn at random, the
 * others are U(0,b), b itself U(0,blur); each drawn anew for each image. It minimises the square of
 * the distance to the kernel of sum 1. Some images went through none (plain), and to some of those a
 * perturbation is added (perturbed), which must not be taken for a filter. Some squares (large) are the
 * quarters of four images, as those of a photograph's corners are (purify/deconvolve.h). So it knows the kind of kernels, and none that somebody protects with.
 */
struct train_estimator_options {
    struct train_fit_options fit; /* batch: at most 65,536 */
    struct purify_estimator cfg;  /* in_channels 0: as the first image. With fit.from the network is
                                     that file's */
    const char *families;         /* of perturbations, as train_restore_options has them; only such as
                                     do not depend on the image */
    float blur;                   /* over 0, at most 1 */
    float plain;                  /* of all images, 0 to 1 */
    float perturbed;              /* of the plain ones */
    float large;                  /* of all images */
};
struct train_estimator_options train_estimator_default(void);
status train_estimator_run(const struct train_estimator_options *opt, struct train_fit_result *out,
                           struct errmsg *e) MUST_USE;

/* ================================ protections ================================ */
/*
 * Unlearnable examples: DST mirrors SRC's class folders as PNG (lossless whatever the source was).
 * DST/protection.json, written last, records method, parameters, seed and rule of quantisation. The
 * signed float perturbation of a method that adds one, before quantisation and clipping, lies
 * beside DST in DST.perturbation.safetensors: tensor "delta" (n,h,w,C) for images in [0,1],
 * metadata "index" "class" or "sample" (in ImageFolder order: n-th class or n-th image), "patch"
 * the side of the square of pixels that each value covers. Of images that differ in size h and w
 * cover the largest; an image has its part from the top left corner on.
 *
 * Of a set that is protected in part (fraction, after, classes), protection.json lists the protected images
 * (part.paths), and a perturbation by samples is zero for the others.
 *
 * Method "apply" takes such a file, or what others published: see its parameters.
 */
enum train_quantise {
    TRAIN_ROUND,         /* clip(x + 255 delta) to 0..255, rounded half up */
    TRAIN_TRUNCATE,      /* clip, then towards zero: what LSP's released code does */
    TRAIN_POSITIVE_HALF, /* negative parts of 255 delta dropped first, then truncated: released "EM"
                            data */
    TRAIN_QUANTISE_COUNT
};
const char *train_quantise_name(enum train_quantise q);
status train_quantise_parse(const char *name, enum train_quantise *out) MUST_USE;

struct train_protect_options {
    const char *method; /* of train_protect_method */
    const char *src_dir, *dst_dir;
    const char *delta_file; /* of method "apply" alone */
    double fraction;     /* of the images, balanced over classes; the rest is as it was. 0: all */
    double after;        /* the first part of them, which is left out; then comes the fraction */
    const char *classes; /* only of these: names parted by commas; NULL: all */
    uint64_t seed;
    int quantise;                  /* enum train_quantise; -1: the method's own */
    double eps;                    /* in grey levels; 0: the method's own */
    const struct param_arg *param; /* (n_params) of the method's table */
    int n_params;
    int limit, size, channels; /* as of train_data_options */
    bool skip_bad, force, quiet;
    bool discard; /* what was added is not kept beside DST */
    int threads;
};
struct train_protect_result {
    int images, protected_images;
    double mean_l2, max_abs; /* of the deltas before quantisation, images in [0,1] */
    double psnr_db;          /* of the protected images against the source */
    int rounds;              /* of a method with a surrogate, or its epochs; 0: there was none */
    double surrogate_error;  /* last measured */
    enum nn_precision precision; /* of the surrogate */
};
/* Name and one-line summary of method i; NULL past the end. */
const char *train_protect_method(int i, const char **out_summary);
/* The parameters that only method i has; NULL past the end. */
const struct param_table *train_protect_params(int i);
/* STATUS_EXISTS when dst_dir exists and is not empty, or the file beside it exists (force replaces
   what is in the way). Images may differ in size where the method allows it. INVALID for a
   parameter that the method does not have, with those that it has. Nothing is
   written below src_dir; a call that fails leaves nothing that it wrote. Shows progress unless
   quiet. */
status train_protect(const struct train_protect_options *opt, struct train_protect_result *out,
                     struct errmsg *e) MUST_USE;

/* ================================ unpacking ================================ */
/*
 * What image sets are published in -> DIR/<class>/NNNNN.png, NNNNN the position in the archive:
 * IDX (MNIST family), CIFAR-10/100, binary or for Python, and the tar archives of either, all of them
 * also gzip-compressed; numpy's arrays of bytes (.npy with the labels in another, .npz with both).
 * Class names are digits (two for CIFAR-100) unless given.
 */
struct train_unpack_options {
    const char *images;         /* IDX images, a CIFAR file or archive, .npy or .npz */
    const char *labels;         /* IDX or .npy labels; NULL for CIFAR, .npz or flat */
    enum image_array_part part; /* of an archive; otherwise IMAGE_ARRAY_ALL */
    const char *out_dir;
    const char *class_names; /* comma-separated; NULL: digits */
    int limit;               /* first N of the archive; 0: all */
    bool flat;               /* DIR/NNNNN.png */
    bool quiet;
};
/* Existing files are replaced; a call that fails or is stopped removes everything that it wrote. */
status train_unpack(const struct train_unpack_options *opt, int *out_images,
                    struct errmsg *e) MUST_USE;

/* ================================ bench ================================ */
/*
 * A table of experiments: each protection, each countermeasure against it, each victim and each
 * seed is a cell, whose figure is what a victim learned. A matrix file says which:
 *
 *     [bench]
 *     data = train            ; folders, as seen from this file; or as options of the call
 *     test = test
 *     images = 10000          ; balanced over the classes; also: size, channels
 *     protections = clean, lsp, strong
 *     countermeasures = none, grey, staged
 *     victims = resnet18
 *     seeds = 0, 1, 2
 *     [train]                 ; options of `relearn train`, for all cells
 *     epochs = 20
 *     [protection strong]     ; without a section the name is the method; clean is none
 *     method = lsp
 *     eps = 12
 *     [protection theirs]
 *     tree = theirs           ; in place of a method: the same images, protected by somebody else
 *     [countermeasure staged] ; without a section the name is the profile; none is none
 *     profile = grey          ; and/or options of `relearn train` (on top of [train])
 *     recipe = staged
 *     [victim mine]           ; another victim than a network: a program, which gets --data, --test, --out,
 *     command = python3 m.py  ; --seed and --threads, and prints {"test_accuracy": 0.9} last
 *     files = m.py            ; what it consists of: its cells are known by what is in there
 *     [preset quick]          ; keys of [bench] and of [train], on top of them, when it is asked for
 *     epochs = 2
 *
 * A cell is known by the SHA-256 of all that decides it: its options as the commands get them, the
 * data's digests, the profile's id, the program's version. What is changed makes another cell, and
 * nothing that was measured is lost or overwritten. In OUT:
 *
 * - results/ID.json: description and figures of a cell; failed/ID.json: why there are none;
 *
 * - trees/ID: images that cells share (clean, protected, purified), removed when no open cell of the
 *   matrix needs them; whole when trees/ID.json is there;
 *
 * - runs/ID: a training under way; logs/ID.log: what the commands said; cache: of the
 *   purifier;
 *
 * - claims/ID: who works at a cell or a tree. Any number of calls, also on other hosts that share
 *   OUT, divide the cells. A claim is void when its process is gone, or after ten minutes without
 *   a sign of life.
 *
 * The work is done by the program's own commands, run as child processes, which end with the
 * caller. Whatever ends it, the same call goes on: only what a child had not saved is lost.
 */
struct train_bench_options {
    const char *matrix;              /* the file */
    const char *preset;              /* NULL: none */
    const char *data_dir, *test_dir; /* NULL: the matrix says it */
    const char *out_dir;             /* NULL: bench-NAME, NAME the file's without .ini */
    const char *cache_dir;           /* of the purifier, on a local file system; NULL: OUT/cache */
    const char *cells;   /* glob of "PROTECTION COUNTERMEASURE VICTIM SEED", with @(a|b); NULL: all */
    const char *program; /* path of relearn */
    int jobs;            /* cells at a time; 0: 1 */
    int threads;         /* of all jobs together; 0: cpu_count() */
    bool no_keys;        /* messages tell users of --size and --channels, not of the matrix's keys */
    bool keep;           /* trees */
    bool quiet;
};
struct train_bench;
/* Reads the matrix and the data, whose pixels make the cells' names. Makes nothing. INVALID names
   file and line of a mistake. */
status train_bench_open(const struct train_bench_options *opt, struct train_bench **out,
                        struct errmsg *e) MUST_USE;
void train_bench_free(struct train_bench *b);
DEFINE_FREEP(struct train_bench *, train_bench_free)

enum train_bench_state {
    TRAIN_BENCH_OPEN,
    TRAIN_BENCH_CLAIMED, /* somebody works at it */
    TRAIN_BENCH_FAILED,  /* and will be tried again */
    TRAIN_BENCH_DONE,
    TRAIN_BENCH_STATE_COUNT
};
extern const char *const train_bench_states[TRAIN_BENCH_STATE_COUNT + 1]; /* then NULL */
enum train_bench_figure {
    TRAIN_BENCH_LAST,     /* accuracy on the test images after the last epoch */
    TRAIN_BENCH_BEST,     /* the best of all epochs that were tested */
    TRAIN_BENCH_TRAIN,    /* accuracy on the images it was trained on */
    TRAIN_BENCH_PSNR,     /* dB, of those to the clean ones (mean squared error over 1000 of them);
                          INFINITY where they are these */
    TRAIN_BENCH_COHERENT, /* grey levels, RMS: what the images of a class have in common of their
                             difference to the clean ones; NAN where that cannot be said */
    TRAIN_BENCH_FIGURE_COUNT
};
extern const char *const train_bench_figures[TRAIN_BENCH_FIGURE_COUNT + 1]; /* then NULL */
struct train_bench_cell {
    const char *protection, *countermeasure, *victim; /* live as long as the bench */
    uint64_t seed;
    char id[DIGEST_HEX_LEN + 1];
    enum train_bench_state state;
    double figure[TRAIN_BENCH_FIGURE_COUNT]; /* when done; NAN: not measured */
    double seconds;                          /* of its training, when done */
    double tune_s, purify_s; /* of what made its images; NAN: nothing did, or it is not known */
    char why[256];           /* it failed */
};
/* Cells that the pattern names, row by row: by protection, countermeasure, victim, seed. */
int train_bench_cells(const struct train_bench *b);
/* As it is on disk now. */
status train_bench_cell(const struct train_bench *b, int i, struct train_bench_cell *out,
                        struct errmsg *e) MUST_USE;
/* Seconds until all is done with these jobs, by the trainings that were measured; NAN: none was. */
double train_bench_time_left(const struct train_bench *b);

struct train_bench_result {
    int done, failed, cells; /* done: of all cells, whoever did it */
    char first_why[256];     /* of the first that failed */
};
/* Works until no cell is open: done, or failed in this call. Shows progress unless quiet.
   CANCELLED within a second of a signal; the same call goes on. */
status train_bench_run(struct train_bench *b, struct train_bench_result *out,
                       struct errmsg *e) MUST_USE;

enum train_bench_format {
    TRAIN_BENCH_MARKDOWN, /* a table for each victim: mean ± deviation over seeds, of one figure */
    TRAIN_BENCH_CSV,      /* a line for each mean, of all figures */
    TRAIN_BENCH_JSON      /* the same, with all cells, and the ids of profiles */
};
/* Appends what is measured so far. Deviations are those of a sample (n-1). */
status train_bench_table(const struct train_bench *b, enum train_bench_format format,
                         enum train_bench_figure figure, struct buf *out,
                         struct errmsg *e) MUST_USE;

/* ================================ battery ================================ */
/*
 * What a protection takes from a network, and what removes it: a small network is trained on the images
 * as they are; as each of some profiles purifies them; and where the same images are there from before
 * (`clean_dir`), on these, and behind a restorer that was fine-tuned on some of the pairs. Its accuracy
 * on clean test images says what it has learned. Then
 *
 *     taken = accuracy on clean images - accuracy on them as they are
 *     back  = (accuracy behind a countermeasure - accuracy on them as they are) / taken
 *
 * Trainings are without augmentation: a small network then soon knows the images by heart, as a larger
 * one does of more images after more epochs, and only that shows what a protection takes.
 *
 * It is a bench of two matrices, OUT/clean.ini and OUT/protected.ini, and all that is said there is true
 * here: whatever ends it, the same call goes on, and what is measured is kept. EXISTS: OUT has something
 * in it, and no battery was begun there.
 *
 * Without test images every fifth image of each class of clean_dir is held out: nothing is trained on it,
 * on what protects it, or on what purifies that.
 */
enum { TRAIN_BATTERY_PROFILES_MAX = 16, TRAIN_BATTERY_TRIALS_MAX = TRAIN_BATTERY_PROFILES_MAX + 3 };
struct train_battery_options {
    const char *dir;       /* what is audited */
    const char *clean_dir; /* as of train_audit_options; or NULL */
    const char *test_dir;  /* clean images of the same classes; NULL: a part of clean_dir */
    const char *out_dir;
    const char *profiles; /* NAME[,NAME...], or paths; NULL: `restore,default` */
    int pairs;           /* that the first profile with a restorer is fine-tuned on; 0: it is not */
    int tune_steps;      /* of that; 0: 1000 */
    const char *arch;    /* NULL: resnet8s2 */
    int epochs;          /* 0: 20 */
    int seeds;           /* trainings of each; 0: 1 */
    int limit;           /* images, balanced over classes; 0: TRAIN_AUDIT_LIMIT */
    int size;            /* every image is made size x size for the networks; 0: all have one size */
    int channels;        /* as of train_data_options */
    const char *program; /* path of relearn */
    int threads;         /* 0: cpu_count() */
    bool quiet;
};
enum train_battery_way {
    TRAIN_BATTERY_AS_IT_IS,
    TRAIN_BATTERY_CLEAN,
    TRAIN_BATTERY_PURIFIED,
    TRAIN_BATTERY_TUNED, /* purified by a profile whose restorer was fine-tuned */
    TRAIN_BATTERY_WAY_COUNT
};
extern const char *const train_battery_ways[TRAIN_BATTERY_WAY_COUNT + 1]; /* then NULL */
struct train_battery_trial {
    enum train_battery_way way;
    char profile[256]; /* "": none */
    int seeds;         /* that were trained */
    double accuracy;   /* on the test images after the last epoch; mean over seeds */
    double error; /* standard error of that: of so many test images, and of the seeds if several */
    double back;  /* NAN: not known, or nothing was taken */
    double purify_s, tune_s; /* NAN: that was not done */
};
enum train_battery_verdict {
    TRAIN_BATTERY_REMOVED, /* a trial brings TRAIN_BATTERY_BACK or more back; `best` is the cheapest */
    TRAIN_BATTERY_PARTLY,  /* `best` brings TRAIN_BATTERY_HALF or more back */
    TRAIN_BATTERY_HOLDS,   /* none does */
    TRAIN_BATTERY_NOTHING, /* little is taken, if anything: there is nothing to bring back */
    /* without clean images it is not known how much is taken: */
    TRAIN_BATTERY_GAINS,  /* behind `best` more is learned, beyond chance */
    TRAIN_BATTERY_UNKNOWN /* behind none */
};
extern const char *const train_battery_verdicts[];
#define TRAIN_BATTERY_BACK .9
#define TRAIN_BATTERY_HALF .5
#define TRAIN_BATTERY_LITTLE .05 /* less taken than that is TRAIN_BATTERY_NOTHING, as is chance */
struct train_battery_result {
    int images, test_images, classes;
    bool held_out; /* the test images are a part of clean_dir */
    const char *arch;
    int epochs;
    struct train_battery_trial trial[TRAIN_BATTERY_TRIALS_MAX]; /* the first is as they are */
    int trials;
    double taken, taken_error; /* NAN without clean images */
    double strength;           /* taken over (accuracy on clean images - chance) */
    enum train_battery_verdict verdict;
    int best; /* of trial; -1: none */
};
/* INVALID: options contradict each other, or the trees do not hold the same. IO: a part of it failed,
   and the same call tries it again. CANCELLED on a signal. Shows progress unless quiet. */
status train_battery(const struct train_battery_options *opt, struct train_battery_result *out,
                     struct errmsg *e) MUST_USE;

/* ================================ distance ================================ */
/*
 * The unlearnable distance (train_ud) of images from what they were before: a small network is
 * trained on each, as of a battery, with the SAL of its layers after each epoch, and the runs are kept
 * in OUT. Whatever ends it, the same call goes on, and a run that is there is not trained again.
 *
 * It is a rough figure. Of 2,000 images of CIFAR-10, with resnet8s2 and 10 epochs, from clean runs of two
 * seeds:
 *
 *     clean, the other seed   1.07  1.00      (43 % of clean test images are told right)
 *     LSP, seed 0              .79   .92      (32 %)
 *     LSP, seed 1              .57   .67      (32 %)
 *     EMN, seed 0              .82   .72      (10 %)
 *
 * so that seeds alone move it by .2, and what a protection takes shows in accuracies (train_battery) far
 * better. On EMN's images the layers answer as sharply as on clean ones for five epochs; then the loss is
 * 0, and none but the first answers at all. So its figure falls the longer the runs are: .66 after 20.
 */
struct train_distance_options {
    const char *dir, *clean_dir; /* as of train_audit_options */
    const char *out_dir;
    const char *arch; /* NULL: as of a battery */
    int epochs;       /* 0: 10 */
    int limit;        /* images, balanced over classes; 0: TRAIN_AUDIT_LIMIT */
    int size, channels; /* as of a battery */
    bool skip_bad;
    int threads; /* 0: cpu_count() */
    bool quiet;
};
struct train_distance {
    const char *arch;
    int images;
    struct train_ud ud;
};
/* INVALID: options contradict each other, or OUT lies in what is audited. CANCELLED on a signal.
   Shows progress unless quiet. */
status train_distance(const struct train_distance_options *opt, struct train_distance *out,
                      struct errmsg *e) MUST_USE;

/* ================================ report ================================ */

/* Trees of a contact sheet; they hold the same paths up to the extension. */
struct train_report_sheet {
    const char *clean_dir, *protected_dir, *purified_dir;
};
/* Of run_dirs, those whose images were protected, purified or clean, whatever their records say. */
struct train_report_roles {
    const char *const *protected_dirs, *const *purified_dirs, *const *clean_dirs;
    int n_protected, n_purified, n_clean;
};
/*
 * Runs that differ in nothing but the seed are shown as one, with mean and deviation. What their
 * images were is taken from their records: purified by a mount; protected, where `relearn protect`
 * wrote them or they are the source of such a mount; else clean. `roles` says otherwise.
 */
struct train_report_options {
    const char *out_file;        /* one self-contained HTML file */
    const char *title;           /* NULL: "relearn report" */
    const char *const *run_dirs; /* their config.json, log.jsonl and test.json */
    int n_runs;
    struct train_report_roles roles;
    const char *const *facts; /* "key=value", shown as a table */
    int n_facts;
    const struct train_report_sheet *sheets; /* contact sheets */
    int n_sheets;
    int sheet_columns; /* 0: 10 */
    const char
        *lpips_file; /* weights of a perceptual distance (`relearn model import --lpips`) that
                               sheets are measured by, too; NULL: none */
};
/* STATUS_CORRUPT names the run and line that cannot be read. */
status train_report(const struct train_report_options *opt, struct errmsg *e) MUST_USE;

#endif
