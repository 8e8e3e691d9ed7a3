/* Calibrating a folder: its head's temperature from rows that it was not trained on. See ds_calibrate. */
#ifndef DS_TRAIN_CALIBRATE_H
#define DS_TRAIN_CALIBRATE_H

#include "train/evaluate.h"

ds_status ds__calibrate(ds_session *session, const ds_calibrate_options *options, ds_calibration *out,
                        ds_error *error) DS_MUST_CHECK;
/* The same on `count` rows of an open file, those that `rows` numbers; NULL: the first ones.  Rows without a label are
 * passed over. */
ds_status ds__calibrate_rows(const ds__labelled *labelled, const uint32_t *rows, size_t count, ds_calibration *out,
                             ds_error *error) DS_MUST_CHECK;
/* Whether a temperature can be fitted for such a task. what: the file or folder, for the message. */
ds_status ds__calibrate_check_task(ds_train_task task, const char *what, ds_error *error) DS_MUST_CHECK;

#endif
