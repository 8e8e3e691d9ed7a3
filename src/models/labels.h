/* The labels of a classification head: id2label, num_labels and problem_type of config.json.
 *
 * As in transformers, id2label decides how many labels there are; num_labels counts only without it (stale values of it
 * are common), and without both there are two.  The classifier's shape is compared with the count when a graph is
 * built. */
#ifndef DS_MODELS_LABELS_H
#define DS_MODELS_LABELS_H

#include "formats/json.h"
#include "models/architecture.h"

typedef struct ds__label_entry ds__label_entry;

/* What was read; zeroed before. */
typedef struct ds__label_keys {
    ds__arena *arena;
    bool has_names;           /* there is an id2label */
    ds__label_entry *entries; /* of id2label, last one first */
    size_t entry_count;
    int32_t num_labels; /* 0: absent */
    bool has_problem;
    ds_problem problem;
} ds__label_keys;

/* Consumes the value when `key` is one of the three; false: it is not, nothing was consumed. */
bool ds__label_keys_read(ds__label_keys *keys, ds__json *json, ds__str key);

/* Fills in labels, label_names and problem. Without problem_type, one label means regression and more a single label,
 * which is what transformers trains by (its text-classification pipeline puts a sigmoid over a lone label instead). */
ds_status ds__labels_settle(const ds__label_keys *keys, ds__model_config *config, ds_error *error) DS_MUST_CHECK;

#endif
