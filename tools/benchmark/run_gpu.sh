#!/bin/sh
# Measures on one GPU for so many minutes, the most telling rows first:
#
#   tools/benchmark/run_gpu.sh MINUTES [FOLDER]
#
# Runs with whatever there is of TensorFlow, JAX and PyTorch, on the card; files of results go to
# FOLDER (gpu_results), one a command. No command takes more than a third of the time. PYTHON names
# another interpreter.
set -eu

minutes=${1:-}
case $minutes in
"" | *[!0-9]* | 0) echo "run_gpu.sh: error: give the minutes that it may take, a whole number above 0." >&2 && exit 2 ;;
esac
folder=${2:-gpu_results}
python=${PYTHON:-python3}
end=$(($(date +%s) + 60 * minutes))
least_seconds=60 # Less is not enough to compile a step.
most_seconds=$((60 * minutes / 3))
if [ "$most_seconds" -lt $least_seconds ]; then most_seconds=$least_seconds; fi
# After Ctrl-C, which the command that runs gets as well, nothing else is begun.
trap 'exit 130' INT
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
mkdir -p "$folder"

# From a checkout that is not installed, its root is the package.
if ! "$python" -c "import shimzoo" 2>/dev/null; then
    packages=$(mktemp -d)
    trap 'rm -rf "$packages"' EXIT
    ln -s "$root" "$packages/shimzoo"
    export PYTHONPATH="$packages${PYTHONPATH:+:$PYTHONPATH}"
fi

# Of these, those that have the card, each asked in a process of its own.
backends=
for backend in jax tensorflow torch; do
    case $backend in
    jax) sees="import jax; assert jax.default_backend() == 'gpu'" ;;
    tensorflow) sees="import tensorflow as tf; assert tf.config.list_physical_devices('GPU')" ;;
    torch) sees="import torch; assert torch.cuda.is_available()" ;;
    esac
    if "$python" -c "$sees" 2>/dev/null; then backends="$backends $backend"; fi
done
if [ -z "$backends" ]; then
    echo "run_gpu.sh: error: none of JAX, TensorFlow and PyTorch finds a GPU: install one that does, as in pip install 'jax[cuda12]'." >&2
    exit 2
fi
first=${backends# }
first=${first%% *}

# measure NAME OPTION...: into NAME.csv, until its time is over; Ctrl-C makes it write what it has.
measure() {
    name=$1
    shift
    left=$((end - $(date +%s)))
    if [ "$left" -lt $least_seconds ]; then
        echo "run_gpu.sh: no time left for $name"
        return
    fi
    echo "run_gpu.sh: $name, $left s left"
    if [ "$left" -gt "$most_seconds" ]; then left=$most_seconds; fi
    # Started in the background, it would be deaf to that signal.
    KERAS_BACKEND=$first timeout --foreground --signal=INT --kill-after=30 "$left" \
        env --default-signal=INT "$python" -m shimzoo.cli \
        benchmark throughput --out "$folder/$name.csv" "$@" ||
        echo "run_gpu.sh: $name ended with code $?"
}

# ResNet-50's training, batch 256 in bfloat16: the zoo's on each backend, PyTorch's on the same card.
for backend in $backends; do
    measure "resnet50_train_bf16_$backend" --model resnet_v1_50 --batch-size 256 \
        --precision mixed_bfloat16 --jit --phase training --backend "$backend" \
        --contender torchvision
done
measure resnet50_train_bf16_keras --model resnet_v1_50 --batch-size 256 \
    --precision mixed_bfloat16 --jit --phase training --backend "$first" \
    --contender keras_applications --contender timm
measure resnet50_inference_bf16 --model resnet_v1_50 --batch-size 256 \
    --precision mixed_bfloat16 --jit --phase inference --backend "$first" \
    --contender keras_applications --contender torchvision
measure mobilenet_v2_bf16 --model mobilenet_v2_1.0_224 --batch-size 256 \
    --precision mixed_bfloat16 --jit --backend "$first" \
    --contender keras_applications --contender torchvision
measure inception_v3_bf16 --model inception_v3 --batch-size 128 \
    --precision mixed_bfloat16 --jit --backend "$first" --option create_aux_logits=False \
    --contender keras_applications --contender timm
measure resnet50_float32 --model resnet_v1_50 --batch-size 128 --jit --backend "$first" \
    --contender keras_applications --contender torchvision
case $backends in
*tensorflow*)
    measure resnet50_stages --model resnet_v1_50 --stage shimmed --batch-size 128 \
        --backend tensorflow --contender native --contender tf1_session
    ;;
esac
