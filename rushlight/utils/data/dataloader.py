"""torch.utils.data.dataloader: where programs import the loader from; it is in `loader.py`."""

from .collate import default_collate, default_convert
from .fetch import MapFetcher, StreamFetcher
from .iterators import BaseIterator as _BaseDataLoaderIter
from .loader import DataLoader, _MultiProcessingDataLoaderIter, _SingleProcessDataLoaderIter
from .resume import Endless as _InfiniteConstantSampler
from .worker import get_worker_info


class _DatasetKind:
    """The two kinds of data sets."""

    Map, Iterable = 0, 1

    @staticmethod
    def create_fetcher(kind, dataset, auto_collation, collate_fn, drop_last):
        """What fetches batches from a data set of a kind."""
        if kind == _DatasetKind.Map:
            made = MapFetcher(collate_fn, auto_collation)
        else:
            made = StreamFetcher(collate_fn, auto_collation, drop_last)
        made.start(dataset)
        return made


__all__ = [
    "DataLoader", "_BaseDataLoaderIter", "_DatasetKind", "_InfiniteConstantSampler",
    "_MultiProcessingDataLoaderIter", "_SingleProcessDataLoaderIter", "default_collate",
    "default_convert", "get_worker_info",
]
