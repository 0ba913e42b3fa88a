from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from flyball.inference.simulator.traces import TraceError, read_trace
from hypothesis import given
from hypothesis import strategies as st

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224670,879,55
"""
BURST = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45.5,ChatGPT,1087,230,1317,Conversation log

45.5,GPT-4,417,0,417,API log
"""
MOONCAKE = """{"timestamp": 1000, "input_length": 6955, "output_length": 52, "hash_ids": [1, 2]}
{"timestamp": 4000, "input_length": 6472, "output_length": 26, "hash_ids": []}
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_azure(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path / "conv.csv", AZURE))
    assert trace.name == "conv"
    assert len(trace) == 3
    np.testing.assert_allclose(trace.arrivals, [0, 4.314579, 4.541877], atol=1e-5)
    assert trace.context.tolist() == [374, 396, 879]
    assert trace.generated.tolist() == [44, 109, 55]


def test_azure_with_zones_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeff" + AZURE.replace("0,3", "0+00:00,3").replace("0,8", "0+00:00,8")
    trace = read_trace(written(tmp_path / "2024.csv", text))
    np.testing.assert_allclose(trace.arrivals, [0, 4.314579, 4.541877], atol=1e-5)


def test_burst_gpt(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path / "t.csv", BURST))
    assert trace.arrivals.tolist() == [0, 40.5, 40.5]
    assert trace.context.tolist() == [472, 1087, 417]
    assert trace.generated.tolist() == [18, 230, 0]


def test_mooncake(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path / "t.jsonl", MOONCAKE))
    assert trace.arrivals.tolist() == [0, 3.0]
    assert trace.context.tolist() == [6955, 6472]
    assert trace.generated.tolist() == [52, 26]


def test_options(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", BURST)
    trace = read_trace(path, rate=2.0, requests=2, max_context=1000, max_generated=20)
    assert trace.arrivals.tolist() == [0, 20.25]
    assert trace.context.tolist() == [472, 1000]
    assert trace.generated.tolist() == [18, 20]


rows = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1
)


@given(rows)
def test_all_formats_say_the_same(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    folder = tmp_path_factory.mktemp("traces")
    rows.sort(key=lambda row: row[0])
    burst = ["Timestamp,Request tokens,Response tokens"]
    burst += [f"{ms / 1e3},{context},{generated}" for ms, context, generated in rows]
    names = ("timestamp", "input_length", "output_length")
    mooncake = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    one = read_trace(written(folder / "a", "\n".join(burst)))
    two = read_trace(written(folder / "b", "\n".join(mooncake)))
    np.testing.assert_allclose(one.arrivals, two.arrivals, atol=1e-9)
    assert one.context.tolist() == two.context.tolist() == [row[1] for row in rows]
    assert one.generated.tolist() == two.generated.tolist() == [row[2] for row in rows]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no requests"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "holds no requests"),
        (AZURE.replace("GeneratedTokens", "Generated"), "line 1: .*missing: GeneratedTokens"),
        (BURST.replace("Timestamp,", "When,"), "line 1: .*BurstGPT.*missing: Timestamp"),
        ("a,b\n1,2\n", r"line 1: not a trace: its columns are a, b\. Known are .*Mooncake"),
        (AZURE.replace("50.995", "40.995"), "line 3: arrives 5.6.* s before .* line 2"),
        (AZURE.replace(",109", ",-109"), "line 3: GeneratedTokens is negative: -109"),
        (AZURE.replace(",109", ",many"), "line 3: GeneratedTokens is not a number: 'many'"),
        (AZURE.replace(",109", ",1.5"), "line 3: GeneratedTokens must be a whole number"),
        (AZURE.replace(",109", ",nan"), "line 3: GeneratedTokens is not a number"),
        (AZURE.replace(",109", ",1e12"), "line 3: GeneratedTokens must be a whole number up to"),
        (AZURE.replace(",109", ""), "line 3: 2 columns, not 3"),
        (AZURE.replace("2023-11-16 18:15:50", "noon"), "line 3: TIMESTAMP is no time: 'noon"),
        (BURST.replace("417,0", "417,"), "line 5: Response tokens is not a number: ''"),
        (BURST.replace("45.5,GPT", "inf,GPT"), "line 5: Timestamp is no time: 'inf'"),
        (MOONCAKE.replace("26,", ","), "line 2: not JSON"),
        (MOONCAKE.replace("4000", "400"), "line 2: arrives 0.6 s before"),
        (MOONCAKE.replace("4000", '"x"'), "line 2: timestamp is no time: 'x'"),
        (MOONCAKE.replace("26", "true"), "line 2: output_length is not a number: True"),
        (MOONCAKE.replace('"output_length": 26, ', ""), "line 2: output_length missing"),
        (MOONCAKE + "[1]\n", "line 3: timestamp and input_length and output_length missing"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(TraceError, match=reason):
        read_trace(written(tmp_path / "trace", text))


@given(st.integers(1, 30), st.data())
def test_a_step_back_in_time_is_found_where_it_is(
    tmp_path_factory: pytest.TempPathFactory, n: int, data: st.DataObject
) -> None:
    times = sorted(data.draw(st.lists(st.integers(0, 1000), min_size=n + 1, max_size=n + 1)))
    at = data.draw(st.integers(1, n))
    times[at] = times[at - 1] - data.draw(st.integers(1, 1000))
    lines = [f'{{"timestamp": {t}, "input_length": 1, "output_length": 1}}' for t in times]
    path = written(tmp_path_factory.mktemp("traces") / "t", "\n".join(lines))
    with pytest.raises(TraceError, match=f"line {at + 1}: arrives"):
        read_trace(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xff\xfe\x00trace")
    with pytest.raises(TraceError, match="not a text file"):
        read_trace(path)


@pytest.mark.parametrize(
    "options",
    [{"rate": 0.0}, {"rate": float("nan")}, {"requests": 0}, {"max_context": 0}],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        read_trace(written(tmp_path / "t.csv", AZURE), **options)
