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
    # A port that follows from the job's number, so that two searches can share a node.
    address="$(hostname -f):$((20000 + SLURM_ARRAY_JOB_ID % 20000))"
    echo "$address" > "$place.new"
    mv "$place.new" "$place"
    "${search[@]}" --plot --distributed chief --address "$address"
    rm "$place"
else
    # Tasks of an array may start minutes apart.
    for _ in $(seq 600); do
        [ -s "$place" ] && break
        sleep 1
    done
    "${search[@]}" --distributed worker --address "$(cat "$place")" --worker-id "worker-$SLURM_ARRAY_TASK_ID" --wait 300
fi
