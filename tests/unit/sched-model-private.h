/* tests/unit/sched-model-private.h - the model's rows; see sched-model.h.
 * Role:      sched-model.c says what must be, sched-model-steps.c does.
 * Ownership, threads: the model's.   Errors: a difference aborts. */
#ifndef TESTS_UNIT_SCHED_MODEL_PRIVATE_H
#define TESTS_UNIT_SCHED_MODEL_PRIVATE_H

#include "scheduler/sched-private.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/sched-model.h"

#define PROJECTS 4
#define KEYS 6
#define ZONES 4
#define RESERVATIONS 12

struct m_node {
    bool there;
    char id[ID_SIZE];
    struct sched_node in;
    struct sched_vector limit, loose;
    int64_t cell_limit[SCHED_CELLS_MAX][2];
};

struct m_instance {
    bool there;
    char id[ID_SIZE];
    size_t node;
    int project; /* -1: none */
    struct sched_vector need;
    const char *keys[KEYS];
    size_t n_keys;
    int cell; /* as the real one chose, which is checked */
    int64_t end;
    bool preemptible;
};

struct m_reservation {
    bool there;
    char id[ID_SIZE];
    size_t node;
    int project;
    struct sched_vector r;
};

struct model {
    struct model_source from;
    struct sched *s;
    struct m_node *node;
    struct m_instance *instance;
    struct m_reservation reservation[RESERVATIONS];
    size_t nodes, instances;
    bool hostile;
    int64_t now;
    size_t placed, refused, evictions, met[SCHED_RULES];
    struct sched_weights weights; /* of the request at hand */
    struct sched_group_rule rules[4];
};

uint64_t model_below(struct model *m, uint64_t n);
bool model_one_in(struct model *m, uint64_t n);
void model_id_of(char kind, size_t i, char out[ID_SIZE]);
const char *model_project_id(int p);
bool model_negative(const struct sched_resources *r);
__int128 model_claimed_on(const struct model *m, size_t n, int d);
/* What the project's reservations on n still hold. */
__int128 model_held_by(const struct model *m, size_t n, int project, int d);
__int128 model_room_for(const struct model *m, size_t n, int project, int d);
void model_cell_room(const struct model *m, size_t n, size_t cell,
                     __int128 ret[2]);
/* The cell that an instance must get; -1: none has room. */
int model_cell_for(const struct model *m, size_t n,
                   const struct sched_vector *need);
enum sched_rule model_rule_of(const struct model *m,
                              const struct sched_request *rq, size_t n,
                              long double *soft);
long double model_score_of(const struct model *m,
                           const struct sched_request *rq, size_t n);
/* Steps of the fractions, by weight; and what the division of the others
 * rounds off. */
long double model_tolerance(const struct sched_request *rq);
size_t model_node_index(const struct model *m, const char *id);
int model_project_of(const struct sched_request *rq);
bool model_open_node(const struct m_node *n);
/* sched-model-plans.c: batches, evictions, the view. */
void model_step_plans(struct model *m, const struct sched_request *rq);

#endif
