#!/usr/bin/env python3
"""Finding super weights by coverage on generated models up to 8 GB of F16: peak resident memory, time, and bytes read.

Memory must not grow with the model, but for the share that is kept (about 250 bytes for each weight of it), and the file must be
read once: it is put out of the page cache first, and what the program then reads from the disk is counted. Models are
generated and deleted; the disk needs room for the largest.

    bench/super_weight_scan.py --program build/tessera --make-model build/bench/make_model
"""
import argparse
import os
import resource
import tempfile

from peers import print_machine, print_table, run_measured

BLOCK_BYTES = 512  # of ru_inblock


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tessera")
    parser.add_argument("--make-model", default="build/bench/make_model")
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[2, 4, 8], help="sizes of the F16 model")
    parser.add_argument("--coverage", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", default="/tmp", help="where the model goes; on a disk, not in memory")
    return parser.parse_args()


def forget(path):
    """Puts the file out of the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def blocks_read():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock


def main():
    arguments = parse_arguments()
    print_machine()
    rows = []
    for gigabytes in arguments.gigabytes:
        with tempfile.TemporaryDirectory(prefix="tessera-bench-", dir=arguments.folder) as folder:
            model = os.path.join(folder, "m.gguf")
            run_measured([arguments.make_model, "-o", model, "--weights", gigabytes * 5e8])
            forget(model)
            before = blocks_read()
            usage = run_measured([arguments.program, "superweights", model, "--notion", "coverage", "--coverage",
                                  arguments.coverage, "--quiet", "--threads", arguments.threads])
            size = os.path.getsize(model)
            rows.append([f"{size / 1e9:.2f}", f"{usage.peak_bytes / 1e6:.0f}",
                         f"{(blocks_read() - before) * BLOCK_BYTES / size:.3f}", f"{usage.seconds:.1f}",
                         f"{usage.processor_seconds:.1f}"])
    print(f"coverage {arguments.coverage:g}, {arguments.threads} threads\n")
    print_table(["F16 GB", "peak resident MB", "read / size", "seconds", "processor seconds"], rows)


if __name__ == "__main__":
    main()
