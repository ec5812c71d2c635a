"""What one benchmark run is: where, how many pods, which patterns, how long; and the fio commands that follow.

Owns the patterns' meaning as fio options, in line with `capacity.storage_workload`: the same four patterns, requests
of the same size.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import asdict, dataclass

from capacity.storage_data import PATTERNS, Pattern
from capacity.storage_workload import KIB_OF_RANDOM_READ

ORDER: tuple[Pattern, ...] = ("sequential", "random", "small-files", "checkpoint")
"""The order in which patterns run: what writes comes last, so that it disturbs no reading."""

_DIGEST = re.compile(r"^\S+@sha256:[0-9a-f]{64}$")
_IO_DEPTH = 16


@dataclass(frozen=True, slots=True)
class RunSettings:
    """One run.

    Attributes:
        claim, namespace: the read-write-many claim that is measured.
        backend: its key in `capacity.storage`: what the result is compared with.
        pods: how many at once, each on a node of its own.
        pool: key of the node pool that they run on, `trainyard/pool`.
        image: with fio and a shell, pinned by digest.
        patterns: which of the four.
        seconds: of each pattern.
        streams: fio jobs of each pod, each on files of its own.
        stream_mib: MiB of each stream's file.
        small_files, small_kib: how many small files each stream has, and KiB of each.
        direct: past the page cache; without it the nodes' memory is measured too.
        wait_minutes: how long pods wait for each other: machines may have to start.
        lead_seconds: from the last pod's arrival to the common start; above the 30 s for which NFS mounts may keep an
            old directory listing (`actimeo=30`).

    Raises:
        ValueError: a figure or the image is not usable.
    """

    claim: str
    namespace: str
    backend: str
    pods: int
    pool: str
    image: str
    patterns: tuple[Pattern, ...] = ORDER
    seconds: int = 60
    streams: int = 4
    stream_mib: int = 4096
    small_files: int = 2000
    small_kib: int = 128
    direct: bool = True
    wait_minutes: int = 30
    lead_seconds: int = 45

    def __post_init__(self) -> None:
        if not _DIGEST.match(self.image):
            raise ValueError(
                f"image {self.image!r} is not pinned: name it with its digest, registry/name@sha256:…; "
                "storage_bench/image/Dockerfile makes one, docs/storage-bench.md says how"
            )
        figures = {name: getattr(self, name) for name in ("pods", "streams", "stream_mib", "small_files", "small_kib")}
        small = [f"{name} {value}" for name, value in figures.items() if value < 1]
        if small:
            raise ValueError(f"{', '.join(small)}: at least 1")
        if self.seconds < 10:
            raise ValueError(f"{self.seconds} seconds: at least 10, or pods have next to no time together")
        if not self.patterns or set(self.patterns) - set(PATTERNS):
            raise ValueError(f"patterns {', '.join(self.patterns) or 'none'}: some of {', '.join(PATTERNS)}")

    @property
    def name(self) -> str:
        """The Job's name: the same settings give the same one, so that a second call finds the first's Job."""
        settings = json.dumps(asdict(self), sort_keys=True).encode()
        return f"storage-bench-{self.claim[:30].rstrip('-.')}-{hashlib.sha256(settings).hexdigest()[:8]}".replace(
            ".", "-"
        )

    @property
    def slot_seconds(self) -> int:
        """From one pattern's start to the next one's: its time, and room to open files and to end."""
        return self.seconds + 20

    @property
    def deadline_seconds(self) -> int:
        """When the Job is given up: waiting, writing the files at 10 MiB/s, and all patterns."""
        written = self.streams * (self.stream_mib + self.small_files * self.small_kib / 1024) / 10
        return int(self.wait_minutes * 60 + written + self.lead_seconds + len(self.patterns) * self.slot_seconds + 300)


def prepare_commands(settings: RunSettings) -> list[str]:
    """fio commands that write the files to be read. Really write: a hole in a sparse file is read without a disk."""
    common = [
        "fio",
        "--rw=write",
        "--fallocate=none",
        f"--numjobs={settings.streams}",
        "--group_reporting",
        "--end_fsync=1",
    ]
    streams = [*common, "--name=streams", "--bs=1M", f"--size={settings.stream_mib}M", _stream_files()]
    small = [*common, "--name=small", f"--bs={settings.small_kib}k", *_small_files(settings)]
    wanted = ((streams, {"sequential", "random"}), (small, {"small-files"}))
    return [_line(command, settings) for command, patterns in wanted if patterns & set(settings.patterns)]


def measure_command(settings: RunSettings, pattern: Pattern) -> str:
    """The fio command of one pattern. Its logs have a line a second and job, stamped with the node's clock."""
    command = [
        "fio",
        f"--name={pattern}",
        f"--numjobs={settings.streams}",
        f"--runtime={settings.seconds}",
        f"--direct={int(settings.direct)}",
        "--invalidate=1",
        "--randrepeat=0",
        "--group_reporting",
        "--output-format=json+",
        f"--write_bw_log=/work/{pattern}",
        f"--write_iops_log=/work/{pattern}",
        "--log_avg_msec=1000",
        "--per_job_logs=0",
        "--log_unix_epoch=1",
        *_options(settings, pattern),
    ]
    return _line(command, settings)


def _options(settings: RunSettings, pattern: Pattern) -> list[str]:
    if pattern == "small-files":
        return ["--rw=read", f"--bs={settings.small_kib}k", "--ioengine=psync", "--time_based", *_small_files(settings)]
    size = f"--size={settings.stream_mib}M"
    if pattern == "checkpoint":
        # Not time_based, which would overwrite: each checkpoint is a new file, and so on until the time is over.
        new = ["--filename_format=checkpoint.$jobnum", "--loops=1000000", "--unlink_each_loop=1", "--create_on_open=1"]
        return ["--rw=write", "--bs=1M", "--ioengine=psync", "--fallocate=none", "--end_fsync=1", size, *new]
    read = [size, _stream_files(), "--time_based"]
    if pattern == "random":
        return ["--rw=randread", f"--bs={KIB_OF_RANDOM_READ}k", "--ioengine=libaio", f"--iodepth={_IO_DEPTH}", *read]
    return ["--rw=read", "--bs=1M", "--ioengine=psync", *read]


def _stream_files() -> str:
    return "--filename_format=stream.$jobnum"


def _small_files(settings: RunSettings) -> list[str]:
    """Many files, one open at a time, each read or written whole before the next."""
    return [
        f"--filesize={settings.small_kib}k",
        f"--nrfiles={settings.small_files}",
        "--openfiles=1",
        "--file_service_type=sequential",
        "--filename_format=small.$jobnum.$filenum",
    ]


def _line(command: list[str], settings: RunSettings) -> str:
    """The command for the pod's shell, in the pod's own folder."""
    if settings.direct and "--direct=1" not in command:
        command = [*command, "--direct=1"]
    return f'{shlex.join(command)} --directory="$own"'
