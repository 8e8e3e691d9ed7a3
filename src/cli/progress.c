/* The progress bar. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"

enum { WAIT_MS = 2000, INTERVAL_MS = 200, WIDTH = 30 };
#define CLEAR_REST " \x1b[K" /* of a line that was longer before */

void cli_progress_start(cli_progress *progress, const char *unit, size_t total) {
    *progress = (cli_progress){.unit = unit, .total = total, .started_ns = ds__clock_ns(), .terminal = isatty(2) == 1};
}

static void show(cli_progress *progress, uint64_t now) {
    double seconds = (double)(now - progress->started_ns) * 1e-9, rate = (double)progress->done / seconds, share = 0;
    if (progress->total)
        share = (double)progress->done / (double)progress->total;
    else if (progress->bytes_total)
        share = (double)progress->bytes_done / (double)progress->bytes_total;
    share = share > 1 ? 1 : share; /* the file may lack its last newline, or have grown */
    progress->shown_ns = now;
    fputc('\r', stderr);
    if (share > 0) {
        char bar[WIDTH + 1];
        memset(bar, '.', WIDTH);
        memset(bar, '#', (size_t)(WIDTH * share));
        bar[WIDTH] = '\0';
        fprintf(stderr, "[%s] ", bar);
    }
    fprintf(stderr, "%zu %s, %.*f/s", progress->done, progress->unit, rate < 10 ? 1 : 0, rate);
    if (share > 0) fprintf(stderr, ", %.0f s left", seconds * (1 - share) / share);
    fputs(CLEAR_REST, stderr);
}

void cli_progress_add(cli_progress *progress, size_t done) {
    progress->done += done;
    uint64_t now = progress->terminal ? ds__clock_ns() : 0;
    if (progress->terminal && now - progress->started_ns > WAIT_MS * UINT64_C(1000000) &&
        now - progress->shown_ns > INTERVAL_MS * UINT64_C(1000000))
        show(progress, now);
}

void cli_progress_end(cli_progress *progress) {
    if (progress->shown_ns) fprintf(stderr, "\r\x1b[K");
}
