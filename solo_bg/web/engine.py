"""The model behind the server: requests go through the stages of the pipeline, in threads, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import torch

from solo_bg.disk.decode import decode_image
from solo_bg.disk.inputs import ImageFile
from solo_bg.errors import is_fatal
from solo_bg.options import Options
from solo_bg.pipeline import Job, Loaded, Segmented, segment
from solo_bg.records import Record
from solo_bg.runs import assemble
from solo_bg.runs.settings import Settings
from solo_bg.sources.base import InputImage, Source
from solo_bg.web.batches import Batches
from solo_bg.web.errors import WebError, busy, raise_failed
from solo_bg.web.forms import Form
from solo_bg.workers import single_threaded_pool

T = TypeVar('T')


class Engine:
    """Finds instances for requests, and draws them, with the functions that the command uses.

    Args:
        source: the mask source, ready to be called.
        settings: the server's; requests change some of them.

    Attributes:
        lost: why no request can be answered any more, or None.
        on_lost: is called when that happens, in the model's thread.
    """

    on_lost: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, source: Source, settings: Settings) -> None:
        self.source, self.settings = source, settings
        self.options = assemble.make_options(settings, device=source.device)
        self.lost: str | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the threads of the model and of everything else while the server runs."""
        workers, size, threads = self.options.workers, self.options.batch_size, torch.get_num_threads()
        with (
            ThreadPoolExecutor(1, 'model', torch.set_num_threads, (threads,)) as model,
            single_threaded_pool(workers) as pool,
        ):
            self.pool, self.free = pool, asyncio.Semaphore(workers)
            self.decoded = asyncio.Semaphore(workers + size)  # images in memory; other requests wait as files
            self.batches: Batches[Loaded, Segmented | Record] = Batches(self.segment, size, model)
            batching = asyncio.ensure_future(self.batches.run())
            batching.add_done_callback(self.stopped)
            try:
                yield
            finally:
                batching.cancel()

    def segment(self, items: list[Loaded]) -> list[Segmented | Record]:
        """The pipeline's `segment`, which notes when the device is lost."""
        try:
            return segment(items, self.source)
        except RuntimeError as error:
            if not is_fatal(error):
                raise
            self.lose(error)
            raise self.no_device() from error

    def stopped(self, batching: asyncio.Future[None]) -> None:
        """Note a fault in the batches themselves: no request would be answered any more."""
        if not batching.cancelled() and (error := batching.exception()):
            self.lose(error)

    def lose(self, error: BaseException) -> None:
        self.lost = ' '.join(str(error).split()) or type(error).__name__
        self.on_lost()

    def no_device(self) -> WebError:
        return busy(f'a request to a server that has lost its device ({self.lost})', 'a server that is started again')

    async def process(self, form: Form, settings: Settings, finish: Callable[[Segmented, Options], T]) -> T:
        """Decode the image, find its instances, and call `finish` with them in a thread.

        Raises:
            ImageError, SetupError, WebError: the image or the options cannot be used.
        """
        if self.lost:
            raise self.no_device()
        async with self.decoded:
            loaded, options = await self.in_thread(self.load, form, settings)
            found = await self.batches.ask(loaded, loaded.shape)
            if isinstance(found, Record):
                raise_failed(found)
            return await self.in_thread(finish, found, options)

    async def in_thread(self, work: Callable[..., T], *args: Any) -> T:
        """Call `work` in the pool. What waits for a thread waits here, where cancelling frees all that it holds."""
        await self.free.acquire()
        loop = asyncio.get_running_loop()

        def release(done: Future[T]) -> None:
            loop.call_soon_threadsafe(self.free.release)

        future = self.pool.submit(work, *args)
        future.add_done_callback(release)
        return await asyncio.wrap_future(future)

    def load(self, form: Form, settings: Settings) -> tuple[Loaded, Options]:
        """Decode and preprocess the image, as the pipeline's `load` does with a file."""
        assemble.check_classes(settings, self.source.class_names)
        options = assemble.make_options(settings, assemble.make_fill(settings, ()), self.source.device)
        pixels = decode_image(form.data, options.max_pixels)
        job = Job(ImageFile(Path(form.name), form.name, PurePosixPath(form.name), Path()), 'image')
        image = self.source.prepare(InputImage('image', form.name, pixels))
        return Loaded(job, '', image, self.source.batch_shape(image), 0.0), options
