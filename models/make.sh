#!/bin/sh
# Rebuilds deepseek/base-model, the model that comes with the repository, with nothing but this project's own program.
#
#   models/make.sh MINILM BANKING77 FINANCIAL [OUT]
#
# MINILM     all-MiniLM-L6-v2 (tools/get-minilm --print-path gives one)
# BANKING77  a folder with train.csv and test.csv (columns text and category), as PolyAI publishes them; CC-BY-4.0
# FINANCIAL  a folder with train_9543.csv (columns text and label): zeroshot's twitter-financial-news-sentiment; MIT.
#            Its texts help to choose the vocabulary and to keep the vectors; its labels are not used
# OUT        where the model is to be: default models/deepseek/base-model
#
# Takes about half an hour on two cores.  Seeded: one machine gives the same bits each time (another instruction set
# rounds otherwise).  Steps that are done are kept in build/base-model: the same command goes on after a kill.
set -eu

case ${1:-} in -h|--help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
[ $# -ge 3 ] && [ $# -le 4 ] || { echo "make.sh: expected MINILM BANKING77 FINANCIAL [OUT] (see --help)" >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)
minilm=$1 banking=$2 financial=$3 out=${4:-$here/models/deepseek/base-model}
deepseek=$here/build/release/deepseek work=$here/build/base-model
for file in "$minilm/model.safetensors" "$banking/train.csv" "$banking/test.csv" "$financial/train_9543.csv"; do
    [ -f "$file" ] || { echo "make.sh: $file is missing (see --help)" >&2; exit 1; }
done
[ -x "$deepseek" ] || { echo "make.sh: $deepseek is missing; 'make' builds it" >&2; exit 1; }
[ ! -e "$out" ] || { echo "make.sh: $out exists; move it away first" >&2; exit 1; }
mkdir -p "$work"

# 1. A third of the vocabulary.  Tokens that the texts have seldom are left to the common English ones.
if [ ! -d "$work/pruned" ]; then
    "$deepseek" prune "$minilm" "$work/pruned" --texts "$banking/train.csv" --texts "$financial/train_9543.csv" \
        --tokens 12000 --min-count 20
fi

# 2. The intents, while the vectors of these and of other texts stay where MiniLM has them, rounding as the int8 engine
#    will.  A fifth of the weights is what it was, for texts of which there are none here.  5 % of the rows are held back
#    for the temperature.
if [ ! -f "$work/trained/config.json" ]; then
    "$deepseek" train "$work/pruned" --train "$banking/train.csv" --label-column category --calibrate 0.05 \
        --teacher "$minilm" --keep-vectors 20 --keep-texts "$financial/train_9543.csv" --keep-weights 0.2 \
        --quantization int8 --epochs 6 --batch-size 16 --learning-rate 2e-4 --scheduler cosine --warmup-ratio 0.1 \
        --seed 1 --save-dtype int8 --resume --output "$work/trained"
fi

# 3. Out comes the model without the traces of its making.
rm -rf "$out.partial"
mkdir -p "$out.partial" "$(dirname "$out")"
for file in config.json model.safetensors tokenizer.json tokenizer_config.json special_tokens_map.json vocab.txt \
    modules.json sentence_bert_config.json config_sentence_transformers.json 1_Pooling; do
    cp -R "$work/trained/$file" "$out.partial/"
done
mv "$out.partial" "$out"
"$deepseek" eval "$out" --data "$banking/test.csv" --label-column category
