/* Everything: #include <deepseek/deepseek.h> and link with -ldeepseek. */
#ifndef DEEPSEEK_DEEPSEEK_H
#define DEEPSEEK_DEEPSEEK_H

#include "deepseek/context.h"
#include "deepseek/graph.h"
#include "deepseek/inspect.h"
#include "deepseek/machine.h"
#include "deepseek/model.h"
#include "deepseek/status.h"
#include "deepseek/tensor.h"
#include "deepseek/tokenizer.h"
#include "deepseek/train.h"

#endif
