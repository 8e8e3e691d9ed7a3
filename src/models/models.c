/* The list of architectures. */
#include "models/architecture.h"

static const ds__architecture *const architectures[] = {
#define DS_ARCHITECTURE(name, about) &ds__architecture_##name,
#include "models/models.def"
#undef DS_ARCHITECTURE
};

enum { COUNT = sizeof architectures / sizeof *architectures };

const ds__architecture *ds__architecture_find(ds__str model_type) {
    for (size_t i = 0; i < COUNT; i++)
        if (ds__str_is(model_type, architectures[i]->model_type)) return architectures[i];
    return NULL;
}

/* "BertModel" and "BertForMaskedLM" are BERT's, "BertGenerationEncoder" is not. */
const ds__architecture *ds__architecture_of_class(ds__str class_name) {
    for (size_t i = 0; i < COUNT; i++) {
        ds__str prefix = ds__str_of(architectures[i]->class_name);
        if (!ds__str_starts(class_name, prefix)) continue;
        ds__str rest = {class_name.data + prefix.size, class_name.size - prefix.size};
        if (ds__str_is(rest, "Model") || ds__str_starts(rest, DS_STR("For"))) return architectures[i];
    }
    return NULL;
}

const char *ds__architecture_names(void) {
    return &""
#define DS_ARCHITECTURE(name, about) ", " #name
#include "models/models.def"
#undef DS_ARCHITECTURE
        [2];
}
