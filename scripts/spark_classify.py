"""Labels every sentence of a table inside Apache Spark: `undertone` is the filter of every task.

    spark-submit [Spark's options] scripts/spark_classify.py --binary target/release/undertone \
        articles.parquet labelled.parquet [-- undertone's options]

Reads INPUT (Parquet, or what --input-format names), takes a column of names and one of texts, and writes OUTPUT, which must not
exist yet: a row a sentence, with the columns of `undertone COMMAND --format arrow-stream`. The rows come in no order; `id` and
`sentence` put them in order.

The driver ships the program (--binary) and the model (--model) to the executors. Each task starts one process, which lives as
long as the task and works with as many threads as the task has cores (spark.task.cpus). A process that fails fails its task,
with the end of what it said, and Spark tries a task spark.task.maxFailures times. After `-- --on-error skip`, records that
cannot be read are left out, and the exit code is 1 once all else is written, as it is of `undertone`.

Needs Spark 3.5 or 4, with pyarrow and pandas for its Python. docs/scaling.md tells more.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
from pyspark import SparkFiles, TaskContext
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

INPUT = pa.schema([("id", pa.string()), ("text", pa.string())])
FILTER = ["--input-format", "arrow-stream", "--format", "arrow-stream", "--id-field", "id", "--text-field", "text"]
MODEL = "undertone-model"
# Bytes of what a process said last that are shown when it fails.
SAID = 4000


class Output:
    """What a process prints, and whether that was cut short: pyarrow reads nothing after the mark at the end of an Arrow
    stream, but takes the end of the file for the end of a stream too."""

    closed = False

    def __init__(self, pipe):
        self.pipe, self.cut = pipe, False

    def read(self, size: int) -> bytes:
        data = self.pipe.read(size)
        self.cut = self.cut or len(data) < size
        return data

    def close(self):
        self.closed = True


class Feeder(threading.Thread):
    """Writes batches to a process, at the pace at which it reads them."""

    def __init__(self, batches: Iterator[pa.RecordBatch], pipe):
        super().__init__(daemon=True)
        self.batches, self.pipe = batches, pipe
        self.done, self.error = False, None

    def run(self):
        try:
            with self.pipe, pa.ipc.new_stream(self.pipe, INPUT) as stream:
                for batch in self.batches:
                    stream.write_batch(batch.cast(INPUT))
            self.done = True
        except BrokenPipeError:
            pass  # The process has ended before its input; its exit code tells why.
        except Exception as error:
            self.error = error


def through(command: list[str], batches: Iterator[pa.RecordBatch], skipped: Callable[[str], None] | None = None):
    """Yields the batches that one process makes of `batches`.

    Where records may be skipped, `skipped` is told what the process said when its exit code tells that it did so.
    """
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        try:
            feeder = Feeder(batches, process.stdin)
            feeder.start()
            output, complaint = Output(process.stdout), None
            try:
                yield from pa.ipc.open_stream(pa.PythonFile(output, mode="r"))
            except (pa.ArrowInvalid, OSError) as error:
                complaint = error
            process.stdout.close()  # Whatever it still has to say, it does not wait for us to read it.
            code = process.wait()
            stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - SAID))
            said = stderr.read().decode(errors="replace").strip()
            complaint = complaint or ("its output is cut short" if output.cut else None)
            if complaint or code not in (0, 1) or (code == 1 and not skipped):
                raise RuntimeError(f"`{' '.join(command)}` failed: exit code {code}, {complaint or 'output whole'}\n{said}")
            feeder.join()
            if feeder.error:
                raise feeder.error
            if not feeder.done:
                raise RuntimeError(f"`{' '.join(command)}` ended before its input\n{said}")
            if code == 1:
                skipped(said)
        finally:
            process.kill()
            process.wait()


def program(name: str) -> str:
    """The program on an executor: what the driver has shipped, else what is on the path."""
    shipped = SparkFiles.get(name)
    if not os.path.exists(shipped):
        return name
    if not os.access(shipped, os.X_OK):
        os.chmod(shipped, 0o755)
    return shipped


def schema_of(command: list[str]) -> StructType:
    """The columns that a command gives, as it tells itself when there is nothing to read."""
    nothing = pa.BufferOutputStream()
    pa.ipc.new_stream(nothing, INPUT).close()
    told = subprocess.run(command, input=nothing.getvalue(), stdout=subprocess.PIPE)
    if told.returncode != 0:
        raise Misuse(f"`{' '.join(command)}` failed: exit code {told.returncode}")
    return from_arrow_schema(pa.ipc.open_stream(told.stdout).schema)


def pack(folder: Path, archive: Path):
    """A folder as a tar file. Links are followed: the cache of fetched models is made of them."""
    with tarfile.open(archive, "w", dereference=True) as tar:
        for file in folder.iterdir():  # Not the folder as `.`: Hadoop takes that for a way out of where it unpacks.
            tar.add(file, arcname=file.name)


class Misuse(Exception):
    """What the user can put right before anything runs."""


def texts(spark: SparkSession, args: argparse.Namespace) -> DataFrame:
    """The table's names and texts, as `id` and `text`."""
    table = spark.read.format(args.input_format).options(**dict(args.read_option)).load(args.input)
    for column in (args.id_column, args.text_column):
        if column not in table.columns:
            raise Misuse(f"{args.input} has no column `{column}`; it has {', '.join(table.columns)}")
    name, text = F.col(f"`{args.id_column}`"), F.col(f"`{args.text_column}`")
    unnamed = F.raise_error(F.lit(f"a row of {args.input} has no `{args.id_column}`: nobody could find its sentences again"))
    named = F.coalesce(name.cast("string"), unnamed.cast("string"))
    rows = table.select(named.alias("id"), text.cast("string").alias("text"))
    return rows.repartition(args.partitions) if args.partitions else rows


