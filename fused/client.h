#ifndef FUSED_CLIENT_H
#define FUSED_CLIENT_H
/* What the commands' side of a mount shares: finding a mount, and asking it. */
#include "fused.h"

#include "json_name.h"

/* The absolute path and, unless NULL, the id of a mount of ours. NOT_FOUND; EXISTS: something else
   is mounted over it. */
status client_find_mount(const char *mountpoint, char **out_path, int *out_id,
                         struct errmsg *e) MUST_USE;
/* The status of the mount at this absolute path; for json_decref. */
status client_status(const char *path, json_t **out, struct errmsg *e) MUST_USE;
/* Sends one request (taken over; NULL: NOMEM) over the control socket, and gives the answer. */
status client_ask(const char *mountpoint, json_t *request, json_t **out, struct errmsg *e) MUST_USE;
/* A count in an answer; 0 when it is not there. */
uint64_t client_number(const json_t *j, const char *key);

#endif
