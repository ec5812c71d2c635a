"""Trace files, good and bad."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from capacity.simulation.jobs import Demand, Job
from capacity.traces import TraceErrors, read_trace

HEADER = "arrivalSeconds,durationSeconds,cpuCores,memoryGib"
ALIBABA = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time"
)


def file(folder: Path, *lines: str) -> Path:
    path = folder / "trace.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def errors(path: Path) -> list[str]:
    with pytest.raises(TraceErrors) as caught:
        read_trace(path)
    return caught.value.errors


def test_our_own_format_in_full(tmp_path: Path):
    path = file(
        tmp_path,
        f"name,class,gpuModel,gpus,gangSize,priority,{HEADER}",
        "train,heavy-gpu,A100,2,8,-5,10.5,3600,12,64",
        ",,,,,,11,60,0.5,1.5",
    )
    demand = Demand(12_000, 64 * 2**20, gpus=2, pool_class="heavy-gpu", gpu_model="A100", priority=-5)
    assert read_trace(path).jobs == [
        Job("train", 10.5, 3600, demand, 8),
        Job("line 3", 11, 60, Demand(500, 3 * 2**19)),
    ]


def test_missing_and_misspelt_columns_are_named(tmp_path: Path):
    path = file(tmp_path, "arrivalSeconds,cpuCores,memoryGib,gangsize", "1,1,1,1")
    assert errors(path) == [
        "line 1: column durationSeconds is missing",
        "line 1: column gangsize is not known: did you mean gangSize?",
    ]


def test_every_error_of_a_file_comes_at_once_with_its_line(tmp_path: Path):
    path = file(
        tmp_path,
        f"{HEADER},class,gpuModel,gpus,gangSize",
        "-1,10,1,1,,,,",
        "1,abc,1,1,,,,",
        "1,10,nan,1,,,,",
        "1,10,1,,,,,",
        "1,10,1,1,hevy-gpu,,1,",
        "1,10,1,1,,H900,1,",
        "1,10,1,1,,T4,,",
        "1,10,1,1,,,1.5,0",
        "1,10,1,1,cpu,,1,",
        "1,10",
        "1,inf,1,1,,,,",
    )
    told = errors(path)
    for line, piece in [
        (2, "arrivalSeconds is -1"),
        (3, "durationSeconds is 'abc', no number"),
        (4, "cpuCores is 'nan'"),
        (5, "memoryGib is empty"),
        (
            6,
            "class 'hevy-gpu' is not known; allowed: cpu, light-gpu, heavy-gpu, or nothing for any. Did you",
        ),
        (7, "gpuModel 'H900' is not in the catalogue; known: A10,"),
        (8, "gpuModel T4 without gpus"),
        (9, "gpus is '1.5'; allowed: a whole number"),
        (9, "gangSize is 0; allowed: a whole number of 1 or more"),
        (10, "1 gpus of class cpu"),
        (11, "has 2 cells, the header has 8"),
        (12, "durationSeconds is inf"),
    ]:
        assert any(one.startswith(f"line {line}: ") and piece in one for one in told), (line, piece, told)
    assert len(told) == 12


def test_the_same_mistake_on_many_lines_is_said_for_each_and_cut_at_fifty(tmp_path: Path):
    path = file(tmp_path, f"{HEADER},class", *["1,10,1,1,nope"] * 70)
    with pytest.raises(TraceErrors) as caught:
        read_trace(path)
    assert len(caught.value.errors) == 70
    assert str(caught.value).endswith("and 20 more")


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "is empty"), (f"{HEADER}\n", "has no jobs"), (f"{HEADER},name,name\n", "named twice: name")],
)
def test_files_without_anything_to_simulate(tmp_path: Path, text: str, told: str):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    assert told in "\n".join(errors(path))


def test_files_that_cannot_be_read(tmp_path: Path):
    assert "traces that come with us: alibaba-2023" in errors(tmp_path / "none.csv")[0]
    broken = tmp_path / "trace.csv.gz"
    broken.write_bytes(gzip.compress(b"x" * 9999)[:20])
    assert "cannot be read" in errors(broken)[0]
    latin = tmp_path / "latin.csv"
    latin.write_bytes(HEADER.encode() + b",name\n1,1,1,1,M\xfcller\n")
    assert "is not text in UTF-8" in errors(latin)[0]


def test_jobs_are_sorted_and_it_is_said(tmp_path: Path):
    trace = read_trace(file(tmp_path, HEADER, "20,1,1,1", "10,1,1,1"))
    assert [job.arrival for job in trace.jobs] == [10, 20]
    assert trace.notes == ["the jobs were not in the order of their arrival: sorted"]


def test_the_real_trace_comes_with_the_project():
    trace = read_trace("alibaba-2023")
    assert len(trace.jobs) == 8152
    assert trace.jobs[1] == Job("openb-pod-0001", 427061, 12902960 - 427061, Demand(6000, 12288 * 1024, gpus=1))
    assert sum(bool(job.demand.gpus) for job in trace.jobs) == 7064
    assert any(note.startswith("897 jobs never ran") for note in trace.notes)


def test_gpu_specs_of_the_public_format_are_models_of_the_catalogue(tmp_path: Path):
    path = file(
        tmp_path,
        ALIBABA,
        "a,1000,1024,1,1000,V100M16|V100M32,LS,Running,0,10,5",
        "b,1000,1024,1,500,G2,LS,Running,0,10,5",
        "c,1000,1024,1,1000,nan,LS,Pending,1,10,",
    )
    found = read_trace(path).jobs
    assert [(job.demand.gpu_model, job.duration) for job in found] == [
        ("V100-16GB-PCIe|V100-32GB-SXM", 5),
        ("", 5),
        ("", 9),
    ]


def test_mistakes_in_the_public_format(tmp_path: Path):
    path = file(
        tmp_path,
        ALIBABA,
        "a,1000,1024,1,1000,B200,LS,Running,0,10,5",
        "b,1000,1024,1,1000,,LS,Running,10,5,10",
        "c,1.5,1024,1,1000,,LS,Running,-1,5,0",
    )
    told = "\n".join(errors(path))
    for piece in ("line 2: gpu_spec 'B200' is not known", "line 3: created at 10, scheduled at 10, deleted at 5"):
        assert piece in told
    assert "line 4: cpu_milli is '1.5'" in told
    assert "line 4: creation_time is -1" in told
    assert errors(file(tmp_path, ALIBABA.replace(",qos", ""), "a"))[0] == "line 1: column qos is missing"


@pytest.mark.parametrize(
    ("asked", "model", "will_do"),
    [
        ("", "T4", True),
        ("A100", "A100-80GB-PCIe", True),
        ("a100-80gb-pcie", "A100-80GB-PCIe", True),
        ("A10", "A100-80GB-PCIe", False),
        ("A100-80GB-PCIe", "A100-40GB-SXM", False),
        ("T4|A10", "A10", True),
        ("T4", "", False),
    ],
)
def test_a_model_is_named_whole_or_by_its_beginning(asked: str, model: str, will_do: bool):
    assert Demand(1, 1, gpus=1, gpu_model=asked).wants_model(model) is will_do