def run(spark: SparkSession, args: argparse.Namespace, options: list[str], scratch: Path) -> int:
    """Labels the table; returns the exit code."""
    context = spark.sparkContext
    name, here = args.binary, shutil.which(args.binary)
    if os.sep in args.binary or Path(args.binary).is_file():
        here = os.path.abspath(args.binary)
        if not os.path.isfile(here):
            raise Misuse(f"there is no {here}")
        name = os.path.basename(here)
        context.addFile(here)
    if here is None:
        raise Misuse(f"`{name}` is not on the path; --binary takes its place")
    if args.model:
        if not args.model.is_dir():
            raise Misuse(f"{args.model} is no folder; a model of the hub is named after `--`: -- --model owner/name")
        archive = scratch / f"{MODEL}.tar"
        pack(args.model, archive)
        context.addArchive(f"{archive}#{MODEL}")

    def command(program: str, model: str, threads: int) -> list[str]:
        chosen = ["--model", model] if args.model else []
        return [program, args.command, *FILTER, "--threads", str(threads), *chosen, *options]

    schema = schema_of(command(here, str(args.model), 1))
    skips = context.accumulator(0)

    def skipped(said: str):
        skips.add(1)
        print(said, file=sys.stderr)

    def task(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return through(command(program(name), SparkFiles.get(MODEL), TaskContext.get().cpus()), batches, skipped)

    read, written = Observation(), Observation()
    rows = texts(spark, args).observe(read, F.count(F.lit(1)).alias("rows"))
    sentences = rows.mapInArrow(task, schema).observe(written, F.count(F.lit(1)).alias("rows"))
    began = time.monotonic()
    sentences.write.format(args.output_format).save(args.output)
    took = time.monotonic() - began
    print(f"{read.get['rows']} texts, {written.get['rows']} sentences in {took:.1f} s: {args.output}", file=sys.stderr)
    if skips.value:
        print(f"warning: {skips.value} tasks left out records; the executors' stderr tells which", file=sys.stderr)
    return 1 if skips.value else 0


def pair(typed: str) -> tuple[str, str]:
    key, equals, value = typed.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"`{typed}` is not KEY=VALUE")
    return key, value


def main() -> int:
    typed = sys.argv[1:]
    end = typed.index("--") if "--" in typed else len(typed)
    head, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(description=head, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("input", metavar="INPUT", help="table to read")
    add("output", metavar="OUTPUT", help="folder to write")
    shipped = "the program: a file, which is shipped, or a name on every executor's path [%(default)s]"
    add("--binary", default="undertone", help=shipped)
    add("--model", type=Path, help="folder of a model, which is shipped [the one inside the program]")
    add("--command", choices=["classify", "ner", "analyze"], default="classify", help="[%(default)s]")
    add("--id-column", default="id", metavar="NAME", help="names of the texts, each its own [%(default)s]")
    add("--text-column", default="text", metavar="NAME", help="[%(default)s]")
    add("--input-format", default="parquet", metavar="FORMAT", help="as Spark names it: json, csv, orc, … [%(default)s]")
    add("--output-format", default="parquet", metavar="FORMAT", help="[%(default)s]")
    option = "option of Spark's reader, as header=true for csv; may be repeated"
    add("--read-option", action="append", default=[], type=pair, metavar="KEY=VALUE", help=option)
    add("--partitions", type=int, metavar="N", help="deal the texts out to N tasks [as Spark reads them]")
    args = parser.parse_args(typed[:end])
    spark = SparkSession.builder.appName("undertone").getOrCreate()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return run(spark, args, typed[end + 1 :], Path(scratch))
    except Misuse as misuse:
        print(f"error: {misuse}", file=sys.stderr)
        return 2
    finally:
        spark.stop()


if __name__ == "__main__":
    sys.exit(main())
