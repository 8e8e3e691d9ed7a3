/* The teacher; see the header. */
#include "train/teacher.h"

#include "base/error.h"

struct ds__teacher {
    ds_context *context;
    ds_model *model;
    ds_session *session;
    bool embeds;
    int32_t columns;
    int32_t *place; /* [columns]: where the student has the teacher's label; NULL for vectors */
    float *scores;  /* as many rows as the largest batch so far */
    size_t capacity;
};

static int32_t find(const ds__model_config *config, const char *name) {
    for (int32_t i = 0; i < config->labels; i++)
        if (strcmp(config->label_names[i], name) == 0) return i;
    return -1;
}

static ds_status match_labels(ds__teacher *teacher, const ds_trainer *student, ds_error *error) {
    const ds__model_config *own = &teacher->model->folder.config, *other = &student->folder.config;
    if (own->head != DS_HEAD_SEQUENCE || own->labels != other->labels)
        return ds__fail(error, DS_INVALID_ARGUMENT, "teacher %s has %d labels, the student %d",
                        teacher->model->folder.path, own->labels, other->labels);
    const size_t bytes = (size_t)own->labels * sizeof *teacher->place;
    teacher->place = ds__alloc(&teacher->context->heap, bytes);
    if (!teacher->place) return ds__alloc_failed(&teacher->context->heap, bytes, "a teacher's labels", error);
    for (int32_t i = 0; i < own->labels; i++) {
        teacher->place[i] = find(other, own->label_names[i]);
        if (teacher->place[i] < 0)
            return ds__fail(error, DS_INVALID_ARGUMENT, "teacher %s has a label \"%s\", which the student has not",
                            teacher->model->folder.path, own->label_names[i]);
    }
    return DS_OK;
}

static ds_status prepare(ds__teacher *teacher, const char *folder, const ds_trainer *student, ds_error *error) {
    static const ds_model_options options;
    DS_TRY(ds__model_open(teacher->context, folder, &options, student->backends, student->backend_count,
                          &teacher->model, error));
    DS_TRY(ds__session_create(teacher->model, &teacher->session, error));
    teacher->embeds = student->info.task == DS_TRAIN_EMBEDDING || student->options.keep_vectors > 0;
    teacher->columns = teacher->embeds ? student->folder.config.hidden_size : student->info.labels;
    if (!teacher->embeds) return match_labels(teacher, student, error);
    if (teacher->model->info.hidden_size == teacher->columns) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT, "teacher %s gives vectors of %d numbers, the student of %d", folder,
                    teacher->model->info.hidden_size, teacher->columns);
}

ds_status ds__teacher_open(const char *folder, const ds_trainer *student, ds__teacher **out, ds_error *error) {
    ds_context *context = student->context;
    ds__teacher *teacher = ds__alloc_zeroed(&context->heap, sizeof *teacher);
    if (!teacher) return ds__alloc_failed(&context->heap, sizeof *teacher, "a teacher", error);
    teacher->context = context;
    ds_status status = prepare(teacher, folder, student, error);
    if (status != DS_OK) {
        ds__teacher_close(teacher);
        return status;
    }
    *out = teacher;
    return DS_OK;
}

void ds__teacher_close(ds__teacher *teacher) {
    if (!teacher) return;
    ds__heap *heap = &teacher->context->heap;
    ds__free(heap, teacher->scores, teacher->capacity * sizeof *teacher->scores);
    ds__free(heap, teacher->place,
             teacher->place ? (size_t)teacher->model->folder.config.labels * sizeof *teacher->place : 0);
    ds__session_destroy(teacher->session);
    ds__model_close(teacher->model);
    ds__free(heap, teacher, sizeof *teacher);
}

ds_status ds__teacher_fill(ds__teacher *teacher, ds__fit_batch *batch, ds_error *error) {
    const size_t columns = (size_t)teacher->columns, floats = batch->texts * columns;
    DS_TRY(ds__fit_batch_reserve(batch, columns, error));
    if (teacher->embeds)
        return ds__embed(teacher->session, batch->kept, batch->texts, NULL, batch->targets, NULL, error);
    if (!ds__grow(&teacher->context->heap, (void **)&teacher->scores, &teacher->capacity, floats, sizeof(float)))
        return ds__alloc_failed(&teacher->context->heap, floats * sizeof(float), "a teacher's scores", error);
    static const ds_classify_options scores;
    DS_TRY(ds__classify(teacher->session, batch->kept, NULL, batch->texts, &scores, teacher->scores, NULL, error));
    for (size_t t = 0; t < batch->texts; t++)
        for (size_t i = 0; i < columns; i++)
            batch->targets[t * columns + (size_t)teacher->place[i]] = teacher->scores[t * columns + i];
    return DS_OK;
}
