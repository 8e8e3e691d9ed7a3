/* InferTensorContents to a tensor. */
#include "serve/grpc/infer_contents.h"

#include <inttypes.h>

#include "base/error.h"

/* The fields of InferTensorContents, by number. */
enum { BOOL = 1, INT = 2, INT64 = 3, UINT = 4, UINT64 = 5, FP32 = 6, FP64 = 7, BYTES = 8, FIELDS };

static const char *const field_names[FIELDS] = {"",
                                                "bool_contents",
                                                "int_contents",
                                                "int64_contents",
                                                "uint_contents",
                                                "uint64_contents",
                                                "fp32_contents",
                                                "fp64_contents",
                                                "bytes_contents"};

/* How a datatype travels: in which field, and between which values. */
typedef struct form {
    int field;
    int64_t low;
    uint64_t high;
} form;

static form form_of(ds__serve_datatype datatype) {
    switch (datatype) {
    case DS__SERVE_BOOL: return (form){BOOL, 0, 1};
    case DS__SERVE_INT8: return (form){INT, INT8_MIN, INT8_MAX};
    case DS__SERVE_INT16: return (form){INT, INT16_MIN, INT16_MAX};
    case DS__SERVE_INT32: return (form){INT, INT32_MIN, INT32_MAX};
    case DS__SERVE_INT64: return (form){INT64, INT64_MIN, INT64_MAX};
    case DS__SERVE_UINT8: return (form){UINT, 0, UINT8_MAX};
    case DS__SERVE_UINT16: return (form){UINT, 0, UINT16_MAX};
    case DS__SERVE_UINT32: return (form){UINT, 0, UINT32_MAX};
    case DS__SERVE_UINT64: return (form){UINT64, 0, UINT64_MAX};
    case DS__SERVE_FP32: return (form){FP32, 0, 0};
    case DS__SERVE_FP64: return (form){FP64, 0, 0};
    case DS__SERVE_BYTES: return (form){BYTES, 0, 0};
    default: return (form){0, 0, 0};
    }
}

typedef struct reading {
    ds__serve_tensor *tensor;
    form form;
    size_t element_bytes;
    unsigned char *out; /* [elements], NULL while they are counted */
    ds_text *texts;
    size_t count; /* read or counted so far */
    ds__str only; /* the run of packed elements, if there is one run and nothing else */
    bool is_one_run;
} reading;

static bool put_number(reading *to, ds__wire *wire, uint64_t value) {
    int64_t as_signed = (int64_t)value;
    bool fits =
        to->form.low < 0 ? as_signed >= to->form.low && as_signed <= (int64_t)to->form.high : value <= to->form.high;
    if (!fits)
        return ds__wire_fail(wire, "element %zu of input \"%.*s\" is %" PRId64 ", which %s cannot hold", to->count,
                             DS_STR_ARG(to->tensor->name), as_signed, ds__serve_datatype_name(to->tensor->datatype));
    if (to->out) memcpy(to->out + to->count * to->element_bytes, &value, to->element_bytes); /* little endian */
    to->count++;
    return true;
}

/* Packed elements: a run of varints, or of fixed numbers as they lie in memory. */
static bool read_run(reading *to, ds__wire *wire) {
    if (to->form.field == FP32 || to->form.field == FP64) {
        if (wire->bytes.size % to->element_bytes)
            return ds__wire_fail(wire, "%s has %zu bytes, which is no multiple of %zu", field_names[to->form.field],
                                 wire->bytes.size, to->element_bytes);
        if (to->out && wire->bytes.size)
            memcpy(to->out + to->count * to->element_bytes, wire->bytes.data, wire->bytes.size);
        to->is_one_run = to->count == 0;
        to->only = wire->bytes;
        to->count += wire->bytes.size / to->element_bytes;
        return true;
    }
    const unsigned char *at = (const unsigned char *)wire->bytes.data, *end = at + wire->bytes.size;
    while (at < end) {
        uint64_t value;
        if (!ds__wire_varint(&at, end, &value))
            return ds__wire_fail(wire, "%s has a number that does not end", field_names[to->form.field]);
        if (!put_number(to, wire, value)) return false;
    }
    return true;
}

static bool read_element(reading *to, ds__wire *wire) {
    static const ds__wire_type single[FIELDS] = {
        [FP32] = DS__WIRE_I32, [FP64] = DS__WIRE_I64, [BYTES] = DS__WIRE_BYTES};
    if (to->form.field == BYTES && wire->type == DS__WIRE_BYTES) {
        if (to->texts) to->texts[to->count] = (ds_text){wire->bytes.data, wire->bytes.size};
        to->count++;
        return true;
    }
    if (wire->type == DS__WIRE_BYTES) return read_run(to, wire);
    if (wire->type != single[to->form.field])
        return ds__wire_fail(wire, "%s has wire type %d", field_names[to->form.field], (int)wire->type);
    to->is_one_run = false;
    if (to->form.field != FP32 && to->form.field != FP64) return put_number(to, wire, wire->number);
    if (to->out) memcpy(to->out + to->count * to->element_bytes, &wire->number, to->element_bytes);
    to->count++;
    return true;
}

/* Counts, or with room to write in, reads. */
static bool read_all(reading *to, ds__str contents, ds_error *error) {
    ds__wire wire = ds__wire_of(contents, "InferTensorContents", error);
    to->count = 0;
    while (ds__wire_next(&wire)) {
        int field = wire.field < FIELDS ? (int)wire.field : 0;
        if (!field) continue;
        if (field != to->form.field)
            return ds__wire_fail(&wire, "input \"%.*s\" is of %s, whose elements stand in %s, not in %s",
                                 DS_STR_ARG(to->tensor->name), ds__serve_datatype_name(to->tensor->datatype),
                                 field_names[to->form.field], field_names[field]);
        if (!read_element(to, &wire)) return false;
    }
    return ds__wire_ok(&wire);
}

ds__serve_code ds__infer_contents(ds__serve_tensor *tensor, ds__str contents, ds__arena *arena, ds_error *error) {
    reading to = {.tensor = tensor,
                  .form = form_of(tensor->datatype),
                  .element_bytes = ds__serve_datatype_size(tensor->datatype)};
    if (!to.form.field) {
        (void)ds__fail(error, DS_INVALID_ARGUMENT, "input \"%.*s\" is of %s, which travels in raw_input_contents only",
                       DS_STR_ARG(tensor->name), ds__serve_datatype_name(tensor->datatype));
        return DS__SERVE_INVALID;
    }
    if (!read_all(&to, contents, error)) return DS__SERVE_INVALID;
    if (to.count != tensor->elements) {
        (void)ds__fail(error, DS_SHAPE_MISMATCH, "input \"%.*s\" has %zu elements in %s, but its shape has %zu",
                       DS_STR_ARG(tensor->name), to.count, field_names[to.form.field], tensor->elements);
        return DS__SERVE_INVALID;
    }
    if (to.is_one_run) {
        tensor->data = to.only.data;
        return DS__SERVE_OK;
    }
    size_t bytes = to.count * (to.form.field == BYTES ? sizeof *to.texts : to.element_bytes);
    void *memory = ds__arena_alloc(arena, bytes);
    if (!memory) {
        (void)ds__alloc_failed(arena->heap, bytes, "an input's elements", error);
        return DS__SERVE_TOO_LARGE;
    }
    if (to.form.field == BYTES)
        tensor->texts = to.texts = memory;
    else
        tensor->data = to.out = memory;
    return read_all(&to, contents, error) ? DS__SERVE_OK : DS__SERVE_INVALID;
}
