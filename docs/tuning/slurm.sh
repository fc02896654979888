#!/usr/bin/env bash
# A search for the depth of f by Slurm: a Ray cluster on four nodes, of which the first runs the search.
#
#     sbatch docs/tuning/slurm.sh
#
# All nodes need this package (extras tuning, plot and distributed), the data, and the folder of the search. If the job
# ends before the search does, submit it again with SEARCH_DIRECTORY set to that folder.
#SBATCH --job-name=keras-hypernet-tune
#SBATCH --nodes=4
#SBATCH --exclusive
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --output=tune-%j.log
set -euo pipefail

directory=${SEARCH_DIRECTORY:-$PWD/runs/tuning/$SLURM_JOB_ID}
address=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):6379
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300 # nodes may start minutes apart
srun ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus "$SLURM_CPUS_PER_TASK" -- \
    keras-hypernet tune rotation_mnist --method hyper --oracle bayesian --trials 40 --learning-rate 0.001:0.1 \
    --directory "$directory" --resume --plot \
    --engine ray --address "$address" --workers $((SLURM_JOB_NUM_NODES * SLURM_CPUS_PER_TASK))
