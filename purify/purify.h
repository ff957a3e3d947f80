#ifndef PURIFY_PURIFY_H
#define PURIFY_PURIFY_H
/*
 * purify: removes protective perturbations from images, by a chain of purifiers. The main one is
 * Joint-Conditional Diffusion Purification (JCDP; Jiang et al., "Unlearnable Examples Give a False
 * Sense of Security", arXiv 2305.09241, eq. 16-20), a DDPM (Ho et al. 2020) guided towards the
 * protected image.
 *
 * Parts, bottom up: noise schedule -> UNet -> perceptual distance -> sampler (one image tile), and
 * restorer, filter estimator -> purifiers -> engine (one image of any size) -> service (many images, many threads, two
 * priorities).
 *
 * The promise: the output is a pure function of (width, height, channels, pixels, profile). Not of
 * neighbours, threads, order, or caller. Every random number comes from Philox keyed by the SHA-256
 * of shape and pixels and by the profile id; a network evaluation is made on one thread, on one
 * tile or on several at once, and gives a tile the same bits either way. (Another kind of CPU may
 * round otherwise: the kernels are chosen for it.)
 *
 * For diffusion, images larger than the network's tiles are cut into overlapping tiles and blended,
 * smaller ones are reflected outward; overlapping tiles see the same noise where they overlap.
 * Guidance works per tile, D in the formulas is a tile's elements, so that a scale means the same
 * for every image size. For a restorer, what is predicted for a tile is what is predicted there for
 * the whole image, so nothing is blended. A grey image goes through a colour network replicated and comes back as the mean of the
 * channels; a colour image through a grey network is STATUS_UNSUPPORTED.
 *
 * Images are `struct image`: 8-bit grey or RGB, alpha carried through untouched. Inside, pixels are
 * floats in [-1,1], NHWC; the result is clipped and rounded half to even.
 */
#include "base/base.h"
#include "base/param.h"
#include "image/image.h"
#include "nn/nn.h"

/* ================================ noise schedule ================================ */

enum { PURIFY_TOTAL_MAX = 10000 }; /* T */
enum purify_beta { PURIFY_BETA_LINEAR, PURIFY_BETA_COSINE, PURIFY_BETA_COUNT };
enum purify_variance { PURIFY_FIXED_LARGE, PURIFY_FIXED_SMALL, PURIFY_VARIANCE_COUNT };

/* A respaced schedule: the steps t of 0..T-1 a sampler visits, ascending, with the quantities of
   Ho et al. 2020 eq. 4-7 recomputed for the gaps (Nichol & Dhariwal 2021, section 4). */
struct purify_schedule {
    int steps;
    int *t;            /* (steps) index in the full schedule: the network's input */
    double *alpha_bar; /* (steps) */
    double *beta;      /* (steps) of the respaced chain */
    double *variance;  /* (steps) by the chosen rule; [0] is the posterior variance of step 1
                          (the only step of a chain of one: its beta) */
};
/* alpha_bar of the full chain at t (0-based); NAN outside 0..total-1. */
double purify_alpha_bar(enum purify_beta kind, int total, int t);
/* The respaced chain that covers t_start-1 .. 0 in `steps` evenly spaced steps, both ends included
   (1 <= steps <= t_start <= total; STATUS_INVALID otherwise). */
status purify_schedule_new(enum purify_beta kind, int total, int t_start, int steps,
                           enum purify_variance variance, struct purify_schedule **out) MUST_USE;
void purify_schedule_free(struct purify_schedule *s);
DEFINE_FREEP(struct purify_schedule *, purify_schedule_free)

