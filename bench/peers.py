"""What the comparisons share: llama.cpp's programs, the types, running and timing whole processes, markdown tables.

llama.cpp's programs are taken from PATH, or from a root folder that holds them (a chroot; needs to be root), named by
PEERS_ROOT or found at ~/.cache/tessera-peers. Files that both sides read must lie below /tmp then.
"""
import dataclasses
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

# The file type under which `llama-quantize --pure` writes each tensor type; the default is the type's own name.
# None: it has no name for the type, which is asked for per tensor instead.
FILE_TYPE_OF = {
    "Q3_K": "Q3_K_S", "Q4_K": "Q4_K_S", "Q5_K": "Q5_K_S", "IQ2_S": "IQ2_M", "MXFP4": "MXFP4_MOE", "NVFP4": None,
}

CODEBOOK_TYPES = ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"]
SCALAR_TYPES = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]
SIMPLE_TYPES = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "TQ1_0", "TQ2_0", "Q1_0", "Q2_0", "MXFP4", "NVFP4"]
ALL_TYPES = CODEBOOK_TYPES + SCALAR_TYPES + SIMPLE_TYPES
NEEDS_IMATRIX = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"}


class Peers:
    """llama.cpp's programs, wherever they are."""

    def __init__(self):
        root = os.environ.get("PEERS_ROOT", os.path.expanduser("~/.cache/tessera-peers"))
        self.prefix = None
        if shutil.which("llama-quantize"):
            self.prefix = []
        elif os.access(os.path.join(root, "usr/bin/llama-quantize"), os.X_OK):
            for folder in ("proc", "sys", "dev", "tmp"):
                target = os.path.join(root, folder)
                if not os.path.ismount(target):
                    subprocess.run(["mount", "--bind", "/" + folder, target], check=True)
            self.prefix = ["chroot", root]

    def __bool__(self):
        return self.prefix is not None

    def command(self, program, *arguments):
        return [*self.prefix, program, *map(str, arguments)]

    def quantize_command(self, type_name, source, target, threads, imatrix=None, extra=()):
        """`llama-quantize --pure` into one tensor type, embeddings and output included."""
        file_type = FILE_TYPE_OF.get(type_name, type_name)
        options = ["--pure", *extra]
        if file_type is None:
            file_type = "Q8_0"
            options += ["--tensor-type", ".*=" + type_name, "--token-embedding-type", type_name,
                        "--output-tensor-type", type_name]
        if imatrix:
            options += ["--imatrix", imatrix]
        return self.command("llama-quantize", *options, source, target, file_type, threads)


def required_peers():
    """llama.cpp's programs for a comparison that is nothing without them; prints on what it is made."""
    peers = Peers()
    if not peers:
        sys.exit("llama.cpp was not found: put its tools in PATH, or set PEERS_ROOT")
    print_machine()
    return peers


@dataclasses.dataclass
class Usage:
    """What one run of a process took."""
    seconds: float          # wall clock
    processor_seconds: float
    peak_bytes: int         # maximum resident set


def failure(command, status, output):
    return RuntimeError(f"status {status} from {' '.join(map(str, command))}\n{output.decode(errors='replace')[-2000:]}")


def run_measured(command, environment=None):
    """Runs `command` to its end, with `environment` added to ours, and measures it. Raises with its output when it
    fails."""
    with open(os.devnull) as nothing, subprocess.Popen(
            list(map(str, command)), stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})}) as process:
        start = time.monotonic()
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise failure(command, process.returncode, output)
    return Usage(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def run_for_output(command):
    """Runs `command` to its end and returns what it printed: (standard output, standard error). Raises when it fails."""
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise failure(command, done.returncode, done.stdout + done.stderr)
    return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def printed(command, pattern):
    """What a program of llama.cpp prints. They end at times before their log is written out, with status 0 and without
    its last lines, so a run whose output lacks `pattern` is repeated."""
    for _ in range(5):
        output = "".join(run_for_output(command))
        if re.search(pattern, output):
            return output
    raise RuntimeError(f"no figure from {' '.join(map(str, command))}\n{output[-4000:]}")


def figure_printed(command, pattern):
    """The number that `pattern` finds in what a program of llama.cpp prints."""
    return float(re.search(pattern, printed(command, pattern))[1])


def measure_in_turn(commands, repeat, environments=None, fresh=None):
    """Median usage of each named command, run in turn, with what `environments` has for its name; a single round when
    one takes longer than a minute. The file `fresh` is removed before each, or the next would pay for dropping it."""
    runs = {name: [] for name in commands}
    for _ in range(repeat):
        for name, command in commands.items():
            if fresh and os.path.exists(fresh):
                os.unlink(fresh)
            runs[name].append(run_measured(command, (environments or {}).get(name)))
        if max(run.seconds for each in runs.values() for run in each) > 60:
            break
    return {name: Usage(*(statistics.median(getattr(run, field.name) for run in each)
                          for field in dataclasses.fields(Usage))) for name, each in runs.items()}


def print_table(header, rows):
    """A markdown table; every cell is a string."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    print("| " + " | ".join(cell.ljust(width) for cell, width in zip(header, widths)) + " |")
    print("|" + "|".join("-" * (width + 1) + ":" if i else "-" * (width + 2) for i, width in enumerate(widths)) + "|")
    for row in rows:
        print("| " + " | ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))) + " |")


def print_machine():
    """One line that says on what the figures were measured."""
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    load = os.getloadavg()[0]
    print(f"{model}, {os.cpu_count()} cores, load before the run {load:.1f}\n", flush=True)
