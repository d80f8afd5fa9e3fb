#!/usr/bin/env python3
"""Kills `tessera imatrix --checkpoint` with SIGKILL at random moments and lets it go on: the bytes must be the same.

First an undisturbed run gives the reference and its duration. Then, until KILLS runs were killed, a run in a fresh
folder is killed after a random part of that duration, once to three times in a row, and run again to its end with the
same checkpoint folder. Its file must equal the reference byte for byte; and a killed run must have left either no file
or the whole one. The moments follow from the seed and are printed.

    bench/kill_resume.py --program build/tessera --method activation
"""
import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

from peers import print_machine, run_measured


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--model", default="../shared/models/small")
    parser.add_argument("--text", default="../shared/data/books.calibration.txt")
    parser.add_argument("--method", default="activation", choices=["activation", "gradient", "fisher"])
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", default="/tmp")
    return parser.parse_args()


def command(arguments, output, checkpoint):
    return list(map(str, [arguments.program, "imatrix", arguments.model, "-f", arguments.text, "-o", output, "--ctx", 512,
                          "--samples", arguments.windows, "--method", arguments.method, "--checkpoint", checkpoint,
                          "--threads", arguments.threads, "--no-cache", "--quiet"]))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def run_and_kill(run, seconds):
    """Whether the run was killed; False when it ended by itself before. Raises when it failed."""
    with subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        status = process.wait()
        if status not in (0, -signal.SIGKILL):
            raise RuntimeError(f"status {status}: {process.stderr.read().decode(errors='replace')[-2000:]}")
        return status != 0


def disturb(arguments, generator, duration, reference):
    """One folder: kills, then a run to the end. Returns the moments of the kills and the seconds of the last run."""
    moments = []
    with tempfile.TemporaryDirectory(prefix="tessera-kill-", dir=arguments.folder) as folder:
        output = os.path.join(folder, "imatrix.gguf")
        run = command(arguments, output, os.path.join(folder, "checkpoint"))
        for _ in range(generator.randint(1, 3)):
            moment = generator.uniform(0, duration)
            if run_and_kill(run, moment):
                moments.append(moment)
            if os.path.exists(output) and read(output) != reference:
                raise RuntimeError(f"a run killed after {moment:.3f} s left a file that is not whole")
        start = time.monotonic()
        run_measured(run)
        seconds = time.monotonic() - start
        if read(output) != reference:
            raise RuntimeError(f"killed after {moments} s and resumed, the file is another one")
    return moments, seconds


def main():
    arguments = parse_arguments()
    print_machine()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="tessera-kill-", dir=arguments.folder) as folder:
        output = os.path.join(folder, "imatrix.gguf")
        duration = run_measured(command(arguments, output, os.path.join(folder, "checkpoint"))).seconds
        reference = read(output)
    print(f"undisturbed: {duration:.2f} s, {len(reference)} bytes", flush=True)
    kills, last_runs = 0, []
    while kills < arguments.kills:
        try:
            moments, seconds = disturb(arguments, generator, duration, reference)
        except RuntimeError as error:
            sys.exit(f"FAILED after {kills} kills: {error}")
        kills += len(moments)
        last_runs.append(seconds)
        print(f"  killed after {', '.join(f'{moment:.3f}' for moment in moments) or 'its end'} s; "
              f"the last run took {seconds:.2f} s; same bytes", flush=True)
    print(f"{kills} kills, {len(last_runs)} files, all the same; the run after the kills took "
          f"{sum(last_runs) / len(last_runs):.2f} s on average")


if __name__ == "__main__":
    main()