/* ================================ UNet ================================ */
/*
 * The DDPM CIFAR-10 architecture (Ho et al. 2020, appendix B); parameter names are those of the
 * PyTorch port whose checkpoints are published: temb.dense.{0,1}, conv_in,
 * down.L.block.B.{norm1,conv1,temb_proj,norm2,conv2,nin_shortcut},
 * down.L.attn.B.{norm,q,k,v,proj_out}, down.L.downsample.conv, mid.{block_1,attn_1,block_2},
 * up.L.…, norm_out, conv_out.
 *
 * What Nichol & Dhariwal (2021, "Improved DDPM") and Dhariwal & Nichol (2021, ADM) changed is
 * configuration; all zero is Ho et al.'s network. With scale_shift a block has temb_scale and
 * temb_shift for temb_proj: norm2's output is multiplied by the one and the other is added to it
 * (AdaGN, Dhariwal & Nichol eq. 5; temb_scale's bias holds the 1 of "1 + scale"). With res_resample
 * a level ends in a residual block that averages 2x2 pixels (down.L.downsample.{norm1,...}) or
 * repeats them (up.L.upsample.…) between its norm1 and conv1 and on its shortcut.
 */
enum { PURIFY_LEVELS_MAX = 6 };
struct purify_unet {
    int in_channels; /* 1 or 3; output has the same */
    int size;        /* side in pixels the network was trained on */
    int ch;          /* base channels */
    int levels;      /* number of multipliers */
    int ch_mult[PURIFY_LEVELS_MAX];
    int res_blocks; /* per level */
    int attn_count;
    int attn[PURIFY_LEVELS_MAX]; /* resolutions (sides) with attention */
    bool mid_attn;               /* attention in the middle (the published networks: true) */
    int groups;                  /* of group norm; 32 in the published networks */
    float dropout;               /* only for training */
    bool scale_shift, res_resample;
    int heads, head_channels; /* of attention: channels / head_channels, or heads, or 1 */
    bool even_padding;        /* down-sampling convolutions are padded by 1 on all sides, not by 1
                                 at the far ends */
    bool plain_embedding;     /* nn_timestep_embedding with shift 0, not 1 */
    float norm_eps;           /* of group norm; 0: 1e-6, that of Ho et al. */
    float t_scale;            /* the network's input is t * t_scale; 0: t */
    int total;                /* T, 1000 */
    enum purify_beta beta;
    int t_max; /* trained on t < t_max; total when trained on all */
};
/* Says what is wrong with a configuration (STATUS_INVALID); the graph builder relies on it. */
status purify_unet_check(const struct purify_unet *cfg, struct errmsg *e) MUST_USE;
/* x (N,H,W,C), t (N) f32 -> predicted noise, shape of x. H and W divisible by 2^(levels-1);
   attention is placed by the ratio to cfg->size. */
struct nn_val purify_unet_build(struct nn_graph *g, const struct purify_unet *cfg, struct nn_val x,
                                struct nn_val t, bool training);
/* Metadata in a weights file <-> configuration. The strings live in the buf. */
status purify_unet_from_file(const struct nn_file *f, struct purify_unet *out,
                             struct errmsg *e) MUST_USE;
/* Key/value pairs for nn_params_save; *out_n entries of storage that *store owns. */
struct purify_meta {
    struct nn_meta pair[24]; /* n of them; the caller may add its own behind them */
    int n;
    char text[24][64];
};
void purify_unet_to_meta(const struct purify_unet *cfg, struct purify_meta *out);

/*
 * A published UNet as a weights file of ours. Read are the networks of Ho et al. 2020 as ported to
 * PyTorch, of Nichol & Dhariwal 2021 and Dhariwal & Nichol 2021 (without class labels; a learned
 * variance is left out), and UNet2DModel of diffusers. path is a file that nn_file_open_any reads,
 * or a folder of diffusers, whose configuration is read too. The architecture is read off the
 * tensors' names and shapes, all tensors under the prefix have to have a place in it, and all of
 * its places have to be filled; the first tensor that does not fit is named in e. What the network
 * answers then is PyTorch's in f32 to 1e-4 of the largest value, in bf16 to 2e-2.
 */
