/* Runs a fuzzer's function on every file of the folders and files given: the corpus as an ordinary test, any compiler.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static size_t replayed;

static void replay_file(const char *path) {
    struct stat info;
    FILE *file = fopen(path, "rb");
    FUZZ_CHECK(file && fstat(fileno(file), &info) == 0);
    /* The exact size, so that a sanitizer sees a read of one byte too many. */
    uint8_t *data = malloc((size_t)info.st_size + (info.st_size == 0));
    FUZZ_CHECK(data && fread(data, 1, (size_t)info.st_size, file) == (size_t)info.st_size);
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)info.st_size);
    free(data);
    replayed++;
}

static void replay_folder(const char *path, DIR *folder) {
    for (struct dirent *item; (item = readdir(folder));) {
        char name[4096];
        struct stat info;
        int length = snprintf(name, sizeof name, "%s/%s", path, item->d_name);
        if (length < 0 || (size_t)length >= sizeof name || stat(name, &info) != 0 || !S_ISREG(info.st_mode)) continue;
        replay_file(name);
    }
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "usage: %s FILE|FOLDER...\n", arguments[0]);
        return 2;
    }
    for (int i = 1; i < count; i++) {
        DIR *folder = opendir(arguments[i]);
        if (folder) {
            replay_folder(arguments[i], folder);
            closedir(folder);
        } else {
            replay_file(arguments[i]);
        }
    }
    printf("%zu inputs replayed\n", replayed);
    return replayed ? 0 : 1; /* an empty corpus is a mistake of the build */
}
