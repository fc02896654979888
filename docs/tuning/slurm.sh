#!/usr/bin/env bash
# A search for the depth of f by a Slurm job array: task 0 is the chief, the other four are workers.
#
#     sbatch docs/tuning/slurm.sh
#
# The folder of the search must be one that all nodes share. The chief writes there where it is; workers wait for that.
#SBATCH --job-name=keras-hypernet-tune
#SBATCH --array=0-4
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --output=tune-%A-%a.log
set -euo pipefail

directory=${SEARCH_DIRECTORY:-$PWD/runs/tuning/$SLURM_ARRAY_JOB_ID}
place=$directory.address
search=(keras-hypernet tune rotation_mnist --method hyper --oracle bayesian --trials 40
    --learning-rate 0.001:0.1 --directory "$directory" --resume)

if [ "$SLURM_ARRAY_TASK_ID" -eq 0 ]; then
    mkdir -p "$(dirname "$directory")"
    # Of a chief before this one, which was killed. A worker that has read it ends with an error after --wait.
    rm -f "$place"
    trap 'rm -f "$place"' EXIT
    # A port that follows from the job's number, so that two searches can share a node.
    address="$(hostname -f):$((20000 + SLURM_ARRAY_JOB_ID % 20000))"
    echo "$address" > "$place.new"
    mv "$place.new" "$place"
    "${search[@]}" --plot --distributed chief --address "$address"
else
    # Tasks of an array may start minutes apart.
    patience=${CHIEF_PATIENCE:-600}
    for _ in $(seq "$patience"); do
        [ -s "$place" ] && break
        sleep 1
    done
    if ! address=$(cat "$place" 2> /dev/null) || [ -z "$address" ]; then
        echo "No chief has written its address to $place within $patience seconds: is task 0 running?" >&2
        exit 1
    fi
    "${search[@]}" --distributed worker --address "$address" --worker-id "worker-$SLURM_ARRAY_TASK_ID" --wait 300
fi