/* "linear" or "cosine"; false when text is neither. */
bool purify_beta_parse(const char *text, enum purify_beta *out);
struct purify_import {
    const char *prefix; /* of the tensors' names, such as "ema."; NULL: the only one there is */
    /* What no tensor says; 0: as a configuration beside it says, else as in parentheses. */
    int size;                 /* side in pixels it was trained on (32) */
    int groups;               /* of group norm (32) */
    int heads, head_channels; /* of attention (1; guided-diffusion: an error) */
    int timesteps;            /* of the schedule (1000) */
    enum purify_beta beta;    /* the schedule, where no configuration says it */
};
status purify_unet_import(const char *path, const struct purify_import *how, const char *out_path,
                          struct purify_unet *out, struct errmsg *e) MUST_USE;

/* ================================ restorer ================================ */
/*
 * Predicts the perturbation that an image carries, in one evaluation and at any size: a small
 * U-Net (Ronneberger et al. 2015, arXiv 1505.04597) of residual blocks without normalisation (Lim
 * et al. 2017, "EDSR", arXiv 1707.02921, fig. 2) on 2x2 pixels folded into channels (Shi et al.
 * 2016, arXiv 1609.05158). Only convolutions, so that a pixel of the result depends on what is near
 * it, and on nothing else of the image.
 *
 *     x = conv_in(folded)
 *     for each level L:           x += conv1(relu(conv0(x))), `blocks` times    down.L.block.B.…
 *         but for the last:       skip[L] = x; x = conv of stride 2             down.L.downsample
 *     for each level but the last, upwards:
 *         x = skip[L] + twice as large, nearest(1x1 conv(x))                    up.L.upsample
 *         x += conv1(relu(conv0(x))), `blocks` times                            up.L.block.B.…
 *     predicted = conv_out(x)
 *
 * Convolutions are 3x3 with zeros beyond the edge and have biases, unless said otherwise. A new
 * network predicts 0: conv_out and every conv1 begin at 0.
 *
 * With purify_restorer_default() it costs 267 kFLOP a pixel, 0.66 TFLOP for 1920x1280.
 */
struct purify_restorer {
    int in_channels;              /* C of the image, 1 or 3 */
    int levels;                   /* level L computes at 1/2^(L+1) of the image's sides */
    int width[PURIFY_LEVELS_MAX]; /* channels of each level, multiples of 32 */
    int blocks;                   /* residual blocks of a level on either way */
};
/* What is trained where nothing else is asked for: widths 64, 96, 128, 2 blocks. */
struct purify_restorer purify_restorer_default(void);
/* Says what is wrong with a configuration (STATUS_INVALID), a reach over 256 among it; the graph
   builder relies on it. */
status purify_restorer_check(const struct purify_restorer *cfg, struct errmsg *e) MUST_USE;
/* x (N,H/2,W/2,4C), folded pixels in [-1,1], H and W multiples of purify_restorer_unit -> the
   predicted perturbation, of the same shape and order: 1 is PURIFY_RESTORER_GREYS grey levels of
   255, so that what is to be learned is of the order of 1. (In pixels of [-1,1] it is 2 *
   PURIFY_RESTORER_GREYS / 255.) */
enum { PURIFY_RESTORER_GREYS = 16 };
struct nn_val purify_restorer_build(struct nn_graph *g, const struct purify_restorer *cfg,
                                    struct nn_val x);
/* Sides of images are multiples of it: 2^levels. */
int purify_restorer_unit(const struct purify_restorer *cfg);
/* What is predicted for a region whose sides lie on multiples of the unit depends on no pixel that
   is more than this away from it. A multiple of the unit; 96 for the default. */
int purify_restorer_reach(const struct purify_restorer *cfg);
/* An image (H,W,C) as 2x2 pixels a position, (H/2,W/2,4C), and back. H and W are even. Channel c of
   pixel (2i+a, 2j+b) is channel (2a+b) C + c of position (i,j). */
void purify_restorer_fold(const float *image, int height, int width, int channels, float *out);
void purify_restorer_unfold(const float *folded, int height, int width, int channels, float *out);
/* As the UNet's; the architecture is called "restorer". */
status purify_restorer_from_file(const struct nn_file *f, struct purify_restorer *out,
                                 struct errmsg *e) MUST_USE;
