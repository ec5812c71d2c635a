"""The shell script that runs in each pod: write files, meet the other pods, run fio pattern by pattern, print it all.

Owns the script and the marks by which `storage_bench.logs` finds its way in what it prints. The pods meet in the
measured file system itself, which all of them mount, and agree on one start by the clock.
"""

from __future__ import annotations

from storage_bench.settings import RunSettings, measure_command, prepare_commands

MARK = "storage-bench:"
FOLDER = ".trainyard-storage-bench"
"""Where on the claim the run's files lie; each pod takes its own away again."""

_HEAD = """\
set -u
rm -f /work/*
root="$DATA/{folder}/$RUN"
own="$root/$JOB_COMPLETION_INDEX"
say() {{ printf '{mark} %s\\n' "$*"; }}
tidy() {{ rm -rf "$own" "$root/ready-$JOB_COMPLETION_INDEX"; }}
stop() {{ say "failed $*"; tidy; exit 1; }}
trap 'tidy; exit 143' TERM
command -v fio >/dev/null || stop "the image has no fio"
say "fio $(fio --version)"
say "node $NODE_NAME"
mkdir -p "$own" || stop "cannot write to the claim"
"""
_PREPARE = """\
say "writing files"
{command} >/work/prepare.txt 2>&1 || {{ cat /work/prepare.txt; stop "fio could not write the files"; }}
"""
_MEET = """\
: >"$root/ready-$JOB_COMPLETION_INDEX"
say "ready, waiting for {pods} pods"
waited=0
while [ "$(ls "$root" | grep -c '^ready-')" -lt {pods} ]; do
  [ $waited -lt {wait} ] || stop "only $(ls "$root" | grep -c '^ready-') of {pods} pods came in {wait} s"
  sleep 1; waited=$((waited + 1))
done
if [ "$JOB_COMPLETION_INDEX" = 0 ]; then
  echo $(($(date +%s) + {lead})) >"$root/start.new" && mv "$root/start.new" "$root/start" ||
    stop "cannot write the start"
fi
until start=$(cat "$root/start" 2>/dev/null) && [ -n "$start" ]; do
  [ $waited -lt {wait} ] || stop "no common start in {wait} s"
  sleep 1; waited=$((waited + 1))
done
"""
_MEASURE = """\
at=$((start + {offset})); now=$(date +%s)
[ "$now" -ge "$at" ] || sleep $((at - now))
say "begin {pattern}"
{command} >/work/out.json 2>/work/err.txt || {{ cat /work/out.json /work/err.txt; stop "{pattern}"; }}
cat /work/out.json
say "bandwidth {pattern}"
cat /work/{pattern}_bw.log
say "iops {pattern}"
cat /work/{pattern}_iops.log
say "end {pattern}"
"""
_TAIL = """\
tidy
# The start is kept until a minute after the last pattern: a slower pod may still have to read it.
if [ "$JOB_COMPLETION_INDEX" = 0 ]; then sleep {linger}; rm -f "$root/start"; fi
rmdir "$root" 2>/dev/null
say "done"
"""


def pod_script(settings: RunSettings) -> str:
    """The script of one run, the same in every pod.

    A pod knows its number by `JOB_COMPLETION_INDEX`, and by `RUN` a name that no earlier run had: what a killed run
    left on the claim must not be taken for this run's.
    """
    meet = _MEET.format(pods=settings.pods, wait=settings.wait_minutes * 60, lead=settings.lead_seconds)
    return "".join(
        [
            _HEAD.format(folder=FOLDER, mark=MARK),
            *(_PREPARE.format(command=command) for command in prepare_commands(settings)),
            meet,
            *(
                _MEASURE.format(
                    pattern=pattern,
                    offset=position * settings.slot_seconds,
                    command=measure_command(settings, pattern),
                )
                for position, pattern in enumerate(settings.patterns)
            ),
            _TAIL.format(linger=min(60, settings.lead_seconds)),
        ]
    )
