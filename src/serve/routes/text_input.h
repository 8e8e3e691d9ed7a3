/* "input" of OpenAI's requests: a string, a list of strings, a list of token ids, or a list of such lists. */
#ifndef DS_SERVE_ROUTES_TEXT_INPUT_H
#define DS_SERVE_ROUTES_TEXT_INPUT_H

#include "serve/routes/route_json.h"

/* Members that /v1/embeddings and /v1/classify share; strings borrowed or in the request's arena. */
typedef struct ds__text_input {
    ds__str model;
    ds__str input; /* its JSON text */
    bool truncate;
} ds__text_input;

/* Takes a member if it is one of these. */
bool ds__text_input_member(ds__json *json, ds__str key, ds__text_input *in);
/* Makes the request's inputs. takes_ids: lists of numbers are token ids. false: answered. */
bool ds__text_input_read(ds__http_call *call, const ds__text_input *in, bool takes_ids, ds__serve_request *r);

/* {"prompt_tokens", "total_tokens"} */
void ds__put_usage(ds__json_writer *json, const ds__serve_request *r);

#endif
