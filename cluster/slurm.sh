#!/bin/bash
# One Slurm job is one Ray cluster: a head on its first node, a worker on each other one, and an equivdm command on top.
#
#     sbatch --nodes=4 --gpus-per-node=8 cluster/slurm.sh train my.yaml --set store.root=/lustre/me/store
#
# Submit from a folder that all nodes see, in an environment (module, venv) with equivdm on PATH. Options of sbatch go
# before the script, and replace those here; what comes after is the equivdm command.
#
#SBATCH --job-name=equivdm
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1     # one Ray a node, which shares the node's CPUs out itself
#SBATCH --cpus-per-task=16      # of each node
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@600     # ten minutes before the end, to this script alone: a training saves its step
#SBATCH --requeue               # a preempted job is put back by Slurm itself
#SBATCH --open-mode=append      # a job that goes on keeps its log
#SBATCH --no-kill               # a node that fails costs its work in flight, not the job: Ray goes on with the others
set -euo pipefail
umask 077 # what is made here holds a token

shared=$(mktemp -d "${SLURM_SUBMIT_DIR:?submit this with sbatch}/.equivdm-$SLURM_JOB_ID-XXXXXX")
scratch=/tmp/equivdm-$SLURM_JOB_ID # on each node; short, since paths of sockets have 107 characters at most

# Every cluster has a token of its own, in a file: arguments and environments of processes can be looked at.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$shared/auth_token
unset RAY_AUTH_TOKEN # it would go before the file
od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH"

export RAY_idle_worker_killing_time_threshold_ms=120000 # 1000 by default: gaps in a pipeline would cost the imports
export RAY_USAGE_STATS_ENABLED=0
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 # 30 by default: when Ray ends here the job has ended, and all nodes would idle

# Ports that are free now, instead of Ray's fixed ones: another job may be on this node.
read -r head_port dashboard_port client_port < <(python - <<'EOF'
import socket
held = [socket.create_server(("", 0)) for _ in range(3)]
print(*(each.getsockname()[1] for each in held))
EOF
)
any_port=(--min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port=0)
address=$(hostname -I | cut -d' ' -f1)
cpus=${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE} # Ray counts those of the machine
here=("--num-cpus=$cpus" "--temp-dir=$scratch" "${any_port[@]}" --block)

ray_processes=()
clean_up() {
    # By process, never `ray stop`: that ends every Ray of this user on the node, another job's too.
    [[ ${#ray_processes[@]} == 0 ]] || kill -TERM "${ray_processes[@]}" 2>/dev/null || true
    wait || true
    srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 rm -rf "$scratch" || true
    rm -rf "$shared"
}
trap clean_up EXIT

ray start --head --node-ip-address="$address" --port="$head_port" --ray-client-server-port="$client_port" \
    --dashboard-host=127.0.0.1 --dashboard-port="$dashboard_port" "${here[@]}" > /dev/null &
ray_processes+=($!)
until ray health-check --address="$address:$head_port" > /dev/null 2>&1; do
    kill -0 "${ray_processes[0]}" 2>/dev/null || { echo "slurm.sh: Ray did not start on $(hostname)" >&2; exit 1; }
    sleep 1
done

if ((SLURM_JOB_NUM_NODES > 1)); then
    srun --relative=1 --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --ntasks-per-node=1 \
        --cpus-per-task="$cpus" ray start --address="$address:$head_port" "${here[@]}" > /dev/null &
    ray_processes+=($!)
fi

RAY_ADDRESS=$address:$head_port equivdm "$@" &
job=$!
trap 'kill -TERM "$job" 2>/dev/null || true' TERM
while kill -0 "$job" 2>/dev/null; do # a signal ends the wait, not the job
    wait "$job" || true
done
code=0
wait "$job" || code=$? # bash remembers it
trap '' TERM # from here on there is nothing to save
clean_up
trap - EXIT

# Told to end, it has saved and would go on: back into the queue, unless Slurm is ending the job for another reason, be it
# that it was cancelled, or preempted and is put back anyway. Last, since Slurm then ends this script at once.
if ((code == 143)) && scontrol show job --oneliner "$SLURM_JOB_ID" | grep -q ' JobState=RUNNING '; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
