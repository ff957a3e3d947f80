#ifndef PURIFY_PROFILE_H
#define PURIFY_PROFILE_H
/* What reading, checking and naming profiles share. */
#include "purifier.h"

/* Which purifier and parameter a profile is refused for. */
struct profile_fault {
    int link;        /* of the chain */
    const char *key; /* NULL: none */
};

/* purify_profile_finish, naming what is at fault. */
status profile_finish(struct purify_profile *p, struct profile_fault *out_fault,
                      struct errmsg *e) MUST_USE;
/* The id from the values and the digests among them. */
status profile_id(const struct purify_profile *p, struct digest *out) MUST_USE;
/* The link of a purifier of this name; -1: none. */
int profile_find(const struct purify_profile *p, const char *name);
/* Sets the chain ("grey, jpeg"); purifiers that were in it keep their values. */
status profile_set_chain(struct purify_profile *p, const char *text, struct errmsg *e) MUST_USE;
/* Whether its keys stand under [purify]. */
bool profile_is_plain(const struct purify_profile *p);
/* Reads a file's text into p, which purify_profile_init made, and finishes it. Messages begin with
   the path, and the line where there is one. */
status profile_read(const char *path, const char *text, size_t len, struct purify_profile *p,
                    struct errmsg *e) MUST_USE;
/* Makes the paths of weights absolute, as seen from dir, so that they hold wherever the program or
   the file is. */
status profile_anchor(struct purify_profile *p, const char *dir, struct profile_fault *out_fault,
                      struct errmsg *e) MUST_USE;
/* The weights file that a value means; for mem_free. */
status profile_weights_path(const char *value, char **out) MUST_USE;
bool profile_is_path(const char *value);

bool profile_ends_with(const char *s, const char *suffix);
/* The file's name without directory and ".ini", with what may not be in a name as '_'. */
void profile_name_of(const char *path, char *out, size_t size);
/* The user's directory of profiles (0) or the shipped one (1). */
status profile_dir(int which, char **out) MUST_USE;

#endif
