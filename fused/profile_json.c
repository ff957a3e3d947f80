#include "profile_json.h"

#include "json_name.h"

#include "base/banned.h"

static json_t *json_weights(const struct purify_profile *p)
{
    json_t *list = json_array();
    struct purify_weights w;
    char hex[DIGEST_HEX_LEN + 1];
    for (int i = 0; purify_profile_weights(p, i, &w); i++) {
        digest_hex(w.digest, hex);
        json_t *one = json_pack("{s:s,s:s}", "key", w.key, "sha256", hex);
        status_ignore(json_name_set(one, "file", w.file), "without memory it is left out");
        json_array_append_new(list, one);
    }
    return list;
}

json_t *profile_json(const struct purify_profile *p)
{
    AUTO(buf_done) struct buf chain = BUF_INIT(1 << 12);
    char id[DIGEST_HEX_LEN + 1];
    digest_hex(&p->id, id);
    status_ignore(purify_profile_chain(p, &chain), "without memory it is left out");
    return json_pack("{s:s,s:s,s:s,s:o}", "name", p->name, "id", id, "chain",
                     chain.data ? chain.data : "", "weights", json_weights(p));
}