void purify_restorer_to_meta(const struct purify_restorer *cfg, struct purify_meta *out);

/* ================================ filter estimator ================================ */
/*
 * Says through which small filter an image went, that is, of an image y the kernel k of sum 1 with
 *
 *     y[i][j] = c * (sum over a, b of k[a][b] x[i + a - h][j + b - h]),   h = side / 2,
 *
 * for some natural image x, which is 0 beyond its edge, and some c; the same k in all channels. That
 * is what CUDA does (Sadasivan et al., CVPR 2023). Of an image that went through none it says 1 in
 * the middle and 0 elsewhere. It looks at one square:
 *
 *     x = relu(conv(x)) for each level, behind the first with stride 2      conv.L
 *     k = linear of all that is left                                        head
 *
 * Convolutions are 3x3 with zeros beyond the edge and have biases. With purify_estimator_default()
 * it costs 22 MFLOP.
 */
enum { PURIFY_ESTIMATOR_ENTRIES_MAX = 81 };
struct purify_estimator {
    int in_channels; /* of the square, 1 or 3 */
    int size;        /* its side, px, a multiple of 2^(levels - 1) */
    int side;        /* of the kernel, 3, 5, 7 or 9 */
    int levels;
    int width[PURIFY_LEVELS_MAX]; /* channels of each level, multiples of 32 */
};
/* Colour, 32 pixels, 3x3, widths 32, 64, 96, 128. */
struct purify_estimator purify_estimator_default(void);
/* Says what is wrong with a configuration (STATUS_INVALID); the graph builder relies on it. */
status purify_estimator_check(const struct purify_estimator *cfg, struct errmsg *e) MUST_USE;
/* x (N,size,size,C), pixels in [-1,1] -> (N,side^2), rows of kernels; their sums are about 1. */
struct nn_val purify_estimator_build(struct nn_graph *g, const struct purify_estimator *cfg,
                                     struct nn_val x);
/* As the UNet's; the architecture is called "filter-estimator". */
status purify_estimator_from_file(const struct nn_file *f, struct purify_estimator *out,
                                  struct errmsg *e) MUST_USE;
void purify_estimator_to_meta(const struct purify_estimator *cfg, struct purify_meta *out);

/* ================================ perceptual distance ================================ */
/*
 * LPIPS (Zhang et al. 2018, eq. 1): features of a fixed network at several depths, unit-normalised
 * over channels, squared differences weighted per channel, averaged over space, summed over depths.
 * The weights lin.S.weight (C_S) are buffers.
 *
 * "percept-vgg" is our own, small, and was trained by `relearn train` on unprotected photographs;
 * its file's metadata says widths, and which layers are compared. Its lin.S.weight is relative to
 * the mean over channels, 1 unless somebody learned it: the distance divides it by C_S. It wants
 * images of the number of channels that it was trained on.
 *
 * The others are LPIPS as published, version 0.1, over AlexNet, VGG-16 and SqueezeNet 1.1. Their
 * lin.S.weight is LPIPS's own, not divided by anything; its fixed shift and scale of the input are
 * part of the features. They read a grey image as one of three equal channels.
 */
enum purify_percept_net {
    PURIFY_PERCEPT_VGG,
    PURIFY_LPIPS_ALEXNET,
    PURIFY_LPIPS_VGG16,
    PURIFY_LPIPS_SQUEEZENET,
    PURIFY_PERCEPT_COUNT
};
enum { PURIFY_FEATURES_MAX = 8 };
struct purify_percept_cfg {
    enum purify_percept_net net;
    int in_channels; /* 3 but for PERCEPT_VGG */
    /* of PERCEPT_VGG only: */
    int stages;
    int width[PURIFY_LEVELS_MAX]; /* channels of each stage: two 3x3 convolutions + ReLU, then 2x2
                                     max pool */
    int classes;                  /* of the classifier it was trained as */
};
/* "percept-vgg", "lpips-alexnet", "lpips-vgg16", "lpips-squeezenet1_1": the architecture in the
   metadata. */
