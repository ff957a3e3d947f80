/* jcdp: Joint-Conditional Diffusion Purification (Jiang et al. 2023, eq. 16-20). */
#include "diffusion.h"
#include "names.h"

static const struct param rows[] = {
    DIFFUSION_MODEL,
    DIFFUSION_T_START("20"),
    {"rounds", PARAM_INT, DIFFUSION_ROW(rounds), .lo = 1, .hi = DIFFUSION_ROUNDS_MAX,
     .standard = "4", .about = "how often an image is diffused and brought back"},
    DIFFUSION_STEPS("5"),
    DIFFUSION_ETA,
    DIFFUSION_DETERMINISTIC,
    DIFFUSION_AVERAGE,
    DIFFUSION_VARIANCE,
    {"guidance", PARAM_ENUM, DIFFUSION_ROW(guidance), .names = purify_guidance_names,
     .standard = "none",
     .about = "towards the protected image, joint: in pixels and perceptually at every step; "
              "phased: in pixels above t = 10, perceptually below"},
    {"pixel_scale", PARAM_FLOAT, DIFFUSION_ROW(pixel_scale), .lo = 0, .hi = 1e9, .standard = "0",
     .about = "how strongly in pixels, for each image"},
    {"perceptual_scale", PARAM_FLOAT, DIFFUSION_ROW(perceptual_scale), .lo = 0, .hi = 1e9,
     .standard = "0", .about = "how strongly perceptually, for each image"},
    {"percept", PARAM_TEXT, DIFFUSION_ROW(percept), .standard = "percept",
     .about = "the network of the perceptual distance: a safetensors file, or a shipped model"},
    DIFFUSION_OVERLAP,
    DIFFUSION_PRECISION,
};

const struct purifier_ops purifier_jcdp = {
    .name = "jcdp",
    .summary = "diffuse and denoise, pulled towards the protected image",
    .version = 1,
    .params = PARAM_TABLE(rows, struct purify_jcdp),
    .kind = &purifier_diffusion,
    .finish = diffusion_finish,
    .canonical = diffusion_canonical,
    .evaluations = diffusion_evaluations,
    .weights = diffusion_weights,
    .plan = diffusion_plan,
    .free = diffusion_free,
};
