
# What follows is the same in every job; docs/slurm.md says what the files mean.
cd "$folder-${SLURM_ARRAY_TASK_ID:-$index}" || exit 73

say() { echo "$(date -u +%FT%TZ) job $SLURM_JOB_ID on $(hostname): $*"; }

if [ -e revoked ]; then
    say "given up before it began"
    exit 76
fi
# These orders are executed by one job, and a second time only when that has stopped by itself: what
# a lost node has left behind may still be writing. Creating and renaming are atomic.
if ! (set -o noclobber && echo "$SLURM_JOB_ID $(hostname)" >started) 2>/dev/null; then
    read -r owner _ <started
    if [ "$owner" != "$SLURM_JOB_ID" ] || ! mv paused resumed 2>/dev/null; then
        say "an earlier execution of job $owner may still be writing: not begun again"
        exit 75
    fi
fi

child='' signal=''
pass_on() {
    signal=$1
    [ -z "$child" ] || kill -s "$1" "$child" 2>/dev/null
}
trap 'pass_on USR1' USR1
trap 'pass_on TERM' TERM

say "begins, restart ${SLURM_RESTART_COUNT:-0}"
export OMP_NUM_THREADS=$threads
# Of what it says only the first line is not in its attempts' own files: what it is.
"$trainer" --device "$device" --threads "$threads" --orders orders.jsonl \
    > >(trap '' TERM USR1; head -n 1 >ready.json; exec cat >/dev/null) &
child=$!
[ -z "$signal" ] || kill -s "$signal" "$child"

# Ends the trainer when the coordinator has given it up.
obey() {
    until [ -e revoked ]; do
        kill -0 "$child" || return
        sleep 5
    done
    kill -s TERM "$child"
    sleep 20
    kill -s KILL "$child"
}
obey 2>/dev/null &
watcher=$!

# A signal interrupts the wait, not the trainer.
while signal=''; wait "$child"; result=$?; [ "$result" = 127 ] || code=$result; [ -n "$signal" ]; do :; done
kill "$watcher" 2>/dev/null
say "the trainer ended with code $code"

if [ "$code" = "$paused_code" ]; then
    : >paused
    id=$SLURM_JOB_ID
    # The id of an array's last task is that of the whole array.
    [ -z "${SLURM_ARRAY_TASK_ID:-}" ] || id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    # Slurm ends this script as soon as it has put the job back into the queue.
    if scontrol requeue "$id" || [ "$signal" = TERM ]; then
        sleep 60
        exit 0
    fi
    rm paused
fi
echo "$code" >.ended && mv .ended ended
exit "$code"
