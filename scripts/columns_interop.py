"""Shows that undertone reads what Arrow, pandas, Polars and DuckDB write in columns, and that they read what it writes.

    pip install pyarrow pandas polars duckdb
    cargo build && python scripts/columns_interop.py target/debug/undertone [MODEL]

Inputs: one table of articles, written as Parquet by each of the four (every compression, dictionaries, string views), as Arrow
files and as streams, the latter through a pipe as well. Each must give the very records that the same table gives as JSON
lines. Outputs: labels and entities of the embedded model (or MODEL), dates and other fields, written as Parquet, Arrow file and
Arrow stream; each of the four must read them, with equal values, and take lists and structs apart.
"""

import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet

FAILED = []
UNDERTONE = sys.argv[1]
MODEL = ["--model", sys.argv[2]] if len(sys.argv) > 2 else []
# How inputs are read does not depend on who labels them.
SMALL = ["classify", "--model", Path(__file__).resolve().parent.parent / "tests/fixtures/bert/sequence"]
ARTICLES = [
    {
        "id": 9007199254740993 + row,
        "text": text,
        "day": datetime.date(2024, 1, 10 + row),
        "desk": "world" if row % 2 else None,
        "score": row / 4,
        "tags": ["a", "é"][: row % 3],
    }
    for row, text in enumerate(
        [
            "Ministers meet. We condemn the attack, Ana Duarte said in Zürich. Talks may fail.",
            "The envoy praised the accord with Oslo.",
            "",
            "Shelling may resume 🕊️, analysts warned. “It is an outrage,” said the UN.",
            "Ministers meet. We condemn the attack, Ana Duarte said in Zürich. Talks may fail.",
        ]
    )
]


def check(holds: bool, what: str) -> None:
    print("ok     " if holds else "FAILED ", what)
    if not holds:
        FAILED.append(what)


def undertone(*args: object, stdin: bytes | None = None) -> bytes:
    command = [UNDERTONE, *map(str, args)]
    done = subprocess.run(command, input=stdin, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.decode()}")
    return done.stdout


def records(*args: object, stdin: bytes | None = None) -> list[dict[str, Any]]:
    """What the small model says of the inputs."""
    return parsed(*SMALL, *args, stdin=stdin)


def parsed(*args: object, stdin: bytes | None = None) -> list[dict[str, Any]]:
    lines = undertone(*args, "--format", "jsonl", stdin=stdin).decode().split("\n")
    return [json.loads(line) for line in lines if line]


FIELDS = ["--date-field", "day", "--keep-fields"]


def without_nulls(value: Any) -> Any:
    """A value as undertone's JSON says it, whoever read it: nothing where null, plain lists and dictionaries."""
    if isinstance(value, dict):
        return {key: without_nulls(v) for key, v in value.items() if v is not None}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [without_nulls(v) for v in value]
    return value


def expected(record: dict[str, Any]) -> dict[str, Any]:
    row = dict(record)
    row["id"] = str(row["id"])
    row["fields"] = row.get("fields", {})
    return row


