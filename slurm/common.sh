# shellcheck shell=bash
# Read by the batch scripts: where `wmt` is, in the checkout or in a container, and how srun runs it.
#
#   WMT_IMAGE=x.sif         run in this image with apptainer (docker:// and oras:// work as well)
#   WMT_IMAGE=org/wmt:1.0   any other name goes to srun --container-image (pyxis)
#   WMT_MOUNTS=/data,/a:/b  further folders of the host that the container sees, with commas

say() { printf '[%(%F %T)T] %s\n' -1 "$*"; }

# What the user must put right. Status 2, as wmt's own: never requeued.
refuse() {
  say "error: $*"
  exit 2
}

# Sets wmt and container, so that `srun "${container[@]}" "${wmt[@]}" ...` runs wmt. A container sees
# the working folder and WMT_MOUNTS.
# shellcheck disable=SC2034 # both are for the scripts that read this
find_wmt() {
  local mounts="" folder
  for folder in "$PWD" ${WMT_MOUNTS:+${WMT_MOUNTS//,/ }}; do
    [[ $folder == *:* ]] || folder=$folder:$folder
    mounts+=${mounts:+,}$folder
  done
  wmt=(wmt) container=()
  case ${WMT_IMAGE:-} in
    *.sif | docker://* | oras://*) # --nv: the host's GPU driver
      wmt=(apptainer exec --nv --pwd "$PWD" --bind "$mounts" "$WMT_IMAGE" wmt) ;;
    ?*)
      container=("--container-image=$WMT_IMAGE" "--container-mounts=$mounts" "--container-workdir=$PWD") ;;
    *)
      if [[ -x $WMT_HOME/.venv/bin/wmt ]]; then
        wmt=("$WMT_HOME/.venv/bin/wmt")
      elif ! command -v wmt >/dev/null; then
        refuse "no $WMT_HOME/.venv/bin/wmt and no wmt on PATH; run 'make setup' there, or set WMT_IMAGE"
      fi ;;
  esac
}

# CPU threads. Each loading process uses one thread anyway; these are for the process that trains.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}} # torch: all cores, in every task
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} # threads that spin take cores from the loaders
# srun has not taken this over from sbatch since SLURM 22.05; without it a task has one core
export SRUN_CPUS_PER_TASK=${SRUN_CPUS_PER_TASK:-${SLURM_CPUS_PER_TASK:-1}}
export COLUMNS=${COLUMNS:-160} # paths in logs stay in one line