const char *purify_percept_name(const struct purify_percept_cfg *cfg);
/* x (N,H,W,C) in [-1,1]; writes the activations that are compared (before pooling) to
   out_feature[PURIFY_FEATURES_MAX] and returns how many they are: PERCEPT_VGG's stages. */
int purify_percept_features(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                            struct nn_val x, struct nn_val *out_feature);
/* PERCEPT_VGG only: the classifier head on the same body, for training it: logits (N,classes).
   Declares lin.S.weight too, so that the saved classifier is a whole distance. */
struct nn_val purify_percept_logits(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                                    struct nn_val x);
/* a, b (N,H,W,C) -> (N); each sample's own. */
struct nn_val purify_percept_distance(struct nn_graph *g, const struct purify_percept_cfg *cfg,
                                      struct nn_val a, struct nn_val b);
/* STATUS_INVALID, and e says why, when images of this side and number of channels have no distance:
   they are too small for the network, or it wants other channels. */
status purify_percept_check(const struct purify_percept_cfg *cfg, int side, int channels,
                            struct errmsg *e) MUST_USE;
status purify_percept_from_file(const struct nn_file *f, struct purify_percept_cfg *out,
                                struct errmsg *e) MUST_USE;
void purify_percept_to_meta(const struct purify_percept_cfg *cfg, struct purify_meta *out);

/*
 * LPIPS from what others publish, as a weights file of ours. `backbone` is torchvision's AlexNet,
 * VGG-16 or SqueezeNet 1.1: which one is read off its tensors, of which those called classifier.*
 * have no part in LPIPS and are ignored. `linear` is LPIPS's file for it: linS.model.1.weight
 * (1,C_S,1,1). All other tensors have to have a place, and all places have to be filled; the first
 * tensor that does not fit is named in e. The inputs are what nn_file_open_any reads.
 */
struct purify_lpips_import {
    const struct nn_file *backbone, *linear;
    const char *prefix; /* of the backbone's tensors, such as "module."; NULL: the only one */
};
status purify_lpips_import(const struct purify_lpips_import *how, const char *out_path,
                           struct purify_percept_cfg *out, struct errmsg *e) MUST_USE;

/* ================================ profile ================================ */
/*
 * What is done to an image, as a small INI file: a chain of purifiers, each of which is given the
 * 8-bit pixels that the one before it made.
 *
 *     [purify]
 *     chain = grey, jpeg
 *     [jpeg]
 *     quality = 10
 *
 * Where the chain is jcdp alone, its keys may stand under [purify], and no chain be named: such a
 * profile is written that way.
 *
 * The id is the SHA-256 of the canonical form (the purifiers with their versions, all of their
 * parameters in fixed order and spelling, weights by the digests of their files), so two profiles
 * that do the same have the same id, and any change that can change a byte of output changes the
 * id. Nothing of a purifier that is not in the chain is in it.
 */
struct purifier_ops;
/* One of the purifiers that can be in a chain. */
struct purify_about {
    const char *name, *summary;
    const struct param_table *params;
};
/* The i-th of them; false: there are fewer. */
bool purify_about(int i, struct purify_about *out);

enum { PURIFY_CHAIN_MAX = 8, PURIFY_VALUES_MAX = 768 };
struct purify_link {
    const struct purifier_ops *ops;
    _Alignas(16) unsigned char values[PURIFY_VALUES_MAX]; /* of its table of parameters */
};
struct purify_profile {
    char name[64];
    int n; /* links of the chain */
    struct purify_link link[PURIFY_CHAIN_MAX];
    struct digest id; /* set by load/finish */
};

