"""Tiny ONNX networks with the inputs and outputs of published foreground models."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def save(path, nodes, inputs, outputs, weights=(), kind=FLOAT, **options):
    """Write a graph. `inputs` and `outputs`: name -> shape."""
    graph = helper.make_graph(
        nodes,
        'tiny',
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in dict(weights).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    onnx.save(model, str(path), **options)
    return path


def save_plain(path, size=(32, 32), outputs=('alpha',), channels=1, **options):
    """A 1x1 convolution and a logistic function: the first channel is high where red is."""
    height, width = size
    weight = np.zeros((channels, 3, 1, 1), np.float32)
    weight[:, 0, 0, 0] = np.linspace(2, -2, channels) if channels > 1 else 2
    weight[-1, 1, 0, 0] = 1
    nodes = [
        helper.make_node('Conv', ['image', 'weight'], ['raw']),
        *(helper.make_node('Sigmoid', ['raw'], [name]) for name in outputs),
    ]
    shapes = {name: [1, channels, height, width] for name in outputs}
    return save(path, nodes, {'image': [1, 3, height, width]}, shapes, {'weight': weight}, **options)


def save_recurrent(path):
    """As RobustVideoMatting: alpha is half the mean colour and half the first state; the others count frames."""
    size = [1, 3, 'h', 'w']
    inputs = {'src': size, **{f'r{k}i': [1, 'c', 'y', 'x'] for k in range(1, 5)}, 'downsample_ratio': [1]}
    outputs = {'fgr': size, 'pha': [1, 1, 'h', 'w'], **{f'r{k}o': [1, 'c', 'y', 'x'] for k in range(1, 5)}}
    nodes = [
        helper.make_node('Identity', ['src'], ['fgr']),
        helper.make_node('ReduceMean', ['src'], ['mean'], axes=[1], keepdims=1),
        helper.make_node('Add', ['mean', 'r1i'], ['sum']),
        helper.make_node('Mul', ['sum', 'half'], ['pha']),
        helper.make_node('Identity', ['pha'], ['r1o']),
        *(helper.make_node('Add', [f'r{k}i', 'downsample_ratio'], [f'r{k}o']) for k in range(2, 5)),
    ]
    return save(path, nodes, inputs, outputs, {'half': np.array([0.5], np.float32)})


def save_flat(path):
    """A network for which a vector is the image."""
    nodes = [helper.make_node('Sigmoid', ['image'], ['alpha'])]
    return save(path, nodes, {'image': [1, 3072]}, {'alpha': [1, 3072]})


def save_nan(path):
    """A network that divides zero by zero."""
    nodes = [
        helper.make_node('Sub', ['image', 'image'], ['zero']),
        helper.make_node('Div', ['zero', 'zero'], ['alpha']),
    ]
    return save(path, nodes, {'image': [1, 3, 32, 32]}, {'alpha': [1, 3, 32, 32]})


def save_half(path):
    """`save_plain` in half precision."""
    nodes = [helper.make_node('Conv', ['image', 'weight'], ['raw']), helper.make_node('Sigmoid', ['raw'], ['alpha'])]
    weight = np.array([2, 1, 0], np.float16).reshape(1, 3, 1, 1)
    shape = [1, 1, 32, 32]
    return save(path, nodes, {'image': [1, 3, 32, 32]}, {'alpha': shape}, {'weight': weight}, TensorProto.FLOAT16)
