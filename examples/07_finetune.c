/* Fine-tuning with a loop of your own: a classifier learns two classes from four sentences, step by step.
 *
 *   07_finetune MODEL_FOLDER OUTPUT_FOLDER */
#include <deepseek/deepseek.h>
#include <stdio.h>
#include <string.h>

enum { TEXTS = 4, STEPS = 12, MOST_TOKENS = 64 };

int main(int argc, char **argv) {
    static const char *const texts[TEXTS] = {"I lost my card", "Shares rose ten percent", "My card was stolen",
                                             "Profits fell this year"};
    static const int32_t labels[TEXTS] = {0, 1, 0, 1};
    static const char *const names[] = {"bank", "news"};
    int32_t ids[TEXTS * MOST_TOKENS], starts[TEXTS + 1] = {0};
    ds_context *context = NULL;
    ds_trainer *trainer = NULL;
    ds_encoding *encoding = NULL;
    ds_train_step step = {.loss = 0};
    ds_error error;
    if (argc != 3) return fprintf(stderr, "usage: 07_finetune MODEL_FOLDER OUTPUT_FOLDER\n"), 2;

    const ds_trainer_options how = {
        .labels = 2, .label_names = names, .learning_rate = 1e-3f, .total_steps = STEPS, .max_tokens = MOST_TOKENS};
    if (ds_context_create(NULL, &context, &error) != DS_OK) goto failed;
    if (ds_trainer_create(context, argv[1], &how, &trainer, &error) != DS_OK) goto failed;
    if (ds_encoding_create(context, &encoding, &error) != DS_OK) goto failed;

    /* The batch: all ids one behind the other, and where each text begins. There is no padding. */
    for (int i = 0; i < TEXTS; i++) {
        const ds_text text = {texts[i], strlen(texts[i])};
        if (ds_tokenizer_encode(ds_trainer_tokenizer(trainer), text, NULL, MOST_TOKENS, encoding, &error) != DS_OK)
            goto failed;
        memcpy(ids + starts[i], ds_encoding_ids(encoding), ds_encoding_size(encoding) * sizeof *ids);
        starts[i + 1] = starts[i] + (int32_t)ds_encoding_size(encoding);
    }
    const ds_train_batch batch = {.tokens = {ids, NULL, starts, TEXTS}, .labels = labels};
    for (int i = 0; i < STEPS; i++) {
        if (ds_trainer_step(trainer, &batch, &step, &error) != DS_OK) goto failed;
        printf("step %lld: loss %.3f, gradient %.2f\n", (long long)step.step, step.loss, step.gradient_norm);
    }
    if (ds_trainer_save(trainer, argv[2], NULL, &error) != DS_OK) goto failed;
    printf("saved in %s: 'deepseek classify %s' runs it\n", argv[2], argv[2]);
    ds_encoding_destroy(encoding);
    ds_trainer_destroy(trainer);
    ds_context_destroy(context);
    return 0;

failed:
    fprintf(stderr, "%s\n", error.message);
    if (encoding) ds_encoding_destroy(encoding);
    ds_trainer_destroy(trainer);
    if (context) ds_context_destroy(context);
    return 1;
}