enum purify_guidance {
    PURIFY_GUIDE_NONE,
    PURIFY_GUIDE_JOINT,  /* both distances at every step: the paper's eq. 16-20 */
    PURIFY_GUIDE_PHASED, /* pixel for t > 10, perceptual for t <= 10: as the authors released it */
    PURIFY_GUIDE_COUNT
};
/* The values of jcdp. */
struct purify_jcdp {
    char model[PARAM_TEXT_MAX];   /* file, or a name looked up in the shipped models */
    char percept[PARAM_TEXT_MAX]; /* the same; finish makes it "" when perceptual_scale is 0 or
                                     guidance none */
    int t_start;                  /* t*: diffused to alpha_bar[t*-1], then t*-1 .. 0 */
    int rounds;                   /* K */
    int steps;                    /* evaluations of the network a round, <= t_start */
    float eta; /* 1: ancestral sampling (DDPM); 0: deterministic (DDIM, Song et al. 2021) */
    int deterministic_steps; /* the last so many of a round take eta = 0; < steps. The very last
                                adds no noise in any case, so 1 is as 0 */
    int average;             /* independent samples whose mean is the result, >= 1 */
    enum purify_variance variance;
    enum purify_guidance guidance;
    /* Per image, independent of any batch: x += variance * scale_t * grad(D), with scale_t =
       scale * sqrt(1-alpha_bar_t)/sqrt(alpha_bar_t), the released code's schedule of s_t; D_pix =
       -MSE(x_t, y_t) over the tile, D_perc = -LPIPS(x_t, y_t). */
    float pixel_scale;
    float perceptual_scale;
    int overlap;                 /* px by which tiles of larger images overlap, < model size */
    enum nn_precision precision; /* of the noise predictor; bf16 needs a CPU that has it */
    struct digest model_digest, percept_digest; /* set by finish */
};
/* A chain of jcdp with default values. */
void purify_profile_init(struct purify_profile *p);
/* The values of the chain's jcdp; NULL: it has none. */
struct purify_jcdp *purify_profile_jcdp(struct purify_profile *p);
/* name_or_path: a path with a '/' or ending in .ini, else NAME.ini in the user's then the shipped
   profiles. Unknown keys and out-of-range values are errors that name file and line. Relative paths
   of models in a file are relative to that file. */
status purify_profile_load(const char *name_or_path, struct purify_profile *out,
                           struct errmsg *e) MUST_USE;
/* Checks ranges, resolves and digests the models, sets id. For profiles built in code, where
   relative paths are relative to the working directory. p is unchanged on failure. */
status purify_profile_finish(struct purify_profile *p, struct errmsg *e) MUST_USE;
/* Adds the INI text that loads back to the same id. */
status purify_profile_text(const struct purify_profile *p, struct buf *out) MUST_USE;
/* Sets one value: of the key "chain" (whose purifiers keep the values that they had), of
   "jpeg.quality", or of "quality" where one purifier of the chain alone has it. */
status purify_profile_set(struct purify_profile *p, const char *key, const char *value,
                          struct errmsg *e) MUST_USE;
/* Writes the profile as the user's NAME.ini; EXISTS when there is one already, unless it is to be
   replaced. *out_path is the file, for mem_free. */
status purify_profile_create(const struct purify_profile *p, const char *name, bool replace,
                             char **out_path, struct errmsg *e) MUST_USE;
/* Removes the user's NAME.ini; INVALID for a profile that came with the program. *out_path is the
   file that was removed, for mem_free. */
status purify_profile_remove(const char *name, char **out_path, struct errmsg *e) MUST_USE;
/* Evaluations of networks for one tile. */
int purify_profile_evaluations(const struct purify_profile *p);
/* Appends the chain to out: "grey, jpeg". */
status purify_profile_chain(const struct purify_profile *p, struct buf *out) MUST_USE;
/* The weights that a finished profile's purifiers use; it is the profile's. */
struct purify_weights {
    const char *key;  /* of the parameter that names it */
    const char *file; /* as the parameter has it */
    const struct digest *digest;
};
/* The i-th file of weights; false: there are fewer. */
bool purify_profile_weights(const struct purify_profile *p, int i, struct purify_weights *out);
/* The file of the model of a purifier of the chain, by its name; for mem_free. INVALID: the
   chain has none of that name, or it has no model. */
