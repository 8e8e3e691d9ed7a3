/* The host's own allocator and a hard limit: every byte the library holds goes through here.
 *
 *   cc 04_custom_allocator.c $(pkg-config --cflags --libs deepseek) -o allocator && ./allocator MODEL */
#include <stdio.h>
#include <stdlib.h>

#include <deepseek/deepseek.h>

typedef struct counter {
    size_t bytes, blocks;
} counter;

static void *allocate(void *user, size_t bytes, size_t alignment) {
    counter *count = user;
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, bytes) != 0) return NULL;
    __atomic_add_fetch(&count->bytes, bytes, __ATOMIC_RELAXED); /* any thread of the library may call */
    __atomic_add_fetch(&count->blocks, 1, __ATOMIC_RELAXED);
    return memory;
}

static void release(void *user, void *memory, size_t bytes) {
    counter *count = user;
    __atomic_sub_fetch(&count->bytes, bytes, __ATOMIC_RELAXED); /* frees are sized: no header is needed */
    __atomic_sub_fetch(&count->blocks, 1, __ATOMIC_RELAXED);
    free(memory);
}

/* Opens the model under a limit and says what happened. */
static int try_limit(const char *folder, uint64_t limit) {
    counter count = {0, 0};
    ds_context_options options = {.memory_limit = limit, .allocator = {allocate, release, &count}};
    ds_context *context;
    ds_model *model;
    ds_error error;
    if (ds_context_create(&options, &context, &error) != DS_OK) return fprintf(stderr, "%s\n", error.message), 1;
    ds_status status = ds_model_open(context, folder, NULL, &model, &error);
    if (status == DS_OK) {
        printf("limit %llu: open, %zu bytes in %zu blocks\n", (unsigned long long)limit, count.bytes, count.blocks);
        ds_model_close(model);
    } else {
        printf("limit %llu: %s: %s\n", (unsigned long long)limit, ds_status_name(status), error.message);
    }
    ds_context_destroy(context);
    printf("afterwards: %zu bytes in %zu blocks\n", count.bytes, count.blocks);
    return count.bytes || count.blocks;
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: %s MODEL\n", argv[0]), 2;
    return try_limit(argv[1], 0) || try_limit(argv[1], 50000);
}