def as_records(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    plain = [without_nulls(row) for row in rows]
    for row in plain:
        if isinstance(row.get("fields"), str):
            row["fields"] = json.loads(row["fields"])
    return plain


def inputs(folder: Path) -> None:
    table = pyarrow.Table.from_pylist(ARTICLES)
    lines = [json.dumps({**article, "day": str(article["day"])}) for article in ARTICLES]
    (folder / "in.jsonl").write_text("\n".join(lines))
    told = records(folder / "in.jsonl", *FIELDS)
    told_bare = records(folder / "in.jsonl")
    check(len(told) > 6, "the articles have sentences")

    def same(path: Path, what: str) -> None:
        check(records(path, *FIELDS) == told, f"read: {what}")
        check(records(path) == told_bare, f"read without other fields: {what}")

    frame, lazy = table.to_pandas(), polars.from_arrow(table)
    for compression in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
        path = folder / f"pyarrow-{compression}.parquet"
        pyarrow.parquet.write_table(table, path, compression=compression, row_group_size=2)
        same(path, f"Parquet by pyarrow, {compression}")
        path = folder / f"polars-{compression}.parquet"
        lazy.write_parquet(path, compression={"none": "uncompressed"}.get(compression, compression))
        same(path, f"Parquet by Polars, {compression}")
        path = folder / f"pandas-{compression}.parquet"
        frame.to_parquet(path, compression=None if compression == "none" else compression)
        same(path, f"Parquet by pandas, {compression}")
        path = folder / f"duckdb-{compression}.parquet"
        codec = {"none": "uncompressed", "lz4": "lz4_raw"}.get(compression, compression)
        duckdb.from_arrow(table).to_parquet(str(path), compression=codec)
        same(path, f"Parquet by DuckDB, {compression}")
    for version, page in [("1.0", "1.0"), ("2.6", "2.0")]:
        path = folder / f"pyarrow-{version}.parquet"
        pyarrow.parquet.write_table(table, path, version=version, data_page_version=page)
        same(path, f"Parquet by pyarrow, version {version}, pages {page}")
    for encoding in ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"]:
        path = folder / f"pyarrow-{encoding}.parquet"
        pyarrow.parquet.write_table(table, path, use_dictionary=False, column_encoding={"text": encoding})
        same(path, f"Parquet by pyarrow, {encoding}")

    for kind in [
        pyarrow.large_string(),
        pyarrow.string_view(),
        pyarrow.dictionary(pyarrow.int8(), pyarrow.string()),
        pyarrow.dictionary(pyarrow.int32(), pyarrow.large_string()),
        pyarrow.binary(),
    ]:
        text = pyarrow.array([article["text"] for article in ARTICLES])
        text = text.dictionary_encode().cast(kind) if "dictionary" in str(kind) else text.cast(kind)
        other = table.set_column(table.schema.get_field_index("text"), "text", text)
        with pyarrow.ipc.new_file(folder / "in.arrow", other.schema) as writer:
            writer.write_table(other, max_chunksize=2)
        same(folder / "in.arrow", f"Arrow file, {kind}")
        stream = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(stream, other.schema) as writer:
            writer.write_table(other, max_chunksize=2)
        (folder / "in.arrows").write_bytes(stream.getvalue())
        same(folder / "in.arrows", f"Arrow stream, {kind}")
        piped = records("--input-format", "arrow-stream", *FIELDS, stdin=stream.getvalue().to_pybytes())
        check(piped == told, f"piped: Arrow stream, {kind}")
        if "view" not in str(kind):
            pyarrow.parquet.write_table(other, folder / "kind.parquet")
            same(folder / "kind.parquet", f"Parquet by pyarrow, {kind}")
    for compression in ["uncompressed", "lz4", "zstd"]:
        pyarrow.feather.write_feather(table, folder / "in.feather", compression=compression)
        same(folder / "in.feather", f"Feather by pyarrow, {compression}")
        lazy.write_ipc(folder / "in.ipc", compression=compression)
        same(folder / "in.ipc", f"Arrow file by Polars, {compression}")
        lazy.write_ipc_stream(folder / "in.arrows", compression=compression)
        same(folder / "in.arrows", f"Arrow stream by Polars, {compression}")
    frame.to_feather(folder / "in.feather")
    same(folder / "in.feather", "Feather by pandas")

    for name in ["pyarrow-zstd.parquet", "in.arrow", "in.arrows"]:
        piped = [{**record, "id": record["id"]} for record in records(*FIELDS, stdin=(folder / name).read_bytes())]
        check(piped == told, f"piped, and known by its first bytes: {name}")

    zone = table.append_column(
        "at", pyarrow.array([datetime.datetime(2024, 1, 10, 9, 2, row) for row in range(5)]).cast(
            pyarrow.timestamp("us", "Europe/Zurich")
        )
    )
    pyarrow.feather.write_feather(zone, folder / "zone.feather")
    pyarrow.parquet.write_table(zone, folder / "zone.parquet")
    for name in ["zone.feather", "zone.parquet"]:
        dates = [record["date"] for record in records(folder / name, "--date-field", "at")]
        check(dates[0].startswith("2024-01-10T09:02:00") and dates[0].endswith("Z"), f"times of a zone are UTC: {name}")


def outputs(folder: Path) -> None:
    source = folder / "pyarrow-zstd.parquet"
    analyze = ["analyze", *MODEL, source, *FIELDS]
    told = [expected(record) for record in parsed(*analyze)]
    names = {"parquet": "out.parquet", "arrow": "out.arrow", "arrow-stream": "out.arrows"}
    paths = {form: folder / name for form, name in names.items()}
    for form, path in paths.items():
        undertone(*analyze, "--format", form, "--output", path)
        piped = undertone(*analyze, "--format", form)
        check(piped == path.read_bytes(), f"the same bytes in a file and a pipe, and in two runs: {form}")

    def same(rows: list[dict[str, Any]], what: str) -> None:
        check(as_records(rows) == told, f"written: {what}")

    parquet, arrow, stream = (str(path) for path in paths.values())
    same(pyarrow.parquet.read_table(parquet).to_pylist(), "Parquet, read by pyarrow")
    same(polars.read_parquet(parquet).to_dicts(), "Parquet, read by Polars")
    same(pandas.read_parquet(parquet).to_dict("records"), "Parquet, read by pandas")
    found = duckdb.sql(f"FROM read_parquet('{parquet}')").fetchall()
    names = [column[0] for column in duckdb.sql(f"DESCRIBE FROM read_parquet('{parquet}')").fetchall()]
    same([dict(zip(names, row)) for row in found], "Parquet, read by DuckDB")
    same(pyarrow.feather.read_table(arrow).to_pylist(), "Arrow file, read by pyarrow")
    same(polars.read_ipc(arrow).to_dicts(), "Arrow file, read by Polars")
    same(pandas.read_feather(arrow).to_dict("records"), "Arrow file, read by pandas")
    with pyarrow.ipc.open_stream(stream) as reader:
        table = reader.read_all()
    same(table.to_pylist(), "Arrow stream, read by pyarrow")
    same(polars.read_ipc_stream(stream).to_dicts(), "Arrow stream, read by Polars")
    found = duckdb.from_arrow(table)
    same([dict(zip(found.columns, row)) for row in found.fetchall()], "Arrow stream, read by DuckDB through pyarrow")

    label = next(iter(told[0]["scores"]))
    totals = duckdb.sql(
        f"""SELECT (SELECT sum(scores.{label}) FROM '{parquet}'),
                   (SELECT count(*) FROM (SELECT unnest(stance) FROM '{parquet}')),
                   (SELECT list(e.text ORDER BY i, e.start) FROM
                       (SELECT row_number() OVER () AS i, unnest(entities) AS e FROM '{parquet}')),
                   (SELECT count(*) FROM '{parquet}' WHERE fields->>'desk' = 'world')"""
    ).fetchall()[0]
    check(abs(totals[0] - sum(record["scores"][label] for record in told)) < 1e-9, "DuckDB: a field of a struct")
    check(totals[1] == sum(len(record["stance"]) for record in told), "DuckDB: a list unnested")
    names = sorted(entity["text"] for record in told for entity in record["entities"])
    check(sorted(totals[2] or []) == names and names != [], "DuckDB: a list of structs unnested")
    worlds = sum(record["fields"].get("desk") == "world" for record in told)
    check(totals[3] == worlds, "DuckDB: JSON of the other fields")
    frame = polars.read_parquet(parquet)
    exploded = frame.select("entities").explode("entities").unnest("entities").drop_nulls()
    check(sorted(exploded["text"]) == names, "Polars: a list of structs exploded")
    check(frame["scores"].struct.field(label).to_list() == [r["scores"][label] for r in told], "Polars: a struct")

    ids = duckdb.sql(f"SELECT DISTINCT id::BIGINT FROM '{parquet}'").fetchall()
    texts = {article["id"] for article in ARTICLES if article["text"]}
    check({row[0] for row in ids} == texts, "names come back as they were, and can be joined on")


def filters(folder: Path) -> None:
    """undertone between two ends of a pipe, as an engine would use it."""
    table = pyarrow.Table.from_pylist([{"id": row, "text": f"Row {row} may hold. It stays."} for row in range(3000)])
    stream = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    out = undertone(*SMALL, "--no-split", "--input-format", "arrow-stream", "--format", "arrow-stream", stdin=stream.getvalue())
    with pyarrow.ipc.open_stream(out) as reader:
        schema, batches = reader.schema, list(reader)
    found = pyarrow.Table.from_batches(batches, schema)
    check(found["id"].to_pylist() == [str(row) for row in range(3000)], "a row for each row, in order")
    check(found["text"].to_pylist() == table["text"].to_pylist(), "a text is one sentence")
    check(len(batches) > 1, "in several batches")

    command = [UNDERTONE, *map(str, SMALL), "--format", "arrow-stream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        with pyarrow.ipc.new_stream(process.stdin, table.schema) as writer:
            writer.write_table(table.slice(0, 1))
        process.stdin.close()
        with pyarrow.ipc.open_stream(process.stdout) as reader:
            check(reader.read_all().num_rows == 2, "a stream in and out of a process")
    check(process.returncode == 0, "and it ends well")
    empty = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(empty, table.schema):
        pass
    out = undertone(*SMALL, "--format", "arrow-stream", stdin=empty.getvalue())
    check(pyarrow.ipc.open_stream(out).read_all().num_rows == 0, "no row in, no row out")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        inputs(Path(folder))
        outputs(Path(folder))
        filters(Path(folder))
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in [pyarrow, pandas, polars, duckdb])
    print(f"{len(FAILED)} failed; {versions}")
    sys.exit(1 if FAILED else 0)


if __name__ == "__main__":
    main()
