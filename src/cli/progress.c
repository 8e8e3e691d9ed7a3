/* The progress bar. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"

enum { WAIT_MS = 2000, INTERVAL_MS = 200, WIDTH = 30 };

void cli_progress_start(cli_progress *progress, const char *unit, size_t total) {
    *progress = (cli_progress){.unit = unit, .total = total, .started_ns = ds__clock_ns(), .terminal = isatty(2) == 1};
}

static void show(cli_progress *progress, uint64_t now) {
    double seconds = (double)(now - progress->started_ns) * 1e-9, rate = (double)progress->done / seconds;
    progress->shown_ns = now;
    if (!progress->total) {
        fprintf(stderr, "\r%zu %s, %.0f/s \x1b[K", progress->done, progress->unit, rate);
        return;
    }
    char bar[WIDTH + 1];
    size_t filled = WIDTH * progress->done / progress->total;
    memset(bar, '.', WIDTH);
    memset(bar, '#', filled > WIDTH ? WIDTH : filled);
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r[%s] %zu of %zu %s, %.0f/s, %.0f s left \x1b[K", bar, progress->done, progress->total,
            progress->unit, rate, rate > 0 ? (double)(progress->total - progress->done) / rate : 0.0);
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
