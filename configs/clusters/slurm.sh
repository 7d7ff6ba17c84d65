#!/usr/bin/env bash
# A study on nodes of a Slurm cluster, whose home or scratch folder all nodes see:
#
#     sbatch configs/clusters/slurm.sh --space orders --suite xtreme --data-dir DIR --gpus-per-trial 1
#
# What follows the script's name goes to `python search/run.py`. The first node is Ray's head and runs the search; a
# later sbatch with the same words goes on where this one was stopped.
#SBATCH --job-name=order-search
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-$PWD}"
. .venv/bin/activate

# One token for this job, known to its own nodes alone: srun hands it on in the environment.
RAY_AUTH_TOKEN=$(python -c "import secrets; print(secrets.token_hex(32))")
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=600

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address="$head:$((20000 + SLURM_JOB_ID % 10000))"

# Slurm's TERM goes to this shell (B:): it is passed on, so that the search ends its stages and writes its reports.
srun --kill-on-bad-exit=1 ray symmetric-run --address "$address" --min-nodes "$SLURM_NNODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" --include-dashboard false --disable-usage-stats \
    -- python search/run.py --address auto --out runs "$@" &
search=$!
trap 'kill -TERM "$search"' TERM INT
wait "$search" || code=$?
# A trap ends the first wait: then the search is still ending.
while kill -0 "$search" 2>/dev/null; do code=0; wait "$search" || code=$?; done
exit "${code:-0}"
