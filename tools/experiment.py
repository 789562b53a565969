"""Train and test the arms of an experiment with several seeds; write a table and a plot of the training losses.

    python tools/experiment.py configs/experiments/original.py configs/experiments/online.py \\
        --data data/experiment/photos --seeds 3

Every other config is compared with the first one, seed by seed. The same command, started again after an interruption,
continues where it stopped: finished trainings and tests are not repeated.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

TESTS = {'original': 'test/', 'eliminated by gt': 'test_gt/eliminated/', 'by the model': 'test_model/eliminated/'}
METRICS = {
    'mask AP': 'coco/segm_mAP',
    'mask AP50': 'coco/segm_mAP_50',
    'box AP': 'coco/bbox_mAP',
    'box AP50': 'coco/bbox_mAP_50',
    'IoU of the union': 'foreground/iou',
}
EMPTY = 'The testing results of the whole dataset is empty'  # what mmdet says where a model finds nothing in any image
TOOLS = Path(__file__).resolve().parent

Results = dict[str, dict[str, float]]  # test set -> metric -> value


def run_arm(config: Path, seed: int, data: Path, work_dir: Path, jobs: int, amp: bool, options: list[str]) -> Results:
    """Train one arm with one seed and test it on every test set.

    Results that exist already are returned as they are. They must have been made with the same settings.
    """
    results = work_dir / 'results.json'
    settings = {'data': str(data.resolve()), 'amp': amp, 'cfg_options': options}
    if results.exists():
        before = json.loads(results.read_text())
        if (made := before.get('settings')) != settings:
            raise SystemExit(f'{results} was made with {made}, not {settings}; choose another --work-dir')
        return dict(before['tests'])
    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = {**os.environ, 'SOLO_BG_EXPERIMENT': str(data), 'OMP_NUM_THREADS': str(threads)}
    train = [config, '--work-dir', work_dir, '--resume', *(['--amp'] if amp else [])]
    call('train.py', [*train, '--cfg-options', f'randomness.seed={seed}', *options], environment)
    checkpoint = (work_dir / 'last_checkpoint').read_text()
    found: Results = {}
    for name, folder in TESTS.items():
        override = [f'test_dataloader.dataset.data_prefix.img={folder}', *options]
        printed = call(
            'test.py', [config, checkpoint, '--work-dir', work_dir / 'test', '--cfg-options', *override], environment
        )
        values = dict(line.split(': ') for line in printed.splitlines() if line.count(': ') == 1)
        if EMPTY in printed:  # mmdet measures no AP then
            values |= {key: '0' for key in METRICS.values() if key not in values}
        if missing := [key for key in METRICS.values() if key not in values]:
            raise SystemExit(f'{config} does not measure {", ".join(missing)}; add it to its test_evaluator')
        found[name] = {metric: max(0.0, float(values[key])) for metric, key in METRICS.items()}
    results.write_text(json.dumps({'settings': settings, 'tests': found}, indent=1))
    print(f'{config.stem}, seed {seed}: {json.dumps(found)}', flush=True)
    return found


def call(tool: str, argv: list[Any], environment: dict[str, str]) -> str:
    """Run a script of this folder and return what it printed. Exits with the end of its error output if it failed."""
    command = [sys.executable, str(TOOLS / tool), *map(str, argv)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f'{" ".join(command)} failed:\n{done.stderr[-2000:]}')
    return done.stdout


def make_table(arms: dict[str, list[Results]], metric: str) -> str:
    """Return a Markdown table: mean and standard deviation over the seeds, and the difference from the first arm."""
    first = next(iter(arms.values()))
    lines = [f'| {metric} | {" | ".join(TESTS)} |', '|---' * (len(TESTS) + 1) + '|']
    for name, runs in arms.items():
        cells = []
        for test in TESTS:
            values = [run[test][metric] for run in runs]
            differences = [value - other[test][metric] for value, other in zip(values, first, strict=True)]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cell = f'{statistics.mean(values):.3f} ± {spread:.3f}'
            cells.append(cell if runs is first else f'{cell} ({describe(differences)})')
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def describe(differences: list[float]) -> str:
    """Return mean and standard error of differences seed by seed, as text."""
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
    return f'{statistics.mean(differences):+.3f} ± {error:.3f}'


def draw_curves(work_dirs: dict[str, list[Path]], path: Path) -> None:
    """Plot the training loss of each arm over the iterations, one line for each seed."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 4))
    for index, (name, folders) in enumerate(work_dirs.items()):
        for folder in folders:
            logs = sorted(folder.glob('*/vis_data/scalars.json'))
            points = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
            curve = {point['step']: point['loss'] for point in points if 'loss' in point}
            label = name if folder is folders[0] else None
            axis.plot(list(curve), list(curve.values()), color=f'C{index}', linewidth=0.8, label=label)
    axis.set_xlabel('iteration')
    axis.set_ylabel('training loss')
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', type=Path, help='one config for each arm; the first is the baseline')
    data = 'folder that tools/prepare_experiment.py wrote (default: data/experiment/photos)'
    parser.add_argument('--data', type=Path, default=Path('data/experiment/photos'), help=data)
    parser.add_argument('--seeds', type=int, default=3, help='number of seeds (default: 3)')
    work_dir = 'folder of logs, checkpoints and results (default: work_dirs/experiments)'
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/experiments'), help=work_dir)
    parser.add_argument('--jobs', type=int, default=1, help='trainings at a time, sharing the CPU cores (default: 1)')
    parser.add_argument('--amp', action='store_true', help='train in bfloat16')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='override the config in every training and test')
    args = parser.parse_args()
    root = args.work_dir / args.data.name
    work_dirs = {config.stem: [root / config.stem / str(seed) for seed in range(args.seeds)] for config in args.configs}
    runs: dict[str, list[Future[Results]]] = {config.stem: [] for config in args.configs}
    with ThreadPoolExecutor(args.jobs) as pool:
        for seed in range(args.seeds):  # all arms of a seed first, so that early results can be compared
            for config in args.configs:
                folder = work_dirs[config.stem][seed]
                run = pool.submit(run_arm, config, seed, args.data, folder, args.jobs, args.amp, args.cfg_options)
                runs[config.stem].append(run)
        try:
            for run in as_completed([run for some in runs.values() for run in some]):
                run.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # running trainings finish, no new one starts
            raise
    arms = {name: [run.result() for run in some] for name, some in runs.items()}
    tables = '\n\n'.join(make_table(arms, metric) for metric in METRICS)
    (root / 'table.md').write_text(tables + '\n')
    draw_curves(work_dirs, root / 'curves.png')
    print(f'{tables}\n\nwrote {root}/table.md and curves.png')


if __name__ == '__main__':
    main()