status purify_profile_model(const struct purify_profile *p, const char *purifier, char **out,
                            struct errmsg *e) MUST_USE;
/* Names of profiles found (user's, then shipped); calls fn(name, path, arg). */
status purify_profile_list(void (*fn)(const char *name, const char *path, void *arg),
                           void *arg) MUST_USE;

/* ================================ engine: one image at a time ================================ */

/* SHA-256 over (width, height, channels as little-endian u32) and pixels; alpha does not take part.
 */
status purify_pixel_digest(const struct image *img, struct digest *out) MUST_USE;

/* What the purifiers of a profile have loaded and prepared, shared read-only by any number of
   engines. Without a network among them, no weights. */
struct purify_model;
status purify_model_load(const struct purify_profile *p, struct purify_model **out,
                         struct errmsg *e) MUST_USE;
void purify_model_free(struct purify_model *m);
DEFINE_FREEP(struct purify_model *, purify_model_free)
const struct purify_profile *purify_model_profile(const struct purify_model *m);
/* Side of the tiles: the network's; without tiles of one size, of a square to measure costs by. */
int purify_model_size(const struct purify_model *m);
/* How many tiles an image is cut into, or squares where these are of no fixed size: what it costs
   (purify_engine_measure). */
int64_t purify_model_tiles(const struct purify_model *m, int width, int height);
/* The largest image (pixels) that will be accepted; larger ones are STATUS_LIMIT. */
int64_t purify_max_pixels(void);

/* What one thread needs to purify: plans and arenas for one tile, and for several at once. Those of
   a restorer are made when an image of such a shape comes. */
struct purify_engine;
status purify_engine_new(const struct purify_model *m, struct purify_engine **out,
                         struct errmsg *e) MUST_USE;
void purify_engine_free(struct purify_engine *en);
DEFINE_FREEP(struct purify_engine *, purify_engine_free)
/* Asked between network evaluations, and every few milliseconds otherwise; nonzero stops with
 * STATUS_CANCELLED. May be NULL. */
typedef int purify_stop_fn(void *arg);
/* Purifies img in place (pixels only). On failure img is unchanged. UNSUPPORTED: colour through a
   grey network. LIMIT: over purify_max_pixels(). INTERNAL: the network gave NaN or infinity. */
status purify_engine_run(struct purify_engine *en, struct image *img, purify_stop_fn *stop,
                         void *arg, struct errmsg *e) MUST_USE;

/* Seconds one tile takes on one thread here, the best of a few runs. */
struct purify_cost {
    double alone_seconds; /* evaluated alone: what a reader waits for */
    double bulk_seconds;  /* its share when a whole tree is purified */
};
status purify_engine_measure(struct purify_engine *en, struct purify_cost *out,
                             struct errmsg *e) MUST_USE;

/* ================================ service: many images ================================ */
/*
 * Worker threads with an engine each work on jobs of two classes: urgent (a reader is waiting)
 * before sweep. An image's turn is one micro-batch of tiles (for a restorer one tile, of up to half
 * a second; some milliseconds without a network), whatever its class; then the next job gets a turn, and the image is continued later. So
 * a job that arrives waits for at most one turn of a larger one.
 *
 * Among urgent jobs the one with the fewest tiles left is next, of equal ones the older. Large ones
 * do not starve: after 15 urgent turns in a row that the oldest waiting job did not get, it gets
 * the next one. Jobs of the sweep come in the order in which they were submitted.
 *
 * Images of one tile are taken four at a time where a queue is so long that every worker could have
 * four: then they are cheaper together. In a shorter queue each is taken alone, since it is ready
 * sooner. No job waits for others to arrive, and no worker is idle while jobs wait that there is
 * memory for.
 *
 * An urgent image of many tiles is shared: workers that no urgent job needs make turns of it at the
 * same time, and take none of the sweep meanwhile. So one photograph has all CPUs. (Purifiers
 * without a network are fast, and stay on one.)
 *
 * Memory: a begun image keeps a copy of its pixels and a band of rows. In each class images above
 * 256 KiB of these are begun, oldest first, while those begun have less than 512 MiB together or
 * are fewer than the workers. (Begun images that change their class are not stopped.)
 *
 * With idle_sweep the sweep gives way to other processes: between evaluations a worker pauses,
 * 32 times as long as they took and longer, when it had to wait for a CPU that another process
 * used; it computes at SCHED_IDLE where the process may come back from that (as root, with
 * CAP_SYS_NICE or RLIMIT_NICE). It never pauses while an urgent job waits.
 *
 * A job is accepted or refused by purify_submit; an accepted job's done() is called exactly once,
 * from a worker thread, with no lock held: STATUS_OK and the purified pixels in job->img, or a
 * failure and img as it was. done() may submit, promote and cancel, and may free its job; it must
 * not wait for the service or free it. promote and cancel want a job whose done() has not returned,
 * or that lives on.
 */
