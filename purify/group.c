/* Images as members: turn by turn, or several together through a network. */
#include "chain.h"

/* The member's run is over. */
static void member_end(struct engine_member *m)
{
    if (m->st)
        engine_drop(m->run);
    else
        engine_finish(m->run);
    m->run = NULL;
}

int64_t engine_team_turn(struct purify_engine *const *engine, const struct team *team,
                         struct engine_member *m)
{
    if (!m->run) {
        m->err.text[0] = 0;
        m->st = engine_begin(engine[0], m->img, &m->run, &m->err);
    }
    if (!m->st)
        m->st = chain_step(engine, team, m->run, &m->hooks, &m->evaluations, &m->err);
    int64_t left = m->st ? 0 : engine_left(m->run);
    if (!left)
        member_end(m);
    return left;
}

int64_t engine_turn(struct purify_engine *en, struct engine_member *m)
{
    return engine_team_turn(&en, &team_of_one, m);
}

/* Link i of all members, which have one turn of it each. */
static void link_together(struct purify_engine *en, int i, struct engine_member *member)
{
    struct purifier_member at[PURIFY_MICRO_BATCH];
    for (int k = 0; k < en->batch; k++) {
        struct engine_member *m = &member[k];
        at[k] =
            (struct purifier_member){m->run->run, &m->hooks, &m->evaluations, STATUS_OK, &m->err};
    }
    en->model->link[i].ops->kind->together(en->worker[i], at, en->batch);
    for (int k = 0; k < en->batch; k++) {
        struct engine_member *m = &member[k];
        m->st = at[k].st ? at[k].st : chain_next_link(m->run, &m->err);
    }
}

/* Link by link; where one has failed or stopped, the others go on one by one. */
static void run_together(struct purify_engine *en, struct engine_member *member)
{
    for (int i = 0; i < en->model->profile.n; i++) {
        const struct purifier *p = &en->model->link[i];
        bool all = p->ops->kind->together && chain_turns(p, member->img) == 1;
        for (int k = 0; k < en->batch; k++)
            all &= !member[k].st;
        if (all) {
            link_together(en, i, member);
            continue;
        }
        for (int k = 0; k < en->batch; k++) {
            struct engine_member *m = &member[k];
            while (!m->st && m->run->link == i)
                m->st =
                    chain_step_link(&en, &team_of_one, m->run, &m->hooks, &m->evaluations, &m->err);
        }
    }
    for (int k = 0; k < en->batch; k++)
        member_end(&member[k]);
}

void engine_run_group(struct purify_engine *en, struct engine_member *member, int n)
{
    CHECK(n >= 1 && n <= PURIFY_MICRO_BATCH);
    bool together = n == en->batch;
    for (int k = 0; k < n; k++) {
        struct engine_member *m = &member[k];
        m->err.text[0] = 0;
        m->run = NULL;
        m->st = engine_begin(en, m->img, &m->run, &m->err);
        together &= !m->st && engine_groups(en, m->img);
    }
    if (together) {
        run_together(en, member);
        return;
    }
    for (int k = 0; k < n; k++)
        if (member[k].st)
            member_end(&member[k]);
        else
            while (engine_turn(en, &member[k]))
                ;
}

status purify_engine_run(struct purify_engine *en, struct image *img, purify_stop_fn *stop,
                         void *arg, struct errmsg *e)
{
    struct engine_member m = {.img = img, .hooks = {stop, arg}};
    while (engine_turn(en, &m))
        ;
    return m.st ? errmsg_set(e, m.st, "%s", m.err.text) : STATUS_OK;
}
