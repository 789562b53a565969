"""Measurements, each the median of several rounds in which the compared things take turns.

python tools/benchmark.py compose                            # pictures from masks, against the rules written plainly
python tools/benchmark.py inference                          # one image through SOLO, against stock mmdet
python tools/benchmark.py pipeline IMAGES/                   # disk to disk, against a loop over mmdet's inferencer
python tools/benchmark.py growth IMAGES/                     # cost an image and memory, over few images and many
python tools/benchmark.py processes IMAGES/                  # one process of one thread against two
python tools/benchmark.py agreement IMAGES/                  # masks in each precision against fp32
python tools/benchmark.py disk ANNOTATIONS.json IMAGES/      # bytes a pixel of each style, for --dry-run
"""

import argparse
from pathlib import Path

import bench_compose
import bench_inference
import bench_pipeline
import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    default = 'cuda' if torch.cuda.is_available() else 'cpu'

    compose = commands.add_parser('compose', help=bench_compose.compose.__doc__)
    compose.set_defaults(work=bench_compose.compose)

    inference = commands.add_parser('inference', help=bench_inference.inference.__doc__)
    inference.add_argument('--cases', nargs='+', default=bench_inference.CASES, metavar='CONFIG:HxW:CANDIDATES')
    inference.add_argument('--precisions', nargs='+', default=['fp32', 'bf16'])
    inference.add_argument('--batch-size', type=int, default=1)
    inference.add_argument('--json', type=Path, default=Path('out/bench/inference.json'))
    inference.add_argument('--picture', type=Path, default=Path('out/bench/inference.png'))
    inference.set_defaults(work=bench_inference.inference)

    pipeline = commands.add_parser('pipeline', help=bench_pipeline.pipeline.__doc__)
    pipeline.add_argument('images', type=Path)
    pipeline.add_argument('--limit', type=int, default=10, help='images a round (10)')
    pipeline.add_argument('--config', default='solo_r50_fpn_1x_coco')
    pipeline.add_argument('--precisions', nargs='+', default=['fp32', 'bf16'])
    pipeline.set_defaults(work=bench_pipeline.pipeline)

    growth = commands.add_parser('growth', help=bench_pipeline.growth.__doc__)
    growth.add_argument('images', type=Path)
    growth.add_argument('--counts', type=int, nargs=2, default=(100, 2000))
    growth.set_defaults(work=bench_pipeline.growth)

    processes = commands.add_parser('processes', help=bench_pipeline.processes.__doc__)
    processes.add_argument('images', type=Path)
    processes.add_argument('--count', type=int, default=400, help='images, repeated as needed (400)')
    processes.add_argument('--config', help='with random weights, instead of the bundled model')
    processes.set_defaults(work=bench_pipeline.processes)

    agreement = commands.add_parser('agreement', help=bench_pipeline.agreement.__doc__)
    agreement.add_argument('images', type=Path)
    agreement.add_argument('--limit', type=int, default=100)
    agreement.set_defaults(work=bench_pipeline.agreement)

    disk = commands.add_parser('disk', help=bench_compose.disk.__doc__)
    disk.add_argument('annotations', type=Path)
    disk.add_argument('images', type=Path)
    disk.set_defaults(work=bench_compose.disk)

    for command in (compose, inference, pipeline, growth, processes, agreement):
        command.add_argument('--device', default=default)
    for command in (pipeline, processes):
        command.add_argument('--candidates', type=int, default=300, help='cells that pass, of random weights (300)')
    for command in (compose, inference, pipeline, processes):
        command.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args()
    args.work(args)


if __name__ == '__main__':
    main()
