/* A copy of a model folder in a temporary directory, for tests that damage it.  Every mistake of the test itself (a
 * text to be replaced that is not there, a full disk) stops the test. */
#ifndef DS_TESTS_SUPPORT_SCRATCH_FOLDER_H
#define DS_TESTS_SUPPORT_SCRATCH_FOLDER_H

#include <stddef.h>
#include <stdint.h>

typedef struct scratch_folder {
    char path[200];
} scratch_folder;

/* An empty folder; a copy of the folder `from` and what is below it. */
void scratch_create(scratch_folder *scratch);
void scratch_copy(scratch_folder *scratch, const char *from);
/* Removes the folder and everything in it. */
void scratch_destroy(scratch_folder *scratch);

/* "path/name" in memory that lives until the next call but seven. */
const char *scratch_path(const scratch_folder *scratch, const char *name);
/* The content, NUL-terminated behind `size` bytes; to be given to free(). size: may be NULL. */
char *scratch_read(const scratch_folder *scratch, const char *name, size_t *size);
void scratch_write(const scratch_folder *scratch, const char *name, const void *data, size_t size);
void scratch_write_text(const scratch_folder *scratch, const char *name, const char *text);
/* Removes a file, or a folder and what is in it. */
void scratch_delete(const scratch_folder *scratch, const char *name);
void scratch_make_folder(const scratch_folder *scratch, const char *name);
/* Replaces the first occurrence, which must exist. */
void scratch_replace(const scratch_folder *scratch, const char *name, const char *old_text, const char *new_text);
/* The same inside a safetensors file's header, whose length is adjusted. */
void scratch_replace_header(const scratch_folder *scratch, const char *name, const char *old_text,
                            const char *new_text);
/* Writes a safetensors file of this header length, header and so many zero bytes behind it. */
void scratch_write_safetensors(const scratch_folder *scratch, const char *name, uint64_t header_length,
                               const char *header, size_t data_bytes);
/* Keeps the first `size` bytes, or adds a hole up to it. */
void scratch_resize(const scratch_folder *scratch, const char *name, size_t size);

#endif