enum purify_priority { PURIFY_URGENT, PURIFY_SWEEP, PURIFY_PRIORITY_COUNT };
struct purify_job;
typedef void purify_done_fn(struct purify_job *job, status st, const struct errmsg *e);
struct purify_job {
    struct image *img; /* owned by the caller, untouched by it until done() */
    purify_done_fn *done;
    void *arg; /* the caller's */
    /* private to the service, guarded by its lock; need no initial value */
    enum purify_priority priority;
    int state;
    _Atomic bool cancel;
    bool begun;
    bool groups; /* it may be evaluated together with others */
    bool shares; /* several workers can make its next turns at once */
    int64_t slots, left; /* tiles times samples: all, and those to be evaluated yet */
    size_t bytes;        /* that it keeps once it is begun */
    struct engine_run *run;
    struct purify_job *prev, *next;
};
struct purify_service;
struct purify_service_options {
    int threads;     /* 0: cpu_count() */
    int queue_max;   /* jobs waiting, per priority; 0: 4096 */
    bool idle_sweep; /* sweep jobs give way to other processes */
};
struct purify_service_stats {
    uint64_t submitted, done, failed, cancelled;
    uint64_t queued[PURIFY_PRIORITY_COUNT]; /* not begun */
    uint64_t running;                       /* begun; some may be put aside */
    uint64_t evaluations;                   /* of the network, tiles */
    uint64_t busy_ns;                       /* summed over workers, pauses included */
    uint64_t paused_ns;                     /* of it: given way to other processes */
};
status purify_service_new(const struct purify_model *m, const struct purify_service_options *opt,
                          struct purify_service **out, struct errmsg *e) MUST_USE;
/* Cancels what is queued (each done() is called with STATUS_CANCELLED), finishes what runs, joins.
 */
void purify_service_free(struct purify_service *s);
DEFINE_FREEP(struct purify_service *, purify_service_free)
/* STATUS_AGAIN when that queue is full (nothing was taken), STATUS_CANCELLED while being freed. */
status purify_submit(struct purify_service *s, struct purify_job *job,
                     enum purify_priority prio) MUST_USE;
/* A sweep job that a reader now waits for becomes urgent, also when it was begun. */
void purify_promote(struct purify_service *s, struct purify_job *job);
/* The opposite, when no reader waits for it any more: it becomes the last job of the sweep, and
   what has been done is kept. */
void purify_demote(struct purify_service *s, struct purify_job *job);
/* A queued job is answered STATUS_CANCELLED soon; a running one stops at its next evaluation, or is
   answered with the others of its group, which stops there when all of it was cancelled. */
void purify_cancel(struct purify_service *s, struct purify_job *job);
/* How many unanswered jobs a caller with much to do should have submitted: enough for all workers
   to be busy, and for each to find a full group next. */
int purify_service_ahead(const struct purify_service *s);
void purify_service_stats(struct purify_service *s, struct purify_service_stats *out);
void purify_wait_idle(struct purify_service *s);

#endif
