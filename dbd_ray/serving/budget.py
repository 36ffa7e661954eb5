"""How many decoded pixels may be in memory at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PixelBudget:
    """Lets photos in while they fit together, in the order in which they came.

    Args:
        pixels: How many fit.
    """

    def __init__(self, pixels: int) -> None:
        self._free = pixels
        self._turn = asyncio.Lock()  # fair: a large photo is not overtaken for ever by small ones
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def room_for(self, pixels: int) -> AsyncIterator[None]:
        """Wait until so many pixels fit, and hold their place; there must be no more of them than fit at all."""
        async with self._turn:
            while self._free < pixels:
                self._freed.clear()
                await self._freed.wait()
            self._free -= pixels
        try:
            yield
        finally:
            self._free += pixels
            self._freed.set()
