"""Which requests are answered without a model: the documents hold nothing, or are to be quoted."""

from penstock.messages.chat import ChatRetrieved, Grounding


def without_model(request: ChatRetrieved, *, reachable: bool) -> Grounding | None:
    """Return how the answer stands to the passages if no model is asked, None if one is.

    `reachable`: whether some backend can be reached.
    """
    if not request.passages:
        return None if request.answers == "model" else "not_found"
    quotes = request.answers == "quote" or (request.may_quote and not reachable)
    return "quoted" if quotes else None
