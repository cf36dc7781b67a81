"""Stop sequences: cut from the text, also when they come in pieces."""

from collections.abc import Sequence


class StopFilter:
    """Holds back text that may turn out to be the beginning of a stop sequence.

    A backend ends at a stop sequence and sends it as text (TGI does); OpenAI's API leaves it out.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Take text from the model and return what is certain to be visible; nothing after a stop."""
        if not self._stops:
            return text
        if self.stopped:
            return ""
        self._held += text
        # The one that is complete first counts, so that it does not matter in which pieces the text comes.
        found = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            _, start = min(found)
            visible, self._held = self._held[:start], ""
            return visible
        certain = len(self._held) - self._doubtful()
        visible, self._held = self._held[:certain], self._held[certain:]
        return visible

    def end(self) -> str:
        """Return what was held back, when the model has ended without a stop sequence."""
        visible, self._held = self._held, ""
        return visible

    def _doubtful(self) -> int:
        """Return how many characters at the end are the beginning of some stop sequence."""
        longest = min(len(self._held), max((len(stop) - 1 for stop in self._stops), default=0))
        for length in range(longest, 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
