/* gRPC's reflection: clients that were not given protos/ ask the server for them.  The descriptors are made of those
 * files when the server is built. */
#include <grpc_descriptors.h> /* ds__descriptors: a FileDescriptorSet with one file for each of protos/ */

#include "base/error.h"
#include "serve/grpc/grpc_service.h"
#include "serve/grpc/wire.h"

enum { FILES = sizeof ds__descriptors / sizeof *ds__descriptors };

/* The names that matter in a FileDescriptorProto, by field. */
enum { FILE_NAME = 1, FILE_PACKAGE = 2, FILE_MESSAGE = 4, FILE_ENUM = 5, FILE_SERVICE = 6 };

/* The FileDescriptorProto in the set. */
static ds__str file_at(size_t index) {
    ds_error error = {DS_OK, ""};
    ds__str set = {(const char *)ds__descriptors[index].data, ds__descriptors[index].size};
    ds__wire wire = ds__wire_of(set, "FileDescriptorSet", &error);
    return ds__wire_next(&wire) ? ds__wire_bytes(&wire, "file") : (ds__str){"", 0};
}

static ds__str text_in(ds__str message, uint32_t field) {
    ds_error error = {DS_OK, ""};
    ds__wire wire = ds__wire_of(message, "descriptor", &error);
    while (ds__wire_next(&wire))
        if (wire.field == field) return ds__wire_text(&wire, "name");
    return (ds__str){"", 0};
}

/* "package.Name" or something inside of it. */
static bool holds_symbol(ds__str file, ds__str symbol) {
    ds_error error = {DS_OK, ""};
    ds__str package = text_in(file, FILE_PACKAGE);
    if (!ds__str_starts(symbol, package) || symbol.size == package.size || symbol.data[package.size] != '.')
        return false;
    ds__str rest = {symbol.data + package.size + 1, symbol.size - package.size - 1};
    ds__wire wire = ds__wire_of(file, "FileDescriptorProto", &error);
    while (ds__wire_next(&wire)) {
        if (wire.field != FILE_MESSAGE && wire.field != FILE_ENUM && wire.field != FILE_SERVICE) continue;
        ds__str name = text_in(ds__wire_bytes(&wire, "declaration"), 1);
        if (ds__str_starts(rest, name) && (rest.size == name.size || rest.data[name.size] == '.')) return true;
    }
    return false;
}

static void put_error(ds__buffer *answer, int code, const char *format, ds__str name) {
    ds_error error;
    (void)ds__fail(&error, DS_NOT_FOUND, format, DS_STR_ARG(name));
    size_t opened = ds__wire_open(answer, 7);
    ds__wire_put_uint(answer, 1, (uint64_t)code);
    ds__wire_put_text(answer, 2, error.message);
    ds__wire_close(answer, opened);
}

static void put_services(ds__buffer *answer) {
    size_t list = ds__wire_open(answer, 6);
    for (size_t i = 0; i < FILES; i++) {
        ds__str file = file_at(i), package = text_in(file, FILE_PACKAGE);
        ds_error error = {DS_OK, ""};
        ds__wire wire = ds__wire_of(file, "FileDescriptorProto", &error);
        while (ds__wire_next(&wire)) {
            if (wire.field != FILE_SERVICE) continue;
            ds__str name = text_in(ds__wire_bytes(&wire, "service"), 1);
            size_t service = ds__wire_open(answer, 1);
            ds__wire_put_head(answer, 1, package.size + 1 + name.size);
            ds__buffer_append(answer, package.data, package.size);
            ds__buffer_put(answer, '.');
            ds__buffer_append(answer, name.data, name.size);
            ds__wire_close(answer, service);
        }
    }
    ds__wire_close(answer, list);
}

static void put_file(ds__buffer *answer, ds__str name, bool is_symbol) {
    for (size_t i = 0; i < FILES; i++) {
        ds__str file = file_at(i);
        if (is_symbol ? !holds_symbol(file, name) : !ds__str_equal(text_in(file, FILE_NAME), name)) continue;
        size_t opened = ds__wire_open(answer, 4);
        ds__wire_put_element(answer, 1, file);
        ds__wire_close(answer, opened);
        return;
    }
    put_error(answer, DS__GRPC_NOT_FOUND, is_symbol ? "there is no symbol %.*s" : "there is no file %.*s", name);
}

static void reflect(ds__grpc_exchange *exchange) {
    ds_error error = {DS_OK, ""};
    ds__buffer answer;
    ds__str host = {"", 0}, value = {"", 0};
    uint32_t asked = 0;
    ds__wire wire = ds__wire_of(exchange->message, "ServerReflectionRequest", &error);
    while (ds__wire_next(&wire)) {
        if (wire.field == 1) host = ds__wire_text(&wire, "host");
        if (wire.field < 3 || wire.field > 7) continue;
        asked = wire.field;
        value = asked == 5 ? ds__wire_bytes(&wire, "file_containing_extension") : ds__wire_text(&wire, "name");
    }
    if (!ds__wire_ok(&wire)) {
        ds__grpc_refuse(exchange, DS__GRPC_INVALID_ARGUMENT, error.message);
        return;
    }
    ds__grpc_answer_init(exchange, &answer);
    ds__wire_put_bytes(&answer, 1, host);
    ds__wire_put_element(&answer, 2, exchange->message);
    if (asked == 7)
        put_services(&answer);
    else if (asked == 3 || asked == 4)
        put_file(&answer, value, asked == 4);
    else
        put_error(&answer, asked ? DS__GRPC_NOT_FOUND : DS__GRPC_INVALID_ARGUMENT,
                  "no file here has extensions, and nothing else was asked%.*s", (ds__str){"", 0});
    ds__grpc_reply(exchange, &answer);
}

/* Both names are in use; the messages are the same. */
const ds__grpc_method ds__grpc_reflection_v1 = {
    .path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", .kind = DS__GRPC_STREAM, .handle = reflect};
const ds__grpc_method ds__grpc_reflection_v1alpha = {
    .path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    .kind = DS__GRPC_STREAM,
    .handle = reflect};
