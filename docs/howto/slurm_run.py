"""Label a whole image with the nodes of a SLURM cluster. Interrupted? The same command goes on.

    python slurm_run.py slide.zarr cells.zarr --jobs 20

Start it where it may stay for hours (a small job of its own, or tmux on a login node).
"""

import argparse
import os
import sys
from pathlib import Path

from dask_jobqueue import SLURMCluster
from distributed import Client

import napari_ditto as nd
from napari_ditto.errors import DittoError


def slurm(folder: Path, partition: str | None) -> SLURMCluster:
    """Return a cluster of jobs; each is one process that does one tile at a time."""
    return SLURMCluster(
        queue=partition,
        cores=1,
        processes=1,
        memory="6 GB",
        walltime="04:00:00",
        python=sys.executable,  # the environment in which napari-ditto is installed
        job_name="napari-ditto",
        job_extra_directives=["--requeue"],
        job_script_prologue=["export MALLOC_MMAP_THRESHOLD_=33554432"],  # see cluster.md
        log_directory=str(folder / "logs"),
        local_directory="${TMPDIR:-/tmp}",  # of the node: a network file system would be slow
        security=True,  # TLS: the scheduler obeys whoever can connect
        shared_temp_directory=str(folder),  # of the keys, which only you can read
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("target", type=Path, help="OME-Zarr folder, on a file system of all nodes")
    parser.add_argument("--model", default="ditto")
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--partition")
    args = parser.parse_args()
    os.environ.setdefault("NAPARI_DITTO_PATIENCE", "3600")  # seconds without any job before it ends

    folder = Path.home() / ".napari-ditto-slurm"
    folder.mkdir(mode=0o700, exist_ok=True)
    with slurm(folder, args.partition) as cluster, Client(cluster) as client:
        cluster.scale(jobs=args.jobs)
        print("waiting for the first job; see squeue --me")
        client.wait_for_workers(1)
        try:
            labels = nd.segment_all(
                nd.open_source(args.image),
                nd.load_model(args.model),
                out=args.target,
                dask=client,
                resume=True,
            )
        except DittoError as error:
            print(error, file=sys.stderr)
            return 2
    print(f"{args.target}: {labels.shape}")
    return 0


if __name__ == "__main__":  # dask imports this file again in each process
    sys.exit(main())
