/* Classes with their probabilities, by a model with a classification head.
 *
 *   cc 02_classify.c $(pkg-config --cflags --libs deepseek) -o classify && ./classify MODEL 'I lost my card' */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <deepseek/deepseek.h>

int main(int argc, char **argv) {
    ds_context *context;
    ds_model *model;
    ds_session *session;
    ds_error error;
    if (argc < 3) return fprintf(stderr, "usage: %s MODEL TEXT\n", argv[0]), 2;
    if (ds_context_create(NULL, &context, &error) != DS_OK ||
        ds_model_open(context, argv[1], NULL, &model, &error) != DS_OK ||
        ds_session_create(model, &session, &error) != DS_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    ds_text text = {argv[2], strlen(argv[2])};
    int32_t labels = ds_model_describe(model)->labels;
    float *scores = calloc((size_t)labels + 1, sizeof *scores);
    /* A model without such a head says so here. */
    if (ds_classify(session, &text, NULL, 1, NULL, scores, NULL, &error) != DS_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    for (int32_t i = 0; i < labels; i++) printf("%6.4f  %s\n", (double)scores[i], ds_model_label(model, i));
    free(scores);
    ds_session_destroy(session);
    ds_model_close(model);
    ds_context_destroy(context);
    return 0;
}
