#!/usr/bin/env bash
# A comparison on all nodes of a Slurm allocation: sbatch --nodes 4 --gpus-per-node 8 slurm.sh DATA
# Needs `pip install 'headstart[cluster]'` in an environment that all nodes see, and shared storage for DATA.
#SBATCH --job-name=headstart
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
set -euo pipefail

data=${1:?"name the pictures: sbatch slurm.sh DATA"}
port=6379
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}'):$port

# Whoever reaches Ray may run anything: only who knows this token is heard.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
export RAY_USAGE_STATS_ENABLED=0
# Else Ray's daemons go before the workers, whose threads then wait for each other.
export RAY_worker_niceness=0

srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap ray start --head --port=$port --block &
sleep 20
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" --overlap ray start --address="$address" --block &
  sleep 20
fi

srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap headstart compare "$data" --cluster "$address"
