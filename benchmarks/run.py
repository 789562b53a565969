"""Measurements. Each figure is the median of several rounds; what is compared takes turns within a round.

python benchmarks/run.py compose                            # pictures from masks, against the rules written plainly
python benchmarks/run.py inference                          # one image through SOLO, against stock mmdet
python benchmarks/run.py backends                           # the convolutions in torch, OpenVINO and onnxruntime
python benchmarks/run.py pipeline IMAGES/                   # disk to disk, against a loop over mmdet's inferencer
python benchmarks/run.py growth IMAGES/                     # time per image and memory, over few images and many
python benchmarks/run.py processes IMAGES/                  # one process of one thread against two
python benchmarks/run.py agreement IMAGES/                  # masks in each precision against fp32
python benchmarks/run.py video IMAGES/                     # a video against its frames, memory, flicker
python benchmarks/run.py page                               # a click on an instance, in a browser
python benchmarks/run.py server IMAGES/                    # the server against Python, and its memory under load
python benchmarks/run.py tiles ANNOTATIONS.json IMAGES/     # large images, in tiles and as a whole
python benchmarks/run.py seams                             # the picture docs/tiles.jpg
python benchmarks/run.py megapixels 100                    # memory of a large image in tiles
python benchmarks/run.py disk ANNOTATIONS.json IMAGES/      # bytes per pixel of each style, for --dry-run
python benchmarks/run.py families OUT/                      # train the models that `proposals` compares
python benchmarks/run.py proposals ANNOTATIONS.json IMAGES/ --models NAME=CONFIG,CHECKPOINT ...  # average recall
python benchmarks/run.py refine                             # edges against a SOLO image, and on large images
python benchmarks/run.py sources ANNOTATIONS.json IMAGES/   # all mask sources, and rembg; makes a picture too
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import backends
import compose
import edges
import families
import inference
import large_memory
import page
import pipeline
import proposals
import seams
import server
import sources
import tiles
import torch
import video

from solo_bg import bundled

PHOTOS = 'folder of photographs'


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar='NAME')

    def command(work: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        added = commands.add_parser(work.__name__, help=work.__doc__, description=work.__doc__)
        added.set_defaults(work=work)
        return added

    composing = command(compose.compose)

    one_image = command(inference.inference)
    one_image.add_argument('--cases', nargs='+', default=inference.CASES, metavar='CONFIG:HxW:CANDIDATES')
    one_image.add_argument('--batch-size', type=int, default=1)
    one_image.add_argument('--json', type=Path, default=Path('out/bench/inference.json'))
    one_image.add_argument('--picture', type=Path, default=Path('out/bench/inference.png'))

    engines = command(backends.backends)
    engines.add_argument('--cases', nargs='+', default=backends.CASES, metavar='CONFIG:HxW')
    engines.add_argument('--ways', nargs='+', default=backends.WAYS, choices=backends.WAYS, metavar='WAY')

    disk_to_disk = command(pipeline.pipeline)
    disk_to_disk.add_argument('images', type=Path, help=PHOTOS)
    disk_to_disk.add_argument('--limit', type=int, default=10, help='images per round (default: 10)')
    disk_to_disk.add_argument('--config', default='solo_r50_fpn_1x_coco')

    growth = command(pipeline.growth)
    growth.add_argument('images', type=Path, help=PHOTOS)
    growth.add_argument('--counts', type=int, nargs=2, default=(100, 2000))

    processes = command(pipeline.processes)
    processes.add_argument('images', type=Path, help=PHOTOS)
    processes.add_argument('--count', type=int, default=400, help='images, repeated as needed (default: 400)')
    processes.add_argument('--config', help='a config, with random weights (default: the bundled model)')

    agreement = command(pipeline.agreement)
    agreement.add_argument('images', type=Path, help=PHOTOS)
    agreement.add_argument('--limit', type=int, default=100)

    videos = command(video.video)
    videos.add_argument('images', type=Path, help=PHOTOS)
    videos.add_argument('--photos', type=int, default=8, help='photographs to make videos of (default: 8)')
    videos.add_argument('--frames', type=int, default=50, help='frames of the 1080p video (default: 50)')
    videos.add_argument('--counts', type=int, nargs='+', default=(100, 1000, 10000), help='frames, for the memory')
    videos.add_argument('--windows', type=int, nargs='+', default=(1, 3, 5, 9), help='values of --smooth')

    serving = command(server.server)
    serving.add_argument('images', type=Path, help=PHOTOS)
    serving.add_argument('--clients', type=int, default=8)
    serving.add_argument('--source', help='a source without a model: only memory is measured')
    serving.add_argument('--seconds', type=float, default=300, help='time under load (default: 300)')

    large = command(tiles.tiles)
    large.add_argument('annotations', type=Path)
    large.add_argument('images', type=Path, help=PHOTOS)
    large.add_argument('--tiles', default='512:128', metavar='SIZE:OVERLAP', help='(default: 512:128)')
    large.add_argument('--grid', type=int, default=4, help='photographs along each side of a mosaic (default: 4)')
    large.add_argument('--mosaics', type=int, default=2, help='(default: 2)')

    memory = command(large_memory.megapixels)
    memory.add_argument('megapixels', type=float, nargs='?', default=100, help='(default: 100)')
    memory.add_argument('--tiles', default='1024:256', metavar='SIZE:OVERLAP', help='(default: 1024:256)')
    memory.add_argument('--styles', default='eliminated,overlay', help='(default: eliminated,overlay)')

    drawn = command(seams.seams)
    drawn.add_argument('--tiles', default='320:80', metavar='SIZE:OVERLAP', help='(default: 320:80)')
    drawn.add_argument('--score-thr', type=float, default=0.3, help='(default: 0.3)')
    drawn.add_argument('--picture', type=Path, default=Path('docs/tiles.jpg'), help='(default: docs/tiles.jpg)')

    clicks = command(page.page)
    clicks.add_argument('--size', type=int, nargs=2, default=(4000, 3000), metavar=('WIDTH', 'HEIGHT'))
    clicks.add_argument('--instances', type=int, default=100)

    disk = command(compose.disk)
    disk.add_argument('annotations', type=Path)
    disk.add_argument('images', type=Path)

    trained = command(families.families)
    trained.add_argument('out', type=Path, help='folder for the scenes, the configs and the checkpoints')
    trained.add_argument('--seconds', type=float, default=120, help='processor time of each model (default: 120)')
    trained.add_argument('--scenes', type=int, default=400, help='number of training scenes (default: 400)')
    trained.add_argument('--test-scenes', type=int, default=30, help='number of test scenes (default: 30)')
    data = 'a folder with train/, train.json, test/ and test.json, one class (default: draw scenes into OUT)'
    trained.add_argument('--data', type=Path, help=data)
    trained.add_argument('--trunk', default=families.TRUNK, help='ImageNet weights of ResNet-18, a file or a URL')
    trained.add_argument('--only', nargs='+', choices=families.CONFIGS, metavar='NAME', help='(default: all)')

    recall = command(proposals.proposals)
    recall.add_argument('annotations', type=Path)
    recall.add_argument('images', type=Path)
    models = 'CONFIG may be auto; NAME=selective-search is a row without a model'
    recall.add_argument('--models', nargs='+', required=True, metavar='NAME=CONFIG,CHECKPOINT', help=models)
    recall.add_argument('--limit', type=int, help='images (default: all)')
    recall.add_argument('--show', type=int, default=0, metavar='N', help='number of the image on the pictures')
    recall.add_argument('--json', type=Path, default=Path('out/bench/proposals.json'))
    recall.add_argument('--picture', type=Path, default=Path('out/bench/proposals.png'))
    recall.add_argument('--maps', type=Path, default=Path('out/bench/score_maps.png'), help="InstanceFCN's score maps")
    recall.add_argument('--embeddings', type=Path, default=Path('out/bench/embeddings.png'), help='pixel embeddings')
    recall.add_argument('--document', type=Path, help='put the table into this file, such as docs/proposals.md')

    compared = command(sources.sources)
    compared.add_argument('annotations', type=Path, help='a COCO data set')
    compared.add_argument('images', type=Path, help='its photographs')
    compared.add_argument('--limit', type=int, default=20, help='photographs, spread over the data set (default: 20)')
    compared.add_argument('--weights', type=Path, default=Path('checkpoints'), help='folder of ONNX files')
    compared.add_argument('--model', nargs=3, action='append', default=[], metavar=('NAME', 'CONFIG', 'CHECKPOINT'))
    compared.add_argument('--only', nargs='+', metavar='NAME', help='rows of the table (default: all)')
    compared.add_argument('--rembg', default='u2netp', help='network that rembg and solo_bg run (default: u2netp)')
    compared.add_argument('--threads', type=int, default=2, help='for the comparison with rembg (default: 2)')
    compared.add_argument('--rounds', type=int, default=3, help='of the comparison with rembg (default: 3)')
    compared.add_argument('--demo', type=Path, default=bundled.DEMO_IMAGES, help='photographs of the picture')
    compared.add_argument('--picture', type=Path, default=Path('out/bench/sources.jpg'))
    compared.add_argument('--document', type=Path, help='put the table into this file, such as docs/sources.md')

    refining = command(edges.refine)
    refining.add_argument('--config', default='solo_r50_fpn_1x_coco')
    refining.add_argument('--size', type=int, nargs=2, default=(800, 1088), metavar=('HEIGHT', 'WIDTH'))
    refining.add_argument('--large', nargs='*', default=['1920x1080', '3840x2160'], metavar='WIDTHxHEIGHT')
    refining.add_argument('--rounds', type=int, default=5)

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    for one in (composing, one_image, disk_to_disk, growth, processes, agreement, videos, serving, recall, large):
        one.add_argument('--device', default=device)
    for one in (composing, one_image, engines, disk_to_disk, processes, videos, serving):
        one.add_argument('--rounds', type=int, default=5)
    for one in (one_image, disk_to_disk):
        one.add_argument('--precisions', nargs='+', default=['fp32', 'bf16'])
    candidates = 'cells that pass, with random weights (default: 300)'
    for one in (engines, disk_to_disk, processes):
        one.add_argument('--candidates', type=int, default=300, help=candidates)
    return parser


def main() -> None:
    args = build_parser().parse_args()
    args.work(args)


if __name__ == '__main__':
    main()
