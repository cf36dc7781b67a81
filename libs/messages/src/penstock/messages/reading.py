"""How to read an answer from the log: the same few rules for every reader, ours and the public's.

1. In chat.generated a partition has one owner at a time. Each owner begins with a marker and a higher epoch;
   a record whose epoch is below the highest seen before it in its partition comes from an owner that was
   replaced, and is ignored (`Fence`). Log order decides, not clocks.
2. Text carries the character it starts at. What a reader has already is dropped, an overlap is trimmed
   (`Splice`), so repetitions and continuations by another owner join without a seam.
3. The first terminal event of a request ends it; nothing after it counts.

chat.responses needs only rules 2 and 3: it is a function of chat.generated, the same whoever writes it.
"""


class Gap(Exception):
    """Text between what is known and this piece is missing; the message says where."""


class Fence:
    """The epochs of one partition, in log order. `epoch` is the highest so far (0: none yet)."""

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch

    def admits(self, epoch: int) -> bool:
        """Take note of the next record's epoch, and return whether the record counts."""
        if epoch < self.epoch:
            return False
        self.epoch = epoch
        return True


class Splice:
    """The joined text of one answer so far, as its length in characters."""

    def __init__(self, length: int = 0) -> None:
        self.length = length

    def add(self, start: int, text: str) -> str:
        """Take a piece that starts at character `start`, and return what of it is new. Raises Gap."""
        if start > self.length:
            raise Gap(f"Text from {self.length} to {start} of the answer is missing.")
        fresh = text[self.length - start :]
        self.length += len(fresh)
        return fresh
