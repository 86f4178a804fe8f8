#!/bin/sh
# Run stages of a project on several machines that share its folder: the same command on each of them.
#
#   machine.sh RANK MACHINES ADDRESS PROCESSES
#
# RANK is 0 on the first machine, whose ADDRESS the others can reach; PROCESSES are started on each machine, one per
# GPU. In params.yaml: launch: {processes: auto, config: $THAW_MACHINE}; this script sets the variable, so that two jobs
# on a machine have a file each. Environment variables:
#
#   STAGES     what to train, in this order; all by default
#   PORT       where the machines meet at ADDRESS; 29500 by default; jobs with the same ADDRESS need different ones
#   INTERFACE  the network interface to use, if the machine's name does not resolve to its address
#
# DVC runs on the first machine only, which writes all outputs. A stage that was killed continues from its last
# checkpoint when the command is given again with STAGES from that stage on.
set -eu
rank=$1 machines=$2 address=$3 processes=$4
THAW_MACHINE=$(mktemp "${TMPDIR:-/tmp}/thaw-machine-$rank-XXXXXX")
export THAW_MACHINE
trap 'rm -f "$THAW_MACHINE"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cat > "$THAW_MACHINE" <<END
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
num_machines: $machines
machine_rank: $rank
num_processes: $((machines * processes))
main_process_ip: $address
main_process_port: ${PORT:-29500}
rdzv_backend: static
same_network: true
use_cpu: false
END
if [ -n "${INTERFACE:-}" ]; then
    export GLOO_SOCKET_IFNAME="$INTERFACE" NCCL_SOCKET_IFNAME="$INTERFACE"
fi
if [ "$rank" = 0 ]; then
    dvc repro prepare
fi
for stage in ${STAGES:-warmup_head unfreeze fold_bn evaluate}; do
    if [ "$rank" = 0 ]; then
        dvc repro --single-item --force "$stage"
    else
        thaw stage "$stage" # it waits for the first machine
    fi
done
