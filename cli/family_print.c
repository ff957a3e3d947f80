#include "family_print.h"

#include "base/banned.h"

enum { VOTES_SHOWN = 3 };

json_t *family_json(const struct train_audit_family *f)
{
    if (f->kin == TRAIN_AUDIT_KIN_NONE)
        return json_null();
    bool told = f->kin == TRAIN_AUDIT_KIN_TOLD;
    json_t *j = json_object(), *votes = json_array();
    json_object_set_new(j, "answer", json_string(train_audit_kins[f->kin]));
    json_object_set_new(j, "family", told ? json_string(f->vote[0].told) : json_null());
    json_object_set_new(j, "like",
                        told && f->vote[0].like ? json_string(f->vote[0].like) : json_null());
    json_object_set_new(j, "confidence", json_real(f->share));
    json_object_set_new(j, "sure_from", json_real(TRAIN_AUDIT_KIN_SURE));
    json_object_set_new(j, "groups", json_integer(f->groups));
    json_object_set_new(j, "images_each", json_integer(f->images));
    for (int i = 0; i < f->n; i++)
        json_array_append_new(
            votes, json_pack("{s:s?, s:f}", "family", f->vote[i].told, "share", f->vote[i].share));
    json_object_set_new(j, "votes", votes);
    return j;
}

static void print_vote(const struct train_audit_family *f, int i)
{
    const char *told = f->vote[i].told, *like = f->vote[i].like;
    if (!told)
        printf("nothing that is known");
    else if (like)
        printf("%s (as of %s)", told, like);
    else
        printf("%s (of no protection that is known)", told);
}

void family_print(const struct train_audit_family *f)
{
    if (f->kin == TRAIN_AUDIT_KIN_NONE)
        return;
    printf("  Its family by its looks: ");
    if (f->kin == TRAIN_AUDIT_KIN_TOLD)
        print_vote(f, 0);
    else if (f->kin == TRAIN_AUDIT_KIN_UNKNOWN)
        printf("none of those that are known here, or not as they are imitated");
    else
        printf("undecided");
    printf(".\n");
    printf("  %d groups of %d images, each of one class, look most like this:\n", f->groups,
           f->images);
    for (int i = 0; i < f->n && i < VOTES_SHOWN; i++) {
        printf("  %5.1f %%  ", 100 * f->vote[i].share);
        print_vote(f, i);
        printf("\n");
    }
}
