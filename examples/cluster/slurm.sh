#!/usr/bin/env bash
# A comparison on all nodes of a Slurm allocation: sbatch --nodes 4 --gpus-per-node 8 slurm.sh DATA --budget 2h
# Needs `pip install 'headstart[cluster]'` in an environment that all nodes see, and shared storage for DATA.
#SBATCH --job-name=headstart
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
set -euo pipefail

: "${1:?"name the pictures: sbatch slurm.sh DATA"}"
port=${HEADSTART_RAY_PORT:-6379}
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
on_head=(srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap)
address=$("${on_head[@]}" hostname --ip-address | awk '{print $1}'):$port

# Whoever reaches Ray may run anything: only who knows this token is heard.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
export RAY_USAGE_STATS_ENABLED=0
# Else Ray's daemons go before the workers, whose threads then wait for each other.
export RAY_worker_niceness=0

wait_for() { # so many nodes
  for _ in $(seq 60); do
    found=$("${on_head[@]}" headstart cluster status "$address" 2>/dev/null | grep -c "GPUs$") || true
    if [ "$found" -ge "$1" ]; then return; fi
    sleep 2
  done
  echo "Ray did not start on $1 nodes within minutes" >&2
  exit 1
}

cores=${SLURM_CPUS_ON_NODE:-1}
"${on_head[@]}" ray start --head --port="$port" --num-cpus="$cores" --block &
wait_for 1
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  others=$((SLURM_JOB_NUM_NODES - 1))
  srun --nodes="$others" --ntasks="$others" --exclude="$head" --overlap \
    ray start --address="$address" --num-cpus="$cores" --block &
  wait_for "$SLURM_JOB_NUM_NODES"
fi

"${on_head[@]}" headstart compare "$@" --cluster "$address"
