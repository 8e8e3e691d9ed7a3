/* What is counted, and writing it as Prometheus reads it. Guarded by the service's lock. */
#ifndef DS_SERVE_SERVE_METRICS_H
#define DS_SERVE_SERVE_METRICS_H

#include "base/buffer.h"
#include "serve/service.h"

enum { DS__HISTOGRAM_BUCKETS = 16 };

/* The list of bounds a histogram is cut at; the last bucket has none. */
typedef enum ds__histogram_scale { DS__SCALE_SECONDS, DS__SCALE_COUNT } ds__histogram_scale;

typedef struct ds__histogram {
    uint64_t buckets[DS__HISTOGRAM_BUCKETS + 1], count;
    double sum;
} ds__histogram;

void ds__histogram_add(ds__histogram *histogram, ds__histogram_scale scale, double value);

/* Of a loaded version. */
typedef struct ds__instance_metrics {
    uint64_t last_inference_ms, rows, executions, tokens;
    ds__serve_duration success, fail, queue, compute_input, compute_infer, compute_output;
    ds__serve_duration batches[DS__SERVE_BATCH_SIZES];
    ds__histogram queue_s, compute_s, total_s, batch_texts, batch_tokens;
} ds__instance_metrics;

typedef struct ds__service_metrics {
    uint64_t ended[DS__SERVE_CODE_COUNT][DS__SERVE_TRANSPORTS]; /* requests, by how they ended */
} ds__service_metrics;

/* The whole page. Takes the lock. */
void ds__service_put_metrics(ds__service *service, ds__buffer *out);

#endif
