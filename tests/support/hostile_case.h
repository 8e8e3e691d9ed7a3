/* Model folders that are wrong in one way: what is done to a copy of a tiny model, and what the refusal must say. */
#ifndef DS_TESTS_SUPPORT_HOSTILE_CASE_H
#define DS_TESTS_SUPPORT_HOSTILE_CASE_H

#include "deepseek/deepseek.h"
#include "support/scratch_folder.h"

enum { HOSTILE_NEEDLES = 4 };

typedef struct hostile_case hostile_case;
typedef void (*hostile_damage)(const scratch_folder *folder, const hostile_case *row);

struct hostile_case {
    const char *title;
    const char *model; /* of tests/data/models */
    const char *file;  /* that is damaged */
    hostile_damage damage;
    const char *old_text, *new_text; /* as the damage function takes them */
    ds_status status;
    const char *needles[HOSTILE_NEEDLES]; /* what the sentence must contain */
};

/* old_text becomes new_text, in the file, or in the header of a safetensors file. */
void damage_edit(const scratch_folder *folder, const hostile_case *row);
void damage_header(const scratch_folder *folder, const hostile_case *row);
/* new_text becomes the whole file. */
void damage_overwrite(const scratch_folder *folder, const hostile_case *row);
/* A safetensors file of a header length (old_text, a number), a header (new_text) and 64 bytes of zeros. */
void damage_safetensors(const scratch_folder *folder, const hostile_case *row);
/* old_text, 10,000 times, becomes the whole file, or the header of a safetensors file. */
void damage_nest(const scratch_folder *folder, const hostile_case *row);
void damage_nest_header(const scratch_folder *folder, const hostile_case *row);
void damage_delete(const scratch_folder *folder, const hostile_case *row);
void damage_folder_instead(const scratch_folder *folder, const hostile_case *row);
void damage_fifo_instead(const scratch_folder *folder, const hostile_case *row);
/* Nobody but root may read it; the case is run as somebody else. */
void damage_unreadable(const scratch_folder *folder, const hostile_case *row);
void damage_cut_in_half(const scratch_folder *folder, const hostile_case *row);
void damage_cut_last_byte(const scratch_folder *folder, const hostile_case *row);
void damage_add_zero_byte(const scratch_folder *folder, const hostile_case *row);

/* Opens each damaged copy with ds_model_open and fails the test unless it is refused with the status and one sentence
 * that has the needles, and nothing is left behind: no memory of the context, no mapping, no open file.  models_folder:
 * DS_TEST_DATA "/models".  DS_TEST_VERBOSE in the environment prints the sentences. */
void hostile_run(const char *models_folder, const hostile_case *rows, size_t count);
/* The same models, undamaged, must open, or the cases would show nothing. */
void hostile_run_undamaged(const char *models_folder, const hostile_case *rows, size_t count);

#endif
